"""What a person sees of a run: lines, a summary, nothing when quiet, and plain lines without a terminal."""

import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.display import Display, Shown, counted, plain_line
from pipelines.options import parse
from pipelines.reporting import fail
from schemas.manifest import StageCounts
from tests.schemas.records import SHARDS, manifest, record, stages
from transforms.flow import progress


def test_a_stage_says_what_it_counted_and_how_fast() -> None:
    numbers = {"read": 12_000, "kept": 11_200, "rejected": 800, "texts": 0}
    assert counted(numbers, 50_000, 4.0) == "read 12,000 of 50,000, kept 11,200, rejected 800, 3,000 rows/s"


def test_a_stage_that_embeds_says_texts_and_their_rate() -> None:
    numbers = {"read": 100, "kept": 100, "rejected": 0, "texts": 640, "texts_expected": 1280}
    assert counted(numbers, None, 2.0) == "read 100, kept 100, texts 640 of 1,280, 320 texts/s"


def test_a_stage_that_mines_says_searches_and_their_rate() -> None:
    numbers = {"read": 100, "kept": 0, "rejected": 0, "searches": 50, "searches_expected": 200}
    assert counted(numbers, 100, 2.0) == "read 100 of 100, searches 50 of 200, 25 searches/s"


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_stage_that_has_just_begun_says_so(seconds: float) -> None:
    assert counted({}, None, seconds) == "read 0"


def test_a_stage_that_is_done_leaves_its_totals(capsys: pytest.CaptureFixture[str]) -> None:
    counts = {
        "a": StageCounts(read=1000, kept=700, merged=100, rejected={"TIE": 150, "CAPPED": 50}),
        "b": StageCounts(read=500, kept=500),
    }
    Display(quiet=False).stage_done("prepare", counts, 3.0, skipped=False)
    said = capsys.readouterr()
    assert said.err == "prepare  read     1,500  kept 1,200, merged 100, rejected 200  (3.0 s, 500 rows/s)\n"
    assert said.out == "", "standard output is a script's"


def test_a_stage_that_was_there_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Display(quiet=False).stage_done("mine", {"a": StageCounts(read=2, kept=2)}, 0.0, skipped=True)
    assert capsys.readouterr().err == "mine     read         2  kept 2, rejected 0  (already there)\n"


def test_the_next_command_names_the_place(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display(quiet=False)
    display.next_command(parse([]))
    display.next_command(parse(["--out=/data/x"]))
    assert capsys.readouterr().err == "next: make train MODEL=tiny\nnext: make train MODEL=tiny OUT=/data/x\n"


def test_words_in_brackets_are_words_and_long_lines_stay_whole(capsys: pytest.CaptureFixture[str]) -> None:
    text = "a [bold]path[/bold] " + "x" * 500
    Display(quiet=False).say(text)
    assert capsys.readouterr().err == text + "\n"


def test_quiet_says_nothing_but_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    display = Display(quiet=True)
    display.say("something")
    display.stage_done("mine", {"a": StageCounts(read=2, kept=2)}, 0.0, skipped=True)
    display.summary(manifest(record("toy", stages(5, 0, 5), SHARDS)), ["toy"], "out")
    display.next_command(parse([]))
    with display.stage("mine", str(tmp_path)):
        pass
    assert capsys.readouterr() == ("", "")
    fail("no [such] place")
    assert capsys.readouterr() == ("", "error: no [such] place\n")


def _shown(monkeypatch: pytest.MonkeyPatch, folder: Path, terminal: bool, until: Callable[[str], bool]) -> str:
    """What is shown of a stage that runs until ``until`` is true of it."""
    monkeypatch.setattr("pipelines.display._PLAIN_INTERVAL", 0.01)
    monkeypatch.setattr("pipelines.display._LIVE_INTERVAL", 0.01)
    display, seen = Display(quiet=False), io.StringIO()
    display._console = Console(file=seen, force_terminal=terminal, width=200, highlight=False, color_system=None)
    progress.report(str(folder), read=30, kept=20)
    with display.stage("mine", str(folder), expected=90):
        for _ in range(2000):
            if until(seen.getvalue()):
                break
            time.sleep(0.005)
    return seen.getvalue()


LINE = "running; read 30 of 90, kept 20, "


def test_without_a_terminal_a_stage_writes_plain_lines_now_and_then(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = _shown(monkeypatch, tmp_path, False, lambda text: text.count("\n") >= 2)
    assert all(line.startswith("mine     0 s; " + LINE) for line in shown.splitlines())
    assert "\x1b" not in shown


def test_on_a_terminal_a_stage_rewrites_its_lines_and_takes_them_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = _shown(monkeypatch, tmp_path, True, lambda text: text.count("read 30 of 90") >= 2)
    assert "running" in shown
    assert "\x1b[2K" in shown, "a line is erased before it is written again"
    assert shown.endswith("\x1b[2K"), "nothing of it stays"


def test_what_is_in_work_is_named_by_the_labels_of_the_graph(tmp_path: Path) -> None:
    shown = Shown("prepare", str(tmp_path), 100, 4)
    assert plain_line(shown) == "prepare  0 s; starting; read 0 of 100"
    shown.step(["Near duplicates/By range of components/Read", "Near duplicates/Verify"])
    shown.step(["Parts and decisions/Read", "By part/Write"])
    assert "; finding near-duplicates: comparing candidates; " in plain_line(shown)
    shown.say("in words")
    assert "; in words; " in plain_line(shown)


def test_how_far_a_stage_is_never_shrinks(tmp_path: Path) -> None:
    shown = Shown("prepare", str(tmp_path), None, 4)
    assert shown.far({}) is None
    shown.step(["Read/ParDo(ReadRows)"])
    half = shown.far({"units": 2})
    assert half == pytest.approx(0.35, abs=0.05)
    assert shown.far({"units": 1}) == half
    shown.step(["Group"])
    assert (shown.far({}) or 0) > (half or 0)


def test_rows_that_are_known_say_more_than_units(tmp_path: Path) -> None:
    units, rows = Shown("prepare", None, None, 4), Shown("prepare", None, 1000, 4)
    for shown in (units, rows):
        shown.step(["Read"])
    assert (rows.far({"units": 0, "read": 500}) or 0) == units.far({"units": 2})


def test_a_stage_that_fails_stops_showing_and_lets_the_error_through(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), Display(quiet=False).stage("mine", str(tmp_path)):
        raise ValueError("broken")


def test_a_stage_without_a_folder_is_shown_without_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(quiet=False).stage("plan") as shown:
        assert plain_line(shown) == "plan     0 s; starting"
    assert capsys.readouterr() == ("", "")
