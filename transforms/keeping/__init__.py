"""Decisions come home to their rows, and the rest is kept."""
