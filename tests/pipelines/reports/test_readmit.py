"""Re-admitting: rows that are listed stay in the next run, are counted, and nothing else changes."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipelines.command import main
from pipelines.readmission import HEAD, Wanted, by_dataset, read_allow_list, written
from pipelines.reports.diff import compare
from pipelines.reports.readmit import OVERRULED
from pipelines.verify import verify
from schemas.manifest import Manifest
from tests.e2e.running import curate, manifest_of, rejections, shard_digests, shard_rows
from tests.e2e.teacher import save_tiny_teacher

CATEGORY = "amazoncounterfactual,refgpt,scifact"
#: So that rows are lost to the cap, and to a teacher that knows little.
SETTINGS = (
    "mining.consistency_rank=10",
    "datasets.refgpt.cap=100",
    "alarms.share=1.0",
    "alarms.by_reason.INCONSISTENT=1.0",
    "alarms.by_reason.LEAKED_EVALUATION=1.0",
)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_teacher(tmp_path_factory.mktemp("teacher"))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, teacher: Path) -> Path:
    """A run that nobody has overruled. Tests leave it as it is."""
    folder = tmp_path_factory.mktemp("first") / "out"
    curate(folder, teacher, CATEGORY, SETTINGS)
    return folder


@pytest.fixture(scope="module")
def again(out: Path, teacher: Path) -> Path:
    """The same after every rejection that can be overruled was, in a folder of its own and with two workers."""
    folder = out.parent / "again"
    assert main(["readmit", str(out), f"--reason={','.join(sorted(OVERRULED))}"]) == 0
    curate(folder, teacher, CATEGORY, SETTINGS, readmit=f"{out}.readmit.txt", workers=2)
    return folder


def _all(out: Path) -> list[dict[str, Any]]:
    return [row for record in manifest_of(out).datasets for row in rejections(out, record.name)]


def _readmitted(manifest: Manifest) -> Counter[str]:
    found = Counter[str]()
    for counts in (counts for record in manifest.datasets for counts in record.stages.values()):
        found.update(counts.readmitted or {})
    return found


def _listed(rows: list[dict[str, Any]]) -> set[str]:
    return {r["id"] for r in rows if r["reason"] in OVERRULED and r["id"] and r["id"] != r["kept_id"]}


def test_what_was_listed_is_kept_and_counted_by_the_reason_that_was_overruled(out: Path, again: Path) -> None:
    before = _all(out)
    assert {row["reason"] for row in before} >= OVERRULED - {"TOO_LONG"}, "each family of reasons is tried"
    listed = _listed(before)
    kept = {row["id"] for record in manifest_of(again).datasets for row in shard_rows(again, record.name)}
    assert listed <= kept
    assert verify(str(again)) == []
    stayed = _readmitted(manifest_of(again))
    assert stayed.keys() == {row["reason"] for row in before if row["id"] in listed}
    assert stayed["CAPPED"] >= 1
    duplicates = [row for row in before if row["reason"] == "EXACT_DUPLICATE" and row["id"] != row["kept_id"]]
    assert stayed["EXACT_DUPLICATE"] == len(duplicates) > 0
    assert sum(overlap.rejected for r in manifest_of(again).datasets for overlap in r.overlaps) == 0


def test_copies_and_rows_that_are_no_examples_stay_rejected(out: Path, again: Path) -> None:
    lost = {row["reason"] for row in _all(again)}
    assert lost <= {row["reason"] for row in _all(out)}
    listed = _listed(_all(out))
    assert all(row["id"] == row["kept_id"] for row in _all(again) if row["id"] in listed)


def test_one_worker_gives_the_same_bytes_and_what_does_not_depend_on_it_is_taken_over(
    out: Path, again: Path, teacher: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    wanted = next(row["id"] for row in rejections(out, "scifact") if row["reason"] == "WRONG_LANGUAGE")
    assert main(["readmit", str(out), f"--ids={wanted}", f"--to={tmp_path}/one"]) == 0
    work = f"--work={out}/.work"
    words = ["curate", f"--category={CATEGORY}", f"--teacher={teacher}", *(f"--set={each}" for each in SETTINGS), work]
    capfd.readouterr()
    assert main([*words, f"--out={folder}", f"--readmit={tmp_path}/one"]) == 0
    shown = capfd.readouterr().err
    assert "mine     2 of 3 datasets are as an earlier run left them" in shown
    assert "re-admitted: 1 wrong language" in shown
    assert [c.dataset for c in compare(str(out), str(folder)).changed] == ["scifact"]
    (change,) = compare(str(out), str(folder)).changed
    assert any("its readmit: none -> 1 ids, digest" in why for why in change.why)
    assert main([*words, f"--out={folder}", f"--readmit={out}.readmit.txt", "-q"]) == 0
    assert shard_digests(folder) == shard_digests(again)
    for name in ("README.md", "report.html"):
        assert (folder / name).read_bytes() == (again / name).read_bytes()
        assert "a person re-admitted" in (folder / "README.md").read_text("utf-8")


def test_ids_that_no_row_has_are_told_at_the_end(
    out: Path, teacher: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    unknown, file = "0" * 31 + "1", tmp_path / "list"
    file.write_bytes(written([Wanted("scifact", unknown), Wanted("no-such", unknown)]))
    words = [f"--category={CATEGORY}", f"--teacher={teacher}", *(f"--set={each}" for each in SETTINGS)]
    assert main(["curate", *words, f"--out={tmp_path}/out", f"--work={out}/.work", f"--readmit={file}"]) == 0
    shown = capfd.readouterr().err
    assert f"noticed: scifact: 1 of 1 ids to re-admit are of no row that came through reading ({unknown})" in shown
    assert "noticed: no-such: 1 ids to re-admit are of a dataset that is no part of this run" in shown
    assert shard_digests(tmp_path / "out") == shard_digests(out)


def test_the_verb_says_what_it_lists_and_what_cannot_be_kept(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "list"
    assert main(["readmit", str(out), "--dataset=amazoncounterfactual", f"--to={file}"]) == 0
    shown = capsys.readouterr().out
    assert "re-admitted: 2 of amazoncounterfactual, CONFLICTING_LABEL" in shown
    assert "cannot be re-admitted: 1, INVALID_UTF8: no example can be made of them" in shown
    first = read_allow_list(str(file))
    assert main(["readmit", str(out), "--reason=TOO_SHORT", "--dataset=scifact,refgpt", f"--to={file}"]) == 0
    assert "new; the next run keeps them" in capsys.readouterr().out
    both = read_allow_list(str(file))
    assert set(first) < set(both)
    assert {row.reason for row in set(both) - set(first)} == {"TOO_SHORT"}
    assert file.read_bytes() == written(reversed(both))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing is chosen"),
        (["--reason=WRONG_LANGUAG"], "did you mean WRONG_LANGUAGE"),
        (["--reason=wrong_language"], "did you mean WRONG_LANGUAGE"),
        (["--dataset=scifct"], "did you mean scifact?"),
        (["--ids=abc"], "an id has 32 hexadecimal digits"),
        ([f"--ids={'0' * 32}"], "no rejected row of"),
        (["--reason=INVALID_UTF8"], "none of the chosen rows"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(
    out: Path, tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["readmit", str(out), *words, f"--to={tmp_path}/list"]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "list").exists()


def test_an_out_without_a_manifest_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["readmit", str(tmp_path), "--reason=TOO_SHORT"]) == 2
    assert "holds no manifest.json" in capsys.readouterr().err


def test_a_file_is_read_as_it_is_written_and_by_hand(tmp_path: Path) -> None:
    rows = [Wanted("b", "1" * 32, "TOO_LONG"), Wanted("a", "e" * 32), Wanted("b", "0" * 32, "CAPPED")]
    data = written([*rows, Wanted("a", "e" * 32)])
    assert data == f"{HEAD}a\t{'e' * 32}\nb\t{'0' * 32}\tCAPPED\nb\t{'1' * 32}\tTOO_LONG\n".encode()
    (tmp_path / "list").write_bytes(data + b"\n  c " + b"A" * 32 + b"  # by hand\r\n")
    assert read_allow_list(str(tmp_path / "list")) == [*sorted(rows), Wanted("c", "a" * 32)]
    assert by_dataset(rows, ["b", "z"]) == {"b": ["0" * 32, "1" * 32]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"fever\n", ":1: a row is its dataset and its id"),
        (b"# head\nfever 12\n", ":2: a row is its dataset and its id"),
        (b"\xff\xfe\x00", "is no UTF-8 text"),
        (None, "there is no file"),
    ],
)
def test_a_file_that_is_no_list_is_refused_before_anything_is_read(
    tmp_path: Path, text: bytes | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "list"
    if text is not None:
        file.write_bytes(text)
    for more in ([], ["--dry_run"]):
        assert main(["curate", "--category=trecqa", f"--readmit={file}", f"--out={tmp_path}/out", "-q", *more]) == 2
        assert said in capsys.readouterr().err


def test_the_configuration_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("readmit: kept.txt\n")
    assert main(["config", f"--config={tmp_path}/mine.yaml"]) == 0
    shown = capsys.readouterr().out
    assert "readmit: kept.txt" in shown
    (tmp_path / "again.yaml").write_text(shown)
    assert main(["config", f"--config={tmp_path}/again.yaml"]) == 0
    assert "readmit: kept.txt" in capsys.readouterr().out
