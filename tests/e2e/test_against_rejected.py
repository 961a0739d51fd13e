"""What an earlier run rejected once it had compared it counts for later ones as it does within one run."""

import random
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.curate_command import main
from pipelines.reports.readmit import main as readmit_main
from schemas.content_names import content_name
from schemas.manifest import Manifest
from tests.e2e.running import flags, manifest_of, rejections, shard_digests, shard_rows
from tests.e2e.test_against import LABELLED, OTHER, edited, ids, pairs, run, write
from transforms.flow.files import parquet_bytes, publish

pytestmark = pytest.mark.slow

#: Rows whose question says nothing of their answer are many; a positive must be among the first.
SETTINGS = ["--set=mining.consistency_rank=15"]


def sentence(row: Mapping[str, str]) -> str:
    """Some words of an answer, long enough to be found wherever they stand."""
    return " ".join(row["answer"].split()[5:17])


def reworded(row: dict[str, str]) -> dict[str, str]:
    """The same but for two words of the sentence: no evaluation query any more, and a near-duplicate."""
    words = row["answer"].split()
    return row | {"answer": " ".join([*words[:8], "certainly", *words[9:13], "perhaps", *words[14:]])}


def planted(seed: int) -> tuple[dict[str, list[dict[str, str]]], list[str]]:
    """Rows of ``old`` and ``new``, and evaluation queries that rows of ``old`` hold.

    Of each kind of row of ``old`` there are copies, edited ones and edited ones of edited ones in ``new``.
    """
    generator = random.Random(seed)
    rows = pairs(100 + seed, 70)
    old = [*rows, *map(edited, rows[:12]), *rows[12:15]]
    twice = [edited(edited(row), longer=True) for row in generator.sample(rows, 14)]
    new = [*pairs(200 + seed, 30), *map(reworded, rows[20:26]), *map(edited, generator.sample(rows, 14)), *twice]
    return {"old": generator.sample(old, len(old)), "new": [*new, *generator.sample(rows, 14)]}, [
        sentence(row) for row in rows[20:26]
    ]


def source(root: Path, seed: int, cap: int = 50) -> list[str]:
    """Such rows as a source; gives the flags of a run over them."""
    rows, queries = planted(seed)
    options = [*write(root, rows, {"old": 3, "new": 5}), *SETTINGS]
    for path in (root / "catalog").glob("*.yaml"):
        text = path.read_text().replace("stage: pretrain", "stage: finetune")
        path.write_text(text + (f"cap: {cap}\n" if path.stem == "old" else ""))
    table = pa.table({"_id": [str(n) for n in range(len(queries))], "text": queries})
    publish(str(root / "sets" / "secret" / "queries.parquet"), parquet_bytes(table))
    return [option for option in options if option != "--evaluation=none"] + [f"--evaluation={root / 'sets'}"]


def reasons(out: Path, name: str) -> Counter[str]:
    return Counter(row["reason"] for row in rejections(out, name))


def prepared(out: Path) -> int:
    """Rows of ``new`` that deduplication left."""
    return manifest_of(out).dataset("new").stages["prepare"].kept


def told(row: Mapping[str, Any], place: object) -> str | None:
    """For what the row in this one's place was rejected, if it was."""
    before, _, rest = row["detail"].rpartition(", rejected as ")
    return rest.removesuffix(f" in {place}") if before else None


@pytest.mark.parametrize("seed", range(4))
def test_two_runs_keep_what_one_run_keeps_whatever_the_first_rejected(tmp_path: Path, teacher: Path, seed: int) -> None:
    options, first = source(tmp_path, seed), tmp_path / "first"
    run(first, teacher, "old", options)
    run(tmp_path / "then", teacher, "new", options, against=first)
    run(tmp_path / "both", teacher, "old,new", options)
    assert ids(first, "old") | ids(tmp_path / "then", "new") == ids(tmp_path / "both", "old", "new")
    there = reasons(first, "old")
    assert min(there[name] for name in ("LEAKED_EVALUATION", "CAPPED", "INCONSISTENT", "NEAR_DUPLICATE")) > 0, there
    lost = {(row["id"], row["reason"]) for row in rejections(first, "old")}  # equal copies have one id
    named = Counter[str]()
    for row in rejections(tmp_path / "then", "new"):
        if (reason := told(row, first)) is not None:
            assert row["reason"] in ("NEAR_DUPLICATE", "EXACT_DUPLICATE")
            assert (row["kept_id"], reason) in lost
            named[reason] += 1
    assert min(named[name] for name in ("LEAKED_EVALUATION", "CAPPED", "INCONSISTENT")) > 0, named
    (folder,) = manifest_of(tmp_path / "then").against[0].folders
    compared = sum(rows for reason, rows in there.items() if reason != "EXACT_DUPLICATE")
    assert (folder.rejected_rows, sorted(folder.rejected)) == (compared, ["old"])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, teacher: Path) -> tuple[Path, list[str]]:
    """A first run's OUT, and the flags of runs over its source."""
    root = tmp_path_factory.mktemp("made")
    options = source(root, 9)
    run(root / "first", teacher, "old", options)
    return root / "first", options


def said(capsys: pytest.CaptureFixture[str], out: Path, teacher: Path, options: Iterable[str], **more: object) -> str:
    capsys.readouterr()
    assert main([*flags(out, teacher, "new", **more), *options]) == 0
    return " ".join(capsys.readouterr().err.split())


