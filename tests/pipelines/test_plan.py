"""``kalm plan``: a table for people and scripts, and errors that name the flag."""

import json

import pytest

from pipelines.costs.measured import measured
from pipelines.plan import COLUMNS, main, size

PLAIN = ["--rows=6000000", "--datasets=100", "--cores=4"]


def table(capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[dict[str, list[str]], list[str]]:
    """The cells of each stage, and the lines below the table."""
    capsys.readouterr()
    assert main([*PLAIN, *flags]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert tuple(header.split("\t")) == COLUMNS
    return {line.split("\t")[0]: line.split("\t")[1:] for line in lines[:5]}, lines[5:]


def numbers(capsys: pytest.CaptureFixture[str], *flags: str) -> list[dict[str, float]]:
    """The stages as ``--json`` has them."""
    capsys.readouterr()
    assert main([*PLAIN, "--json", *flags]) == 0
    stages: list[dict[str, float]] = json.loads(capsys.readouterr().out)["stages"]
    return stages


def test_each_stage_has_a_row_and_the_sum_stands_below(capsys: pytest.CaptureFixture[str]) -> None:
    rows, remarks = table(capsys, "--workers=8")
    assert list(rows) == ["prepare", "embed", "mine", "pack", "all"]
    hours = [float(cells[0].replace(",", "")) for cells in rows.values()]
    assert hours[-1] == pytest.approx(sum(hours[:-1]), abs=0.03)
    assert "docs/scale.md" in remarks[-1]


def test_no_flag_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out.count("\n") >= 6


def test_pretraining_needs_no_teacher(capsys: pytest.CaptureFixture[str]) -> None:
    finetune, pretrain = numbers(capsys), numbers(capsys, "--stage=pretrain")
    assert pretrain[1]["cpu_seconds"] < finetune[1]["cpu_seconds"] / 100
    assert pretrain[0]["cpu_seconds"] == pytest.approx(finetune[0]["cpu_seconds"])


def test_fewer_larger_datasets_cost_more_to_mine(capsys: pytest.CaptureFixture[str]) -> None:
    many, one = numbers(capsys)[2]["cpu_seconds"], numbers(capsys, "--datasets=1")[2]["cpu_seconds"]
    assert one > 10 * many


def test_workers_shorten_a_run_and_prices_follow(capsys: pytest.CaptureFixture[str]) -> None:
    few, many = numbers(capsys, "--workers=2"), numbers(capsys, "--workers=16")
    assert many[1]["seconds"] < few[1]["seconds"] / 4
    free = numbers(capsys, "--price_per_cpu_hour=0")
    assert [stage["money"] for stage in free] == [0, 0, 0, 0]


def test_more_workers_than_ranges_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    _, remarks = table(capsys, "--workers=500")
    assert "gain nothing" in remarks[0]
    assert not any("gain nothing" in line for line in table(capsys, "--workers=2")[1])


def test_many_rows_are_gathered_in_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    for rows, rounds in ((12_000_000, False), (13_000_000, True)):
        assert main([f"--rows={rows}", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["work"]["in_rounds"] is rounds


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--rows=0"], "--rows=0: must be 1 or more"),
        (["--speed=0"], "--speed=0.0: must be above 0"),
        (["--tokens_per_second=-1"], "--tokens_per_second=-1.0: must be above 0"),
        (["--kept=1.5"], "--kept=1.5: a share is above 0 and at most 1"),
        (["--efficiency=0"], "--efficiency=0.0: a share is above 0 and at most 1"),
        (["--price_per_cpu_hour=-1"], "--price_per_cpu_hour=-1.0: must be 0 or more"),
        (["--workers=2", "--runner=direct"], "the direct runner is one machine"),
        (["--gpus=2"], "--gpus=2: no teacher's pace on a GPU was measured; give"),
    ],
)
def test_a_value_that_makes_no_plan_is_named(flags: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(flags) == 2
    assert words in capsys.readouterr().err


def test_help_says_every_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert said.count("default:") >= 14
    assert all(name in said for name in measured().tokens_per_second)


@pytest.mark.parametrize(
    ("number", "words"),
    [(5, "5 B"), (2048, "2.0 KiB"), (1.5 * (1 << 30), "1.5 GiB"), (340 << 20, "340 MiB"), (3e15, "2,728 TiB")],
)
def test_bytes_are_said_in_words(number: float, words: str) -> None:
    assert size(number) == words
