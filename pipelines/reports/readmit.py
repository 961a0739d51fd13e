"""Re-admit rejected rows: write the allow-list that a configuration names, and the next run keeps them.

    kalm readmit OUT --reason=WRONG_LANGUAGE --dataset=fever
    kalm curate --readmit=OUT.readmit.txt ...

Rows are chosen from OUT's rejections by their ids, by reject reasons and by datasets; several of a kind with commas.
A file that is there already is added to. Rows of which no example can be made are counted and left out.
"""

import argparse
import difflib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.publish import open_manifest, rejection_files
from pipelines.readmission import Wanted, is_id, read_allow_list, written
from pipelines.reporting import report_errors
from pipelines.verb_parser import add_out, verb_parser
from pipelines.workplace import absolute, shown_some
from schemas.errors import ConfigError
from schemas.manifest import Manifest
from schemas.reasons import RejectReason
from transforms.duplicates.published import loses_to_rejected
from transforms.flow.files import publish, read_bytes, read_parquet

#: Rows that a filter, a duplicate, a leak, a cap or the teacher took: they are examples, whatever was decided of them.
OVERRULED = frozenset(
    {
        RejectReason.TOO_SHORT,
        RejectReason.TOO_LONG,
        RejectReason.REPETITIVE,
        RejectReason.QUERY_IS_POSITIVE,
        RejectReason.WRONG_LANGUAGE,
        RejectReason.CONFLICTING_LABEL,
        RejectReason.EXACT_DUPLICATE,
        RejectReason.NEAR_DUPLICATE,
        RejectReason.LEAKED_EVALUATION,
        RejectReason.CAPPED,
        RejectReason.INCONSISTENT,
    }
)
_COLUMNS = ["dataset", "reason", "detail", "id", "kept_id"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which rejected rows: those with these ids, and those of these reasons in these datasets (empty: of all)."""

    ids: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    datasets: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not (self.ids or self.reasons or self.datasets):
            raise ConfigError(
                "nothing is chosen: give --ids, --reason or --dataset (kalm report shows ids and reasons)"
            )
        wrong = sorted(each for each in self.ids if not is_id(each))
        if wrong:
            raise ConfigError(f"--ids: {shown_some(wrong)}: an id has 32 hexadecimal digits, as rejections have it")
        for each in sorted(self.reasons):
            _known(each, [reason.value for reason in RejectReason], "--reason", "is no reject reason")

    def check(self, manifest: Manifest) -> None:
        """Raise ConfigError where a dataset is none of OUT's."""
        for each in sorted(self.datasets):
            _known(each, [record.name for record in manifest.datasets], "--dataset", "is no dataset of OUT")

    def mask(self, rows: pa.Table) -> pa.Array:
        """Which rejections are chosen."""
        chosen = pa.array([bool(self.reasons or self.datasets)] * rows.num_rows, pa.bool_())
        for name, wanted in (("reason", self.reasons), ("dataset", self.datasets)):
            if wanted:
                chosen = pc.and_(chosen, _is_in(rows, name, wanted))
        return pc.or_(chosen, _is_in(rows, "id", self.ids))


def _is_in(rows: pa.Table, name: str, values: Collection[str]) -> pa.Array:
    return pc.is_in(rows.column(name).combine_chunks(), pa.array(sorted(values), pa.string()))


def _known(word: str, known: Sequence[str], flag: str, what: str) -> None:
    if word not in known:
        near = difflib.get_close_matches(word.upper() if flag == "--reason" else word, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known) or 'none'}"
        raise ConfigError(f"{flag}={word}: {word} {what}; {hint}")


@dataclass(frozen=True, kw_only=True)
class Found:
    """Chosen rows that can stay, and how many cannot, by why."""

    rows: list[Wanted]
    left_out: Counter[str]


def find(out: str, choice: Choice) -> Found:
    """The rejected rows of OUT that are chosen. Raises ConfigError for an OUT without manifest, a dataset that is not
    there, and an id that no rejection has.
    """
    manifest, place = open_manifest(out), absolute(out)
    choice.check(manifest)
    rows, left_out, met = list[Wanted](), Counter[str](), set[str]()
    for name in (record.name for record in manifest.datasets):
        for path in rejection_files(place, name):
            table = read_parquet(path, _COLUMNS)
            for row in table.filter(choice.mask(table)).to_pylist():
                met.add(row["id"])
                why = _why_not(row)
                if why is None:
                    rows.append(Wanted(row["dataset"], row["id"], row["reason"]))
                else:
                    left_out[why] += 1
    unknown = sorted(choice.ids - met)
    if unknown:
        raise ConfigError(f"--ids: no rejected row of {out} has the id {shown_some(unknown)}; kalm report shows them")
    return Found(rows=rows, left_out=left_out)


def _why_not(row: dict[str, str]) -> str | None:
    if row["id"] is None or row["reason"] not in OVERRULED:
        return f"{row['reason']}: no example can be made of them"
    if row["id"] == row["kept_id"] and not loses_to_rejected(row["detail"]):
        return f"{row['reason']}: copies, equal in every byte, of rows that are kept"
    return None


def write_allow_list(found: Found, file: str) -> tuple[int, int]:
    """Add rows to a file, which is made where there is none; gives how many are new, and how many it then has.

    Raises ConfigError for a file that holds anything else.
    """
    path = absolute(file)
    there = read_allow_list(file) if read_bytes(path) is not None else []
    before, after = ({row.row_id for row in rows} for rows in (there, [*there, *found.rows]))
    publish(path, written([*there, *found.rows]))
    return len(after - before), len(after)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = verb_parser("readmit", __doc__)
    add_out(parser)
    for name, what in (("ids", "ids of rejected rows"), ("reason", "reject reasons"), ("dataset", "datasets")):
        parser.add_argument(f"--{name}", action="append", default=[], metavar=name.upper(), help=f"{what}, with commas")
    parser.add_argument("--to", metavar="FILE", help="the allow-list (default: OUT.readmit.txt, beside OUT)")
    given = parser.parse_args(argv)
    return report_errors(lambda: _run(given))


def _split(values: Sequence[str]) -> frozenset[str]:
    return frozenset(word.strip() for value in values for word in value.split(",") if word.strip())


def _run(given: argparse.Namespace) -> None:
    ids = frozenset(each.lower() for each in _split(given.ids))
    choice = Choice(ids=ids, reasons=_split(given.reason), datasets=_split(given.dataset))
    found, file = find(given.out, choice), given.to or f"{given.out.rstrip('/')}.readmit.txt"
    for line in _lines(found):
        print(line)
    if not found.rows:
        raise ConfigError(f"none of the chosen rows of {given.out} can be re-admitted; {file} was not written")
    new, total = write_allow_list(found, file)
    print(
        f"{file}: {total:,} rows, {new:,} of them new; the next run keeps them: --readmit={file}, with the same choice"
    )


def _lines(found: Found) -> Iterator[str]:
    for (dataset, reason), rows in sorted(Counter((row.dataset, row.reason) for row in found.rows).items()):
        yield f"re-admitted: {rows:,} of {dataset}, {reason}"
    for why, rows in sorted(found.left_out.items()):
        yield f"cannot be re-admitted: {rows:,}, {why}"
