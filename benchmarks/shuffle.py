"""What prepare sends through its shuffles: bytes at the input of each grouping, for each row and by key.

    python -m benchmarks.shuffle [--rows=1000000] [--template=200000] [--write=docs/measured.md]

Pairs of about 400 bytes lie in Parquet files in hub layout; of every hundred five are exact copies of others and ten
edited ones. A second run has rows of one template, which all may be near-duplicates of each other. Beam's in-process
runner groups the same bytes that an engine would send between workers. A key's bytes are those of its values.
"""

import argparse
import logging
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.runners.portability.fn_api_runner import execution

from benchmarks import _stage
from benchmarks._measure import run_module, tell
from benchmarks._report import fill, machine, table, versions
from benchmarks.join import english_words

NAME = "generated-pairs"
ENTRY = f"""
name: {NAME}
title: Generated pairs
stage: pretrain
task_type: retrieval
languages: [en]
source: {{hub: generated/pairs}}
adapter: pair
columns: {{query: query, positive: positive}}
"""
GROUP_ROWS = 50_000
#: Of a row group, the shares of exact and of edited copies.
EXACT, EDITED = 0.05, 0.10
#: What a row may cost: so many times its texts' bytes, and so many more.
TIMES, MORE = 1.5, 300
HEADER = ("rows", "grouping", "bytes a row", "largest key, share of all")
#: Groupings that are told by name; the rest is summed.
_MOST = 6


class Counted(execution.GroupingBuffer):
    """Beam's buffer of a grouping, which notes what came in: by key, and in all."""

    noted: Counter[str]
    keys: Counter[tuple[str, bytes]]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # Beam tells a buffer not whose it is; the caller knows.
        self.label = _label(sys._getframe(1).f_locals["buffer_id"].decode())

    def append(self, elements_data: bytes) -> None:
        """Take encoded pairs of key and value."""
        self.noted[self.label] += len(elements_data)
        super().append(elements_data)

    def partition(self, n: int) -> list[list[bytes]]:
        """The groups, encoded; what each holds is noted before."""
        for key, values in self._table.items():
            self.keys[self.label, key] += sum(len(value) for value in values if isinstance(value, bytes))
        return super().partition(n)


def _label(buffer_id: str) -> str:
    """``group:ref_AppliedPTransform_By-part_50`` is the grouping "By part"."""
    found = re.fullmatch(r"(?:group:)?(?:ref_AppliedPTransform_)?(.*?)(?:_\d+)?", buffer_id)
    return found[1].replace("-", " ") if found else buffer_id


@contextmanager
def counted() -> Iterator[type[Counted]]:
    """While this lasts, Beam's in-process runner notes what it groups."""
    Counted.noted, Counted.keys = Counter(), Counter()
    with mock.patch.object(execution, "GroupingBuffer", Counted):
        yield Counted


def pairs(rows: int, template: bool) -> Iterator[pa.Table]:
    """Rows of two texts, a row group at a time; with ``template`` all say the same of other things."""
    words, rng = english_words(), np.random.default_rng(3)
    for start in range(0, rows, GROUP_ROWS):
        size = min(GROUP_ROWS, rows - start)
        drawn = rng.integers(0, len(words), (size, 60))
        if template:
            drawn[:, 2:-2] = np.arange(56) % len(words)
        else:
            plant_copies(drawn, rng, len(words))
        spelt = words[drawn]
        queries = [f"What is the {' '.join(row[:9])}?" for row in spelt]
        yield pa.table({"query": queries, "positive": [f"The {' '.join(row[9:])}." for row in spelt]})


