"""One script for each set of numbers in ``docs/measured.md``. Modules with a leading ``_`` only help the others."""
