"""A text on which the teacher's tokenizer raises costs the row that holds it, not the run."""

import shutil
from pathlib import Path

import pytest

from pipelines.curate_command import main
from tests.e2e.generated import SLUG, write_unreadable
from tests.e2e.running import manifest_of, rejections, shard_digests, shard_rows
from tests.e2e.teacher import forget_unknown_letters, save_tiny_teacher


@pytest.mark.slow
def test_a_text_that_the_tokenizer_refuses_costs_its_row_as_a_counted_rejection(tmp_path: Path) -> None:
    teacher = save_tiny_teacher(tmp_path)
    forget_unknown_letters(teacher)
    flags = [*write_unreadable(tmp_path, 90), f"--teacher={teacher}", f"--work={tmp_path / 'work'}", "-q"]
    assert main([f"--out={tmp_path / 'out'}", *flags]) == 0
    mined = manifest_of(tmp_path / "out").dataset(SLUG).stages["mine"]
    assert mined.rejected["UNREADABLE_TEXT"] == 2
    assert mined.read == mined.kept + sum(mined.rejected.values()) == 90
    refused = [row for row in rejections(tmp_path / "out", SLUG) if row["reason"] == "UNREADABLE_TEXT"]
    assert {(row["dataset"], row["stage"], row["detail"], "\u2603" in row["query"]) for row in refused} == {
        (SLUG, "mine", "the teacher cannot read its query", True),
        (SLUG, "mine", "the teacher cannot read its positives", False),
    }
    kept = shard_rows(tmp_path / "out", SLUG)
    assert not {row["id"] for row in refused} & {row["id"] for row in kept}
    assert not any("\u2603" in text for row in kept for text in [row["query"], *row["positives"], *row["negatives"]])

    # The store knows these texts now, and whoever asks it decides alike.
    for stage in ("embed", "mine", "pack"):
        for folder in (tmp_path / "work").glob(f"{stage}-*"):
            shutil.rmtree(folder)
    assert main([f"--out={tmp_path / 'again'}", *flags]) == 0
    assert shard_digests(tmp_path / "again") == shard_digests(tmp_path / "out")
