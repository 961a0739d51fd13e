"""One script for each set of numbers in the README. A module whose name begins with ``_`` only helps the others."""
