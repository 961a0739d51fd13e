"""One script for each set of numbers in ``docs/measured.md``. Modules with a leading ``_`` only help the others."""

import pipelines as pipelines  # first, as in every command: it chooses Arrow's allocator before Arrow is loaded
