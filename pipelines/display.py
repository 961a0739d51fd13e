"""What a person sees of a run: a live line for the stage at work, a line for each that is done, a summary at the
end.
"""

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipelines.options import Command
from schemas.manifest import EVALUATION_PREFIX, Manifest, OverlapRecord, StageCounts
from transforms.flow import progress

_PLAIN_INTERVAL = 10.0  # seconds between lines without a terminal
_PLAIN_WIDTH = 160
_LIVE_INTERVAL = 0.5
_ABSENT_SHOWN = 10


class Display:
    """Writes to standard error, so that standard output stays for what a script wants to read."""

    def __init__(self, quiet: bool) -> None:
        width = None if sys.stderr.isatty() else _PLAIN_WIDTH
        self._console = Console(stderr=True, quiet=quiet, highlight=False, width=width)
        self._quiet = quiet

    def say(self, text: str) -> None:
        """One plain line."""
        self._console.print(escape(text), soft_wrap=True)

    @contextmanager
    def stage(self, name: str, folder: str | None, expected: int | None = None) -> Iterator[None]:
        """Show a stage while it runs. ``expected``: rows that it is known to read, if they are known."""
        started = time.monotonic()
        done = threading.Event()
        thread = threading.Thread(target=self._watch, args=(name, folder, expected, started, done), daemon=True)
        if not self._quiet:
            thread.start()
        try:
            yield
        finally:
            done.set()
            if thread.is_alive():
                thread.join()

    def _watch(
        self, name: str, folder: str | None, expected: int | None, started: float, done: threading.Event
    ) -> None:
        def line() -> str:
            numbers = progress.totals(folder) if folder else {}
            return stage_line(name, numbers, expected, time.monotonic() - started)

        if not self._console.is_terminal:
            while not done.wait(_PLAIN_INTERVAL):
                self.say(line())
            return
        with Live(Text(line()), console=self._console, transient=True, auto_refresh=False) as live:
            while not done.wait(_LIVE_INTERVAL):
                live.update(Text(line()), refresh=True)

    def stage_done(self, name: str, counts: dict[str, StageCounts], seconds: float, skipped: bool) -> None:
        """The line that stays: totals over datasets, and whether the stage was there already."""
        read, kept, merged = (sum(getattr(c, field) for c in counts.values()) for field in ("read", "kept", "merged"))
        rejected = sum(sum(c.rejected.values()) for c in counts.values())
        took = "already there" if skipped else f"{seconds:.1f} s, {read / max(seconds, 1e-9):,.0f} rows/s"
        merged_text = f", merged {merged:,}" if merged else ""
        self.say(f"{name:<8} read {read:>9,}  kept {kept:,}{merged_text}, rejected {rejected:,}  ({took})")

    def summary(self, manifest: Manifest, names: list[str], out: str) -> None:
        """What became of each dataset's rows, what is absent, where the result is and what to do next."""
        table = Table(title=None, box=None, pad_edge=False)
        for column in ("dataset", "read", "kept", "merged", "rejected", "shards"):
            table.add_column(column, justify="left" if column == "dataset" else "right")
        table.add_column("why")
        for record in manifest.datasets:
            if record.name in names:
                table.add_row(*_summary_row(record.name, record.stages, len(record.shards)))
        self._console.print(table)
        self._overlaps(manifest, names)
        self._absent(manifest, out)
        shards = sum(len(record.shards) for record in manifest.datasets if record.name in names)
        self.say(f"{shards} shards, manifest and rejections are in {out}/ (see {out}/manifest.json, {out}/rejections/)")

    def _absent(self, manifest: Manifest, out: str) -> None:
        """What was asked for and is not there: some datasets with their reasons, evaluation sets in one line."""
        sets = sorted({a.name for a in manifest.absent if a.name.startswith(EVALUATION_PREFIX)})
        datasets = [absent for absent in manifest.absent if absent.name not in sets]
        for absent in datasets[:_ABSENT_SHOWN]:
            self.say(f"absent: {absent.name}: {absent.detail}")
        if len(datasets) > _ABSENT_SHOWN:
            self.say(f"absent: {len(datasets) - _ABSENT_SHOWN} more; all stand in {out}/manifest.json")
        if sets:
            names = ", ".join(name.removeprefix(EVALUATION_PREFIX) for name in sets)
            self.say(f"absent evaluation sets, each with its reason in {out}/manifest.json: {names}")

    def _overlaps(self, manifest: Manifest, names: list[str]) -> None:
        """What was found of evaluation sets, and what a model card declares."""
        records = [record for record in manifest.datasets if record.name in names]
        checked = {name for record in records for name in record.checked}
        rows = [(record.name, overlap) for record in records for overlap in record.overlaps]
        if not checked:
            self.say("no evaluation sets were kept out")
        elif not rows:
            self.say(f"nothing was found of {len(checked)} evaluation sets")
        else:
            self._console.print(overlap_table(rows))
        trained = sorted({name for record in records if record.shards for name in record.training_datasets})
        if trained:
            self.say(f"training_datasets of a model card: {', '.join(trained)}")

    def next_command(self, command: Command) -> None:
        """What to try next with what is there now."""
        out = "" if command.config.out == "out" else f" OUT={command.config.out}"
        self.say(f"next: make train MODEL=tiny{out}")


def overlap_table(rows: Iterable[tuple[str, OverlapRecord]]) -> Table:
    """For each training dataset and evaluation set: rejected rows by kind, and the passages that both hold."""
    table = Table(title=None, box=None, pad_edge=False)
    for column in ("dataset", "evaluation set"):
        table.add_column(column)
    for column in ("rejected", "exact", "contained", "edited", "of queries", "passages in positives", "in corpus"):
        table.add_column(column, justify="right")
    for name, found in rows:
        numbers = (found.rejected, found.exact, found.contained, found.edited)
        more = (found.queries, found.positives, found.corpus)
        table.add_row(name, found.evaluation_set, *(f"{number:,}" for number in (*numbers, *more)))
    return table


def _summary_row(name: str, stages: dict[str, StageCounts], shards: int) -> list[str]:
    rejected: dict[str, int] = {}
    for counts in stages.values():
        for reason, rows in counts.rejected.items():
            rejected[reason] = rejected.get(reason, 0) + rows
    first, last = stages["prepare"], stages["pack"]
    numbers = [first.read, last.kept, sum(c.merged for c in stages.values()), sum(rejected.values()), shards]
    why = ", ".join(f"{reason} {rows:,}" for reason, rows in sorted(rejected.items(), key=lambda item: -item[1]))
    return [name, *(f"{number:,}" for number in numbers), why]


def stage_line(name: str, numbers: dict[str, int], expected: int | None, seconds: float) -> str:
    """``prepare   read 12,000 of 50,000  kept 11,200  rejected 800  3,400 rows/s  14 s``."""
    read = numbers.get("read", 0)
    of = f" of {expected:,}" if expected else ""
    rate = numbers.get("texts", 0) or read
    unit = "texts" if numbers.get("texts") else "rows"
    texts = f"  texts {numbers['texts']:,}" if numbers.get("texts") else ""
    return (
        f"{name:<8} read {read:,}{of}  kept {numbers.get('kept', 0):,}  rejected {numbers.get('rejected', 0):,}{texts}"
        f"  {rate / max(seconds, 1e-9):,.0f} {unit}/s  {seconds:.0f} s"
    )


def fail(message: str) -> None:
    """An error, on standard error, whatever is quiet."""
    print(f"error: {message}", file=sys.stderr)
