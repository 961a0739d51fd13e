"""Tests; the tree mirrors the source tree, and what one folder shares stands in its `conftest.py`."""