def test_where_rejections_are_gone_or_of_an_older_form_a_run_says_so_and_compares_with_shards_alone(
    tmp_path: Path, teacher: Path, made: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    first, options = tmp_path / "first", made[1]
    shutil.copytree(made[0], first)
    words = said(capsys, tmp_path / "whole", teacher, options, against=first)
    counted = sum(n for reason, n in reasons(first, "old").items() if reason != "EXACT_DUPLICATE")
    assert f"in {first} (and {counted} that it rejected after comparing them)" in words
    assert "noticed" not in words
    files = sorted((first / "rejections" / "old").glob("*.parquet"))
    tables = [pq.ParquetFile(path).read() for path in files]
    for path in files:
        path.unlink()
    gone = said(capsys, tmp_path / "out", teacher, options, against=first)
    assert f"noticed: {first}/rejections/old does not hold the rows that the manifest counts (0 of" in gone
    assert "cannot be compared with, so a copy of one of them counts as new" in gone
    kept = prepared(tmp_path / "out")
    assert kept > prepared(tmp_path / "whole")
    assert manifest_of(tmp_path / "out").against[0].folders[0].rejected == {}
    for path, table in zip(files, tables, strict=True):
        data = parquet_bytes(table.drop_columns("id"))
        publish(f"{path.parent}/{content_name(data)}.parquet", data)
    older = said(capsys, tmp_path / "out", teacher, options, against=first)
    assert f"noticed: {first}/rejections/old is of an older form, without ids: rows of old" in older
    assert prepared(tmp_path / "out") == kept


def test_a_damaged_file_of_rejections_is_refused(
    tmp_path: Path, teacher: Path, made: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    first = tmp_path / "first"
    shutil.copytree(made[0], first)
    path = min((first / "rejections" / "old").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-9] + b"tampered!")
    assert main([*flags(tmp_path / "out", teacher, "new", against=first), *made[1], "-q"]) == 9
    assert f"{first} is damaged: rejections/old/{path.name} holds other bytes" in capsys.readouterr().err


def test_a_dry_run_counts_them(made: tuple[Path, list[str]], tmp_path: Path, teacher: Path, capsys: Any) -> None:
    words = said(capsys, tmp_path / "out", teacher, [*made[1], "--dry_run"], against=made[0])
    counted = sum(n for reason, n in reasons(made[0], "old").items() if reason != "EXACT_DUPLICATE")
    assert f"(and {counted} that it rejected after comparing them)" in words


def test_a_dataset_all_of_whose_rows_went_is_compared_with_too(tmp_path: Path, teacher: Path) -> None:
    """One label for each text, so that none has a companion; a further file of the same dataset holds copies."""
    lonely = [row | {"label": f"label {n}"} for n, row in enumerate(LABELLED[:9])]
    first, second = (write(tmp_path / str(n), {"labels": rows}) for n, rows in enumerate((lonely, lonely[:5])))
    for n in range(2):
        path = tmp_path / str(n) / "catalog" / "labels.yaml"
        path.write_text(path.read_text().replace("stage: pretrain", "stage: finetune"))
    run(tmp_path / "a", teacher, "labels", first)
    assert manifest_of(tmp_path / "a").dataset("labels").num_rows == 0
    run(tmp_path / "b", teacher, "labels", second, against=tmp_path / "a")
    rows = rejections(tmp_path / "b", "labels")
    assert Counter((row["reason"], told(row, tmp_path / "a")) for row in rows) == {
        ("EXACT_DUPLICATE", "LONELY_LABEL"): 5
    }
    assert all(row["id"] == row["kept_id"] for row in rows)


def test_contradictions_that_an_earlier_run_found_hold(tmp_path: Path, teacher: Path) -> None:
    others = [{"text": row["text"], "label": OTHER[row["label"]]} for row in LABELLED[:6]]
    first = write(tmp_path / "1", {"labels": [*LABELLED[:20], *others]})
    second = write(tmp_path / "2", {"labels": [*LABELLED[:3], *LABELLED[20:30]]})
    run(tmp_path / "a", teacher, "labels", first)
    run(tmp_path / "b", teacher, "labels", second, against=tmp_path / "a")
    assert reasons(tmp_path / "b", "labels") == {"CONFLICTING_LABEL": 3}
    end = f", one of them rejected as CONFLICTING_LABEL in {tmp_path / 'a'}"
    assert all(row["detail"].endswith(end) for row in rejections(tmp_path / "b", "labels"))


def test_a_row_that_is_re_admitted_is_not_held_against_itself(
    tmp_path: Path, teacher: Path, made: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same dataset once more, elsewhere: all that the first run capped comes back where a person wants it."""
    first, options = made
    out, allowed = tmp_path / "out", tmp_path / "allowed.txt"
    assert main([*flags(out, teacher, "old", against=first), *options, "-q"]) == 0
    lost = [row for row in rejections(out, "old") if told(row, first) == "CAPPED"]
    assert lost
    assert all(row["id"] == row["kept_id"] for row in lost)
    assert manifest_of(out).dataset("old").num_rows == 0
    chosen = ",".join(row["id"] for row in lost)
    assert readmit_main([str(out), f"--ids={chosen}", f"--to={allowed}"]) == 0
    assert main([*flags(out, teacher, "old", against=first, readmit=allowed), *options, "-q"]) == 0
    assert {row["id"] for row in shard_rows(out, "old")} == {row["id"] for row in lost}


def test_a_second_run_takes_its_stages_as_they_are(tmp_path: Path, teacher: Path, made: tuple[Path, list[str]]) -> None:
    out = tmp_path / "out"
    before: Manifest = run(out, teacher, "new", made[1], against=made[0])
    digests = shard_digests(out)
    assert run(out, teacher, "new", made[1], against=made[0]) == before
    assert len(list((out / ".work").glob("prepare-*"))) == 1
    assert shard_digests(out) == digests
