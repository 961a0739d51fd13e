"""Which verbs run, in which order, with which numbers: one Beam pipeline per stage, and the command line over them."""

import logging
import os
import platform
import sys

# Arrow reads this once, when it is loaded, and processes that are started from here inherit it. Stages make and drop
# buffers of megabytes in several threads: jemalloc hands them on, mimalloc, the default, takes fresh pages each time.
# Elsewhere jemalloc may be missing, or built for pages of another size.
if sys.platform == "linux" and platform.machine() == "x86_64":
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")


def _says_something(record: logging.LogRecord) -> bool:
    """Beam warns on import, as the root logger, that Google Cloud's libraries are not installed; few need to know."""
    return not str(record.msg).startswith("apitools not found")


logging.getLogger().addFilter(_says_something)
