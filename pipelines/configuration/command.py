"""``kalm config``: the effective configuration of a run, each value with its origin; also a JSON Schema or a table."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from catalog import load_catalog
from pipelines.configuration.layers import Configuration
from pipelines.configuration.overrides import effective
from pipelines.configuration.show import as_file, as_file_of, as_table, json_schema
from pipelines.options import add_configuration_flags, configuration_of
from pipelines.reporting import report_errors
from schemas.config import RunConfig
from schemas.errors import ConfigError, OutputError

#: Where the table of all keys stands in a document.
BEGIN, END = "<!-- keys -->", "<!-- /keys -->"


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``kalm config --help``."""
    parser = argparse.ArgumentParser(
        prog="kalm config",
        description="Show the configuration that a run with these flags has, as a file that gives the same run.",
        allow_abbrev=False,
    )
    add_configuration_flags(parser, [name for name in RunConfig.model_fields if name not in ("out", "work")])
    parser.add_argument("--dataset", metavar="NAME", help="show what holds for one dataset")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of a configuration file instead")
    parser.add_argument(
        "--write", metavar="FILE", help=f"renew the table of all keys between {BEGIN} and {END} in FILE"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    given = build_parser().parse_args(argv)
    return report_errors(lambda: _run(given))


def _run(given: argparse.Namespace) -> None:
    if given.schema:
        print(json.dumps(json_schema(), indent=1))
    elif given.write:
        write_table(Path(given.write))
    else:
        configuration = configuration_of(given)
        sys.stdout.write(_of_dataset(configuration, given.dataset) if given.dataset else _of_run(configuration))


def _of_run(configuration: Configuration) -> str:
    effective(configuration, load_catalog(configuration.config.catalog))
    return as_file(configuration)


def _of_dataset(configuration: Configuration, name: str) -> str:
    found = effective(configuration, load_catalog(configuration.config.catalog))
    if name not in found:
        raise ConfigError(f"--dataset={name}: the catalog has no dataset of that name; kalm catalog lists them")
    return as_file_of(found[name], configuration)


def write_table(path: Path) -> None:
    """Renew the table of all keys in a document. Raises OutputError where it has no place for one."""
    text = path.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise OutputError(f"{path} has no lines {BEGIN} and {END} between which the table goes")
    path.write_text(f"{before}{BEGIN}\n\n{as_table()}\n{END}{after}", "utf-8")