def plant_copies(drawn: Any, rng: np.random.Generator, words: int) -> None:
    """Make the last rows of words ``[rows, words a row]`` copies of others, whole or with one word changed."""
    size = len(drawn)
    copies = np.arange(size - int(size * (EXACT + EDITED)), size)
    drawn[copies] = drawn[rng.permutation(size - len(copies))[: len(copies)]]
    edited = copies[int(size * EXACT) :]
    drawn[edited, rng.integers(drawn.shape[1] // 3, drawn.shape[1], len(edited))] = rng.integers(0, words, len(edited))


def write_source(root: Path, rows: int, template: bool) -> float:
    """Write the rows in hub layout below ``root``, and their entry; gives the mean bytes of a row's texts."""
    folder = root / "hub" / "datasets" / "generated" / "pairs"
    folder.mkdir(parents=True)
    (root / "catalog").mkdir()
    (root / "catalog" / f"{NAME}.yaml").write_text(ENTRY, "utf-8")
    schema = pa.schema([("query", pa.string()), ("positive", pa.string())])
    size = 0
    with pq.ParquetWriter(folder / "train-00000-of-00001.parquet", schema) as writer:
        for group in pairs(rows, template):
            writer.write_table(group, row_group_size=GROUP_ROWS)
            size += sum(pa.compute.sum(pa.compute.binary_length(column)).as_py() for column in group.columns)
    return size / rows


def run_side(rows: int, template: bool) -> None:
    """prepare of so many rows, counted."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        text_bytes = write_source(root, rows, template)
        flags = [f"--source={root / 'hub'}", f"--catalog={root / 'catalog'}", f"--category={NAME}", "--evaluation=none"]
        with counted() as found:
            done = _stage.main(["prepare", *flags, f"--out={root / 'out'}", "--allow_alarms"])
    key, most = max(found.keys.items(), key=lambda item: item[1])
    tell(text_bytes=text_bytes, noted=found.noted, key=key[0], most=most, seconds=done["seconds"])


def lines(rows: int, template: bool, told: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A run's lines of the table: the largest groupings, the rest, and all."""
    noted = Counter(told["noted"])
    whole, name = noted.total(), f"{rows:,}{' of one template' if template else ''}"
    keys = {told["key"]: told["most"] / whole}
    largest = noted.most_common(_MOST)
    for label, size in largest:
        yield name, label, f"{size / rows:,.0f}", f"{keys[label]:.2%}" if label in keys else ""
    yield name, "all others", f"{(whole - sum(size for _, size in largest)) / rows:,.0f}", ""
    yield name, "**all**", f"{whole / rows:,.0f}", f"{max(keys.values()):.2%}"


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shuffle", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the first run (default: 1000000)")
    parser.add_argument("--template", type=int, default=200_000, help="rows of one template (default: 200000)")
    parser.add_argument("--write", type=Path, help="document whose block bench:shuffle is filled")
    parser.add_argument("--side", choices=("rows", "template"), help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code: 1 where a row costs more than it may."""
    arguments = build_parser().parse_args(argv)
    if arguments.side:
        logging.disable()
        run_side(getattr(arguments, arguments.side), arguments.side == "template")
        return 0
    facts, found, notes, within = machine(), [], [], True
    for side in ("rows", "template"):
        rows, template = getattr(arguments, side), side == "template"
        told = run_module("benchmarks.shuffle", f"--side={side}", f"--{side}={rows}")
        found += lines(rows, template, told)
        cost, allowed = sum(told["noted"].values()) / rows, TIMES * told["text_bytes"] + MORE
        within &= cost <= allowed
        kind = " of one template" if template else ""
        notes.append(
            f"{rows:,} rows{kind}: {told['text_bytes']:.0f} bytes of text each; {cost:,.0f} bytes a row shuffled, of "
            f"{allowed:,.0f} ({TIMES} times the text and {MORE}) that they may be; peak {told['peak_mib']:,} MiB, "
            f"{told['seconds']:.0f} s."
        )
    command = f"`python -m benchmarks.shuffle --rows={arguments.rows} --template={arguments.template}`"
    notes = [command, facts, versions(("apache-beam", "pyarrow")), *notes]
    text = table(HEADER, found) + "\n\n" + "\n".join(f"- {note}" for note in notes)
    print(text)
    if arguments.write:
        fill(arguments.write, "shuffle", text)
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
