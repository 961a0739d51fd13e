"""What a person sees of a run: a bar for the stage at work, a line for each that is done, a summary at the end."""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from pipelines import summary
from pipelines.options import Command
from pipelines.steps import Step, fraction, spoken, step_of, time_left
from schemas.manifest import Manifest, StageCounts
from transforms.flow import progress

_PLAIN_INTERVAL = 10.0  # seconds between lines without a terminal
_PLAIN_WIDTH = 160
_LIVE_INTERVAL = 0.5


class Shown:
    """A stage that is shown while it runs: what it counts, what is in work, and how far it is."""

    def __init__(self, name: str, folder: str | None, expected: int | None, units: int) -> None:
        self.name = name
        self._folder, self._expected, self._units = folder, expected, units
        self._started = time.monotonic()
        self._step: Step | None = None
        self._words = ""
        self._samples: list[tuple[float, float]] = []
        self.done = threading.Event()

    def step(self, labels: Sequence[str]) -> None:
        """Transforms with these labels begin to run."""
        found = step_of(self.name, labels)
        if found is not None:
            self._step, self._words = found, found.words

    def say(self, words: str) -> None:
        """What is in work, in words."""
        self._words = words

    def words(self, numbers: dict[str, int]) -> str:
        """What is in work. Engines that run all steps side by side do not say which, so what they count tells it."""
        return self._words or ("running" if any(numbers.values()) else "starting")

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self._started

    def numbers(self) -> dict[str, int]:
        """What its workers counted so far."""
        return progress.totals(self._folder) if self._folder else {}

    def counted(self, numbers: dict[str, int]) -> str:
        """``read 12,000 of 50,000, kept 11,200, rejected 800, 3,400 rows/s``."""
        return counted(numbers, self._expected, self.seconds) if self._folder else ""

    def far(self, numbers: dict[str, int]) -> float | None:
        """How much is done, from 0 to 1, never less than it was; None where that is not known."""
        units = {"units_expected": self._units}
        if self._expected:
            units = {"units": numbers.get("read", 0), "units_expected": self._expected}
        found = fraction(self.name, self._step, numbers | units)
        if found is not None and (not self._samples or found > self._samples[-1][1]):
            self._samples.append((self.seconds, found))
        return self._samples[-1][1] if self._samples else None

    def left(self) -> float | None:
        """Seconds that it will go on, as far as that can be told."""
        return time_left(self._samples, self.seconds)


