"""The store that a run leaves gives the trainer the scores that the same run wrote into its shards."""

from pathlib import Path

import numpy as np

from tests.e2e.running import manifest_of
from trainer.shards import open_rows
from trainer.teacher_vectors import open_teacher


def test_the_trainer_finds_each_text_and_scores_it_as_mining_did(small_out: Path, tmp_path: Path) -> None:
    manifest = manifest_of(small_out)
    assert {record.vectors.store[:32] for record in manifest.datasets if record.vectors} == {
        manifest.teacher.digest[:32]  # type: ignore[union-attr]
    }
    assert any(record.symmetric for record in manifest.datasets)
    rows = open_rows(manifest, small_out, tmp_path, "finetune")
    teacher = open_teacher(manifest, small_out, tmp_path, rows, num_negatives=7)
    scored = 0
    for row in rows.take(range(len(rows))):
        texts = [*row.positives, *row.negatives]
        found = teacher.cosines([teacher.query_key(row)], [teacher.passage_key(row, text) for text in texts])
        assert np.array_equal(found[0], np.array([*row.positive_scores, *row.negative_scores], np.float32)), row.query
        scored += len(texts)
    assert scored > 1000
