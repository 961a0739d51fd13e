"""What a person sees of a run: lines, a summary, nothing when quiet, and plain lines without a terminal."""

import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.display import Display, fail, stage_line
from pipelines.options import parse
from schemas.manifest import AbsentRecord, DatasetRecord, Manifest, OverlapRecord, ShardRecord, StageCounts
from transforms.flow import progress

Stages = dict[str, StageCounts]
SHARDS = [ShardRecord(path=f"finetune/sts/toy/{n}.parquet", rows=1, sha256="0") for n in range(3)]


def _record(name: str, stages: Stages, shards: list[ShardRecord]) -> DatasetRecord:
    return DatasetRecord(
        name=name,
        stage="finetune",
        task_type="sts",
        source="sample",
        revision=None,
        symmetric=False,
        instruction=None,
        stages=stages,
        shards=shards,
    )


def _stages(read: int, merged: int, kept: int, **rejected: int) -> Stages:
    ready = read - merged - sum(rejected.values())
    mined = {"INCONSISTENT": ready - kept} if ready > kept else {}
    return {
        "prepare": StageCounts(read=read, kept=ready, merged=merged, rejected=rejected),
        "embed": StageCounts(read=ready, kept=ready),
        "mine": StageCounts(read=ready, kept=kept, rejected=mined),
        "pack": StageCounts(read=kept, kept=kept),
    }


def _manifest(*records: DatasetRecord, absent: list[AbsentRecord] | None = None) -> Manifest:
    return Manifest(config={}, code="c", libraries={}, datasets=list(records), absent=absent or [])


def test_a_stage_says_rows_rate_and_time() -> None:
    numbers = {"read": 12_000, "kept": 11_200, "rejected": 800, "texts": 0}
    assert stage_line("prepare", numbers, 50_000, 4.0) == (
        "prepare  read 12,000 of 50,000  kept 11,200  rejected 800  3,000 rows/s  4 s"
    )


def test_a_stage_that_embeds_says_texts_and_their_rate() -> None:
    numbers = {"read": 100, "kept": 100, "rejected": 0, "texts": 640}
    assert stage_line("embed", numbers, None, 2.0) == (
        "embed    read 100  kept 100  rejected 0  texts 640  320 texts/s  2 s"
    )


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_stage_that_has_just_begun_says_so(seconds: float) -> None:
    assert stage_line("mine", {}, None, seconds).startswith("mine     read 0  kept 0  rejected 0  0 rows/s")


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


def _summary(capsys: pytest.CaptureFixture[str], manifest: Manifest, names: list[str]) -> list[str]:
    Display(quiet=False).summary(manifest, names, "out")
    return [line.rstrip() for line in capsys.readouterr().err.splitlines()]


def test_the_summary_says_what_became_of_each_dataset_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    manifest = _manifest(
        _record("toy", _stages(1200, 100, 1000, TOO_SHORT=10, TIE=60), SHARDS),
        _record("earlier", _stages(5, 0, 5), SHARDS),
        absent=[AbsentRecord(name="gone", detail="no such folder [here]")],
    )
    lines = _summary(capsys, manifest, ["toy"])
    assert lines[0].split() == ["dataset", "read", "kept", "merged", "rejected", "shards", "why"]
    assert lines[1].split() == [
        *("toy", "1,200", "1,000", "100", "100", "3"),
        *("TIE", "60,", "INCONSISTENT", "30,", "TOO_SHORT", "10"),
    ]
    assert lines[2:] == [
        "no evaluation sets were kept out",
        "absent: gone: no such folder [here]",
        "3 shards, manifest and rejections are in out/ (see out/manifest.json, out/rejections/)",
    ]


def test_of_much_that_is_absent_the_summary_shows_some(capsys: pytest.CaptureFixture[str]) -> None:
    absent = [AbsentRecord(name=f"gone{number:02}", detail="no folder") for number in range(13)]
    lines = _summary(capsys, _manifest(absent=absent), [])
    assert [line for line in lines if line.startswith("absent: ")] == [
        *(f"absent: gone{number:02}: no folder" for number in range(10)),
        "absent: 3 more; all stand in out/manifest.json",
    ]


def test_the_summary_says_what_was_found_of_evaluation_sets(capsys: pytest.CaptureFixture[str]) -> None:
    found = OverlapRecord(
        evaluation_set="SciFact", exact=2, contained=1, edited=19, queries=21, positives=550, corpus=5183
    )
    record = _record("toy", _stages(5, 0, 5), SHARDS)
    checked = record.model_copy(update={"checked": ["NQ", "SciFact"], "training_datasets": ["Toy", "Boy"]})
    overlapping = checked.model_copy(update={"overlaps": [found]})
    lines = _summary(capsys, _manifest(overlapping), ["toy"])
    assert lines[2].startswith("dataset  evaluation set  rejected  exact  contained  edited  of queries")
    assert lines[3].split() == ["toy", "SciFact", "22", "2", "1", "19", "21", "550", "5,183"]
    assert lines[4] == "training_datasets of a model card: Boy, Toy"
    assert _summary(capsys, _manifest(checked), ["toy"])[2] == "nothing was found of 2 evaluation sets"


def test_absent_evaluation_sets_take_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    absent = [AbsentRecord(name=f"evaluation/{name}", detail=d) for name, d in (("A", "x"), ("A", "y"), ("B", "z"))]
    lines = _summary(capsys, _manifest(_record("toy", _stages(5, 0, 5), SHARDS), absent=absent), ["toy"])
    assert [line for line in lines if "absent" in line] == [
        "absent evaluation sets, each with its reason in out/manifest.json: A, B"
    ]


def test_a_dataset_that_lost_all_its_rows_is_in_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _summary(capsys, _manifest(_record("toy", _stages(7, 0, 0, TIE=7), [])), ["toy"])
    assert lines[1].split() == ["toy", "7", "0", "0", "7", "0", "TIE", "7"]


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
    display.summary(_manifest(_record("toy", _stages(5, 0, 5), SHARDS)), ["toy"], "out")
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


LINE = "mine     read 30 of 90  kept 20  rejected 0  "


def test_without_a_terminal_a_stage_writes_plain_lines_now_and_then(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = _shown(monkeypatch, tmp_path, False, lambda text: text.count("\n") >= 2)
    assert all(line.startswith(LINE) for line in shown.splitlines())
    assert "\x1b" not in shown


def test_on_a_terminal_a_stage_rewrites_one_line_and_takes_it_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = _shown(monkeypatch, tmp_path, True, lambda text: text.count(LINE) >= 2)
    assert "\x1b[2K" in shown, "the line is erased before it is written again"
    assert not shown.rstrip().endswith("s"), "nothing of it stays"


def test_a_stage_that_fails_stops_showing_and_lets_the_error_through(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), Display(quiet=False).stage("mine", str(tmp_path)):
        raise ValueError("broken")


def test_a_stage_without_a_folder_is_shown_without_numbers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Display(quiet=False).stage("mine", None):
        pass
    assert capsys.readouterr() == ("", "")