class Display:
    """Writes to standard error, so that standard output stays for what a script wants to read."""

    def __init__(self, quiet: bool) -> None:
        width = None if sys.stderr.isatty() else _PLAIN_WIDTH
        self._console = Console(stderr=True, quiet=quiet, highlight=False, width=width)
        self._quiet = quiet

    def say(self, text: str, style: str | None = None) -> None:
        """One plain line; on a terminal it is broken between words."""
        self._console.print(escape(text), soft_wrap=not self._console.is_terminal, style=style)

    @contextmanager
    def stage(
        self, name: str, folder: str | None = None, expected: int | None = None, units: int = 0
    ) -> Iterator[Shown]:
        """Show a stage while it runs. ``expected``, ``units``: rows, and pieces of its sources, that it will read."""
        shown = Shown(name, folder, expected, units)
        thread = threading.Thread(target=self._watch, args=(shown,), daemon=True)
        if not self._quiet:
            thread.start()
        try:
            yield shown
        finally:
            shown.done.set()
            if thread.is_alive():
                thread.join()

    def _watch(self, shown: Shown) -> None:
        if not self._console.is_terminal:
            while not shown.done.wait(_PLAIN_INTERVAL):
                self.say(plain_line(shown))
            return
        with Live(live_lines(shown), console=self._console, transient=True, auto_refresh=False) as live:
            while not shown.done.wait(_LIVE_INTERVAL):
                live.update(live_lines(shown), refresh=True)

    def stage_done(self, name: str, counts: dict[str, StageCounts], seconds: float, skipped: bool) -> None:
        """The line that stays: totals over datasets, and whether the stage was there already."""
        read, kept, merged = (sum(getattr(c, field) for c in counts.values()) for field in ("read", "kept", "merged"))
        rejected = sum(sum(c.rejected.values()) for c in counts.values())
        took = f"{seconds:.1f} s" if seconds < 10 else spoken(seconds)
        took = "already there" if skipped else f"{took}, {read / max(seconds, 1e-9):,.0f} rows/s"
        merged_text = f", merged {merged:,}" if merged else ""
        self.say(f"{name:<8} read {read:>9,}  kept {kept:,}{merged_text}, rejected {rejected:,}  ({took})")

    def summary(self, manifest: Manifest, names: list[str], out: str) -> None:
        """Totals, alarms, the datasets that lost most with the reasons in words, evaluation sets, what is absent."""
        records = summary.of_run(manifest, names)
        worst = summary.most_lost(records)
        self.say("")
        self.say(summary.total_line(records, out), "bold")
        for line in summary.alarms_of(records):
            self.say(line, "red")
        if worst:
            self._console.print(summary.loss_table(worst))
        self.say(summary.rest_line(records, len(worst), out))
        card = summary.card_line(records, out)
        for line in [
            *summary.readmitted_lines(records),
            *summary.mining_lines(records),
            *summary.evaluation_lines(records),
            *summary.absent_lines(manifest, out),
            *([card] if card else []),
        ]:
            self.say(line)

    def next_command(self, command: Command) -> None:
        """What to try next with what is there now."""
        out = "" if command.config.out == "out" else f" OUT={command.config.out}"
        self.say(f"next: make train MODEL=tiny{out}")


def counted(numbers: dict[str, int], expected: int | None, seconds: float) -> str:
    """What workers counted, as a line: ``read 12,000 of 50,000, kept 11,200, rejected 800, 3,400 rows/s``."""
    of = f" of {expected:,}" if expected else ""
    parts = [f"read {numbers.get('read', 0):,}{of}"]
    parts += [f"{name} {numbers[name]:,}" for name in ("kept", "rejected") if numbers.get(name)]
    done, what = numbers.get("read", 0), "rows"
    for name in ("texts", "searches"):
        if known := numbers.get(f"{name}_expected", 0):
            done, what = numbers.get(name, 0), name
            parts.append(f"{name} {done:,} of {known:,}")
    rate = done / max(seconds, 1e-9)
    return ", ".join([*parts, *([f"{rate:,.0f} {what}/s"] if rate else [])])


def plain_line(shown: Shown) -> str:
    """One line that stays, for a log: ``prepare  34 %, about 40 s left; reading and cleaning; read 12,000, ...``."""
    numbers = shown.numbers()
    told = [_time(shown, shown.far(numbers)), shown.words(numbers), shown.counted(numbers)]
    return f"{shown.name:<8} {'; '.join(filter(None, told))}"


def _time(shown: Shown, done: float | None) -> str:
    left = shown.left()
    rest = f"about {spoken(max(1, left))} left" if left is not None else ""
    return ", ".join(filter(None, [f"{done:.0%}" if done else "", spoken(shown.seconds), rest]))


def live_lines(shown: Shown) -> RenderableType:
    """A bar with the time that is left, and below it what is in work and what was counted."""
    numbers = shown.numbers()
    done = shown.far(numbers)
    bar = Progress(
        TextColumn("{task.description:<8}"), BarColumn(30), TextColumn("{task.fields[time]}"), auto_refresh=False
    )
    total = None if done is None else 1000
    bar.add_task(shown.name, total=total, completed=round(1000 * (done or 0)), time=_time(shown, done))
    below = [shown.words(numbers), *filter(None, [shown.counted(numbers)])]
    lines = (Text(f"{'':<9}{line}", "dim", no_wrap=True, overflow="ellipsis") for line in below)
    return Group(bar, *lines)
