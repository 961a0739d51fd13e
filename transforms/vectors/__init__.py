"""Texts on their way to the teacher, their vectors, and what mining reads and gives."""
