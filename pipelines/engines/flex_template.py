"""What a Dataflow Flex Template runs when it is launched: the first stage of a run that is not there yet.

The launcher calls this program with the template's parameters and Dataflow's own flags, takes the description of one
job from ``--template_location``, and starts that job when the program has ended. So each launch makes one stage; when
all four are there, one more publishes OUT and has no job to start.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

from pipelines.engines.dataflow import TEMPLATE_FLAG
from pipelines.interruption import leave
from pipelines.options import parse
from pipelines.reporting import report_errors
from schemas.errors import ConfigError

_SWITCHES = ("allow_alarms",)


def words_of(argv: Sequence[str]) -> list[str]:
    """The command line of ``kalm curate`` that a launcher's command line means.

    A template's parameters all have values, so that a switch comes as ``true`` or ``false``. Raises ConfigError for
    another value.
    """
    words = ["--runner=dataflow"]
    for word in argv:
        name, _, value = word.removeprefix("--").partition("=")
        if name == "runner":
            continue
        if name not in _SWITCHES:
            words.append(word)
        elif value.lower() not in ("true", "false"):
            raise ConfigError(f"parameter {name} is true or false, not {value!r}")
        elif value.lower() == "true":
            words.append(f"--{name}")
    return words


def launch(argv: Sequence[str]) -> None:
    """Describe the job of the next stage, or publish OUT where all are there. Raises what ``curate`` raises."""
    from pipelines.curate_command import run_command
    from pipelines.runners import StageDescribed

    command = parse(words_of(argv))
    if not any(flag.startswith(f"{TEMPLATE_FLAG}=") for flag in command.beam_flags):
        raise ConfigError(f"no {TEMPLATE_FLAG}: this program is for the launcher of a Flex Template; use kalm curate")
    try:
        run_command(command)
    except StageDescribed:
        print("described the stage above to Dataflow; launch the template again when its job is done")
    else:
        print(f"all stages were there: {command.config.out} is published, and there is no job to start")


def run() -> NoReturn:
    """The program: the command line, then its exit code."""
    leave(report_errors(lambda: launch(sys.argv[1:])))
