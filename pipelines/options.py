"""The command line of ``kalm curate``: our flags in Beam's own option style, and every Beam flag passed through.

Beam itself is not imported here: its flags are known by name from a list that ships with the project, so that a
mistyped flag is refused at once. ``runners`` asks Beam's own parsers before a pipeline runs.
"""

import argparse
import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.configuration.layers import Configuration, load
from schemas.config import RunConfig, Selection
from schemas.errors import ConfigError

STAGES = ("prepare", "embed", "mine")
RUNNERS = ("direct", "flink", "prism", "dataflow")
#: Names of the flags that Beam and its runners take, for the version that is named there.
BEAM_FLAGS = Path(__file__).with_name("beam_flags.json")
#: Flags of places, which change no result and are no keys of a configuration.
_PLACES = ("out", "work")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A parsed command line."""

    config: RunConfig
    configuration: Configuration
    runner: str
    workers: int
    accelerator: str | None
    until: str | None
    quiet: bool
    allow_alarms: bool
    dry_run: bool
    beam_flags: tuple[str, ...]


def add_configuration_flags(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """Add ``--config``, ``--set`` and the flags of some fields of ``RunConfig``, which say what they mean."""
    parser.add_argument(
        "--config", metavar="FILE", help="configuration file or preset (kalm, nv-retriever, strict, top)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one value, for example mining.num_negatives=15"
    )
    for name in names:
        field = RunConfig.model_fields[name]
        default = "" if field.default is None else f" (default: {field.default})"
        parser.add_argument(f"--{name}", help=f"{field.description}{default}", metavar=name.upper())


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``kalm curate --help``."""
    parser = argparse.ArgumentParser(
        prog="kalm curate",
        description="Curate training data for text-embedding models: read, clean, deduplicate, embed, mine, pack.",
        epilog="Every flag of Apache Beam and of its runner may be added and is passed on. All other numbers are keys "
        "of a configuration: kalm config shows them.",
        allow_abbrev=False,
    )
    add_configuration_flags(parser, list(RunConfig.model_fields))
    parser.add_argument("--runner", choices=RUNNERS, default="direct", help="where the stages run (default: direct)")
    parser.add_argument(
        "--workers", type=int, default=1, help="worker processes; one uses all cores by threads (default: 1)"
    )
    parser.add_argument("--accelerator", metavar="GPU", help="GPU of Dataflow's machines that run a model (nvidia-l4)")
    parser.add_argument("--until", choices=STAGES, help="go no further than this stage, and publish nothing")
    parser.add_argument("--allow_alarms", action="store_true", help="go on although a dataset raised an alarm")
    parser.add_argument("--dry_run", action="store_true", help="say what would be read, then read and write nothing")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no summary; errors only")
    return parser


def parse(argv: Sequence[str] | None) -> Command:
    """Parse a command line. Raises ConfigError for a value or a flag that neither we nor Beam know."""
    parser = build_parser()
    known, rest = parser.parse_known_args(argv)
    _check_names(rest, parser)
    configuration = configuration_of(known)
    if known.workers < 1:
        raise ConfigError(f"--workers={known.workers}: at least one worker is needed")
    if known.accelerator and known.runner != "dataflow":
        raise ConfigError(
            f"--accelerator={known.accelerator}: only --runner=dataflow fetches GPUs; elsewhere a model uses those of "
            "the machine that it runs on"
        )
    return Command(
        config=run_config(configuration, known),
        configuration=configuration,
        runner=known.runner,
        workers=known.workers,
        accelerator=known.accelerator,
        until=known.until,
        quiet=known.quiet,
        allow_alarms=known.allow_alarms,
        dry_run=known.dry_run,
        beam_flags=tuple(rest),
    )


def configuration_of(known: argparse.Namespace) -> Configuration:
    """The configuration that a command line gives: its file, its ``--set`` values and its named flags."""
    names = [name for name in RunConfig.model_fields if name not in _PLACES]
    flags = {name: value for name in names if (value := getattr(known, name, None)) is not None}
    return load(known.config, known.set, flags)


def run_config(configuration: Configuration, known: argparse.Namespace) -> RunConfig:
    """The selection and the places of a run."""
    config = configuration.config
    values = {name: getattr(config, name) for name in Selection.model_fields}
    values |= {
        "teacher": config.teacher.name,
        "teacher_languages": config.teacher.languages,
        "seed": config.mining.seed,
        "against": config.against.out,
    }
    places = {name: value for name in _PLACES if (value := getattr(known, name)) is not None}
    return RunConfig(**values, **places)


def _check_names(flags: Sequence[str], parser: argparse.ArgumentParser) -> None:
    """Refuse what Beam would silently discard: a mistyped flag must not run with a default.

    A flag of another Beam than the list's is left to ``runners``, which asks Beam.
    """
    if not flags:
        return
    from importlib.metadata import version

    listed = json.loads(BEAM_FLAGS.read_text("utf-8"))
    takes_value = False
    for word in flags:
        name = word.partition("=")[0]
        if not word.startswith("-") and takes_value:
            takes_value = False
            continue
        if not word.startswith("-") or (name not in listed["flags"] and version("apache-beam") == listed["beam"]):
            raise ConfigError(unknown_flag(word, [*listed["flags"], *parser._option_string_actions]))
        takes_value = "=" not in word


def unknown_flag(word: str, known: Sequence[str]) -> str:
    """What is said of a word that is no flag of ours and none of Beam's."""
    near = difflib.get_close_matches(word.partition("=")[0], known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"unknown flag {word!r}: neither this command nor Beam knows it; {hint}see --help for ours"
