"""A worker process of the direct runner that leaves the terminal alone: ``python -m pipelines.engines.local_worker``.

Beam's own entry logs its start-up, some fifteen lines of a process and a stage, to standard error. What matters
(errors, warnings of steps) reaches the runner through its logging service all the same.

It ends with the command that started it, however that ends: ``--parent=PID`` says which. Linux does it by a signal; a
thread that looks does it anywhere.
"""

import argparse
import ctypes
import logging
import os
import signal
import sys
import threading
import time

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_LOOK_S = 0.5


def end_with(parent: int) -> None:
    """End this process when the process ``parent`` has ended, or now if it has."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_look_for, args=(parent,), name="look for parent", daemon=True).start()


def _look_for(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


def main() -> None:
    """Become Beam's worker; a root logger that has a handler gets none that prints."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.engines.local_worker", description=__doc__)
    parser.add_argument("--parent", type=int, default=os.getppid(), help="the process whose end ends this one")
    end_with(parser.parse_known_args()[0].parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of a terminal's processes; the command ends us
    logging.getLogger().addHandler(logging.NullHandler())
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
