"""A worker process of the direct runner that leaves the terminal alone: ``python -m pipelines.engines.local_worker``.

Beam's own entry logs its start-up, some fifteen lines of a process and a stage, to standard error. What matters
(errors, warnings of steps) reaches the runner through its logging service all the same.
"""

import logging
import sys


def main() -> None:
    """Become Beam's worker; a root logger that has a handler gets none that prints."""
    logging.getLogger().addHandler(logging.NullHandler())
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
