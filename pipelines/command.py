"""The command ``kalm``: a verb for each thing that a person does, whose module is imported when it is given."""

import difflib
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple, NoReturn

from pipelines.interruption import leave


class Verb(NamedTuple):
    """The function behind a verb, ``module:name``; it takes the rest of the command line and gives an exit code."""

    function: str
    does: str


VERBS: Mapping[str, Verb] = {
    "curate": Verb("pipelines.curate_command:main", "make shards: read, clean, deduplicate, embed, mine, pack"),
    "train": Verb("trainer.train:main", "train a model on the shards of a manifest"),
    "evaluate": Verb("trainer.evaluate:main", "evaluate a model on collections of this machine"),
    "static-teacher": Verb("trainer.static_teacher:main", "make a fast teacher: a table of another's words"),
    "soup": Verb("trainer.soup:main", "average the weights of trained models or checkpoints"),
    "catalog": Verb("catalog.table:main", "list the datasets: task type, languages, licence, rows"),
    "config": Verb("pipelines.configuration.command:main", "show the configuration of a run, and where it comes from"),
    "plan": Verb("pipelines.plan:main", "what a run of so many rows costs: time, memory, bytes, money"),
    "verify": Verb("pipelines.verify:main", "compare shards, rejections and counts of OUT with its manifest"),
    "card": Verb("pipelines.reports.card:main", "print the data card of OUT"),
    "croissant": Verb("pipelines.reports.croissant:main", "describe OUT in the Croissant format"),
    "readmit": Verb("pipelines.reports.readmit:main", "list rejected rows that the next run is to keep"),
    "report": Verb("pipelines.reports.report:main", "write OUT's report anew: what was kept, what was not, and why"),
    "diff": Verb("pipelines.reports.diff:main", "say what differs between two runs, and why"),
    "export": Verb("pipelines.reports.export:main", "write OUT's examples in the form of another trainer"),
    "publish": Verb("pipelines.reports.hub_upload:main", "upload OUT's shards, card and report to the hub"),
    "regenerate": Verb("pipelines.regenerate:main", "rebuild the bundled sample's shards and compare them"),
    "flink": Verb("pipelines.engines.flink:main", "start, stop or look at a local Flink cluster"),
    "dataflow": Verb("pipelines.engines.dataflow:main", "print the Flex Template that starts runs on Dataflow"),
    "prism": Verb("pipelines.engines.prism:main", "install the Prism runner"),
    "warm-up": Verb("pipelines.warm_up:main", "compile all loops ahead of the first run"),
    "sample": Verb("catalog.sample_writer.build:main", "write the bundled sample anew"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    words = _words(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if words else 2
    if words[0] == "--version":
        print(_version())
        return 0
    if words[0] not in VERBS:
        print(f"error: {_unknown(words[0])}", file=sys.stderr)
        return 2
    module, _, name = VERBS[words[0]].function.partition(":")
    return int(getattr(import_module(module), name)(words[1:]))


def _version() -> str:
    from importlib.metadata import version

    return f"kalm-curation {version('kalm-curation')}"


def run() -> NoReturn:
    """The script ``kalm``: the command line, then its exit code, also where a signal has left threads behind."""
    leave(main())


def _words(argv: Sequence[str]) -> list[str]:
    """The command line; what a leading ``--args=TEXT`` holds is split as a shell would split it, and put at the end."""
    if not argv or not argv[0].startswith("--args="):
        return list(argv)
    text = argv[0].removeprefix("--args=")
    try:
        return [*argv[1:], *shlex.split(text)]
    except ValueError as error:
        print(f"error: ARGS={text}: {error}; quote as for a shell", file=sys.stderr)
        raise SystemExit(2) from error


def overview() -> str:
    """What ``kalm --help`` says."""
    width = max(map(len, VERBS))
    lines = [f"  {name:<{width}}  {verb.does}" for name, verb in VERBS.items()]
    return "\n".join(["usage: kalm VERB [flags]", "", *lines, "", "kalm VERB --help lists the flags of a verb."])


def _unknown(word: str) -> str:
    near = difflib.get_close_matches(word, VERBS, n=1, cutoff=0.5)
    hint = f"did you mean kalm {near[0]}?" if near else f"verbs are {', '.join(VERBS)}"
    return f"kalm {word}: there is no such verb; {hint}"
