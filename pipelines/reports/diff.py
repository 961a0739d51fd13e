"""What differs between two runs, and why.

    kalm diff OUT OTHER

Says which datasets, counts and shards differ from the first to the second, with some rows, and what caused it:
revision, configuration, code, libraries, teacher, or, where none of these differs, the data or the teacher's vectors.
The two are folders of runs, or manifests that were kept of runs; of these no rows are compared.
"""

import argparse
from collections.abc import Sequence

from pipelines.publish import open_manifest, read_manifest
from pipelines.reporting import report_errors
from pipelines.reports.difference import Difference, difference, lines
from pipelines.reports.difference_page import difference_page
from pipelines.reports.row_changes import RowChanges, row_changes
from pipelines.verb_parser import verb_parser
from pipelines.workplace import absolute, shown_some
from schemas.errors import ConfigError, CurationError, DamageError
from schemas.manifest import Manifest
from transforms.flow.files import publish, read_json
from transforms.flow.manifests import MANIFEST


class DifferenceError(CurationError):
    """A run that should have given the same shards gave others."""

    exit_code = 8


def compare(left: str, right: str) -> Difference:
    """The difference of two OUTs, or of manifests (``*.json``). Raises ConfigError where there is none to read."""
    manifests = open_compared(left), open_compared(right)
    rows: dict[str, RowChanges] = {}
    if not any(_is_file(place) for place in (left, right)):
        rows = _rows((absolute(left), absolute(right)), manifests)
    return difference(*manifests, rows)


def _is_file(place: str) -> bool:
    return place.endswith(".json")


def open_compared(place: str) -> Manifest:
    """The manifest of an OUT, or one that was kept (``*.json``). Raises ConfigError where there is none to read."""
    if not _is_file(place):
        return open_manifest(place)
    path = absolute(place)
    folder, _, name = path.rpartition("/")
    found = read_manifest(folder) if name == MANIFEST else _read_kept(path)
    if found is None:
        raise ConfigError(f"there is no manifest {path}: give a run's OUT, or a manifest that was kept of one")
    return found


def _read_kept(path: str) -> Manifest | None:
    try:
        value = read_json(path)
        return None if value is None else Manifest.model_validate(value)
    except ValueError as error:
        raise ConfigError(f"{path} is not a manifest that this version can read: {error}") from error


def _rows(outs: tuple[str, str], manifests: tuple[Manifest, Manifest]) -> dict[str, RowChanges]:
    """For each dataset of both whose shards differ, its rows, where they can be read."""
    found = {}
    before, after = ({record.name: record for record in manifest.datasets} for manifest in manifests)
    for name in before.keys() & after.keys():
        pair = before[name], after[name]
        if pair[0].shards != pair[1].shards:
            try:
                found[name] = row_changes(outs, pair)
            except DamageError:
                continue  # counts and digests are compared all the same; `kalm verify` names what is damaged
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = verb_parser("diff", __doc__)
    parser.add_argument("left", help="the first run's OUT, or its manifest")
    parser.add_argument("right", help="the second's")
    parser.add_argument("--write", metavar="FILE", help="write to a file instead of standard output")
    parser.add_argument("--html", metavar="FILE", help="write it as a page besides, which opens in a browser")
    parser.add_argument("--exit_code", action="store_true", help="end with code 8 where a dataset differs")
    given = parser.parse_args(argv)
    return report_errors(lambda: _run(given))


def _run(given: argparse.Namespace) -> None:
    found = compare(given.left, given.right)
    text = "\n".join(lines(found)) + "\n"
    if given.write:
        publish(absolute(given.write), text.encode())
    else:
        print(text, end="")
    if given.html:
        publish(absolute(given.html), difference_page(found, given.left, given.right))
    names = [*found.left, *found.right, *(change.dataset for change in found.changed)]
    if given.exit_code and names:
        raise DifferenceError(f"{len(names)} datasets differ from {given.left} to {given.right}: {shown_some(names)}")
