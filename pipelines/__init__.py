"""Which verbs run, in which order, with which numbers: one Beam pipeline per stage, and the command line over them."""

import logging


def _says_something(record: logging.LogRecord) -> bool:
    """Beam warns on import, as the root logger, that Google Cloud's libraries are not installed; few need to know."""
    return not str(record.msg).startswith("apitools not found")


logging.getLogger().addFilter(_says_something)
