"""The command line: our flags in Beam's own option style, the runner's name, and every Beam flag passed through."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from pydantic import ValidationError

from schemas.config import RunConfig, explain
from schemas.errors import ConfigError

RUNNERS = ("direct", "flink", "prism", "dataflow")


class CurateOptions(PipelineOptions):
    """What to curate, from where, to where. Each flag is a field of ``RunConfig``, which says what it means."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        for name, field in RunConfig.model_fields.items():
            default = "" if field.default is None else f" (default: {field.default})"
            parser.add_argument(f"--{name}", help=f"{field.description}{default}", metavar=name.upper())


@dataclass(frozen=True, kw_only=True)
class Command:
    """A parsed command line."""

    config: RunConfig
    runner: str
    workers: int
    quiet: bool
    allow_alarms: bool
    dry_run: bool
    beam_flags: tuple[str, ...]


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.curate",
        description="Curate training data for text-embedding models: read, clean, deduplicate, embed, mine, pack.",
        epilog="Every flag of Apache Beam and of its runner may be added and is passed on.",
        allow_abbrev=False,
    )
    CurateOptions._add_argparse_args(parser)
    parser.add_argument("--runner", choices=RUNNERS, default="direct", help="where the stages run (default: direct)")
    parser.add_argument(
        "--workers", type=int, default=1, help="worker processes; one uses all cores by threads (default: 1)"
    )
    parser.add_argument(
        "--allow_alarms", action="store_true", help="go on although a dataset lost an alarming share of its examples"
    )
    parser.add_argument("--dry_run", action="store_true", help="say what would be read, then read and write nothing")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no summary; errors only")
    return parser


def parse(argv: Sequence[str] | None) -> Command:
    """Parse a command line. Raises ConfigError for a value or a flag that neither we nor Beam know."""
    known, rest = build_parser().parse_known_args(argv)
    _check_beam_flags(rest)
    given = {name: value for name in RunConfig.model_fields if (value := getattr(known, name)) is not None}
    try:
        config = RunConfig(**given)
    except ValidationError as error:
        raise ConfigError(explain(error, "command line")) from error
    if known.workers < 1:
        raise ConfigError(f"--workers={known.workers}: at least one worker is needed")
    return Command(
        config=config,
        runner=known.runner,
        workers=known.workers,
        quiet=known.quiet,
        allow_alarms=known.allow_alarms,
        dry_run=known.dry_run,
        beam_flags=tuple(rest),
    )


def _check_beam_flags(flags: Sequence[str]) -> None:
    """Refuse what Beam would silently discard: a mistyped flag must not run with a default."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for cls in _option_classes(PipelineOptions):
        cls._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(list(flags))
    if unknown:
        raise ConfigError(f"unknown flag {unknown[0]!r}: neither this command nor Beam knows it; see --help for ours")


def _option_classes(cls: type[Any]) -> list[type[Any]]:
    found = [] if cls is PipelineOptions else [cls]
    for sub in cls.__subclasses__():
        found += _option_classes(sub)
    return found
