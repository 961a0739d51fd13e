"""Evaluation sets: what they hold, and which rows hold it too."""
