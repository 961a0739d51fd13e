"""A run whose negatives a cross-encoder has checked."""

from pathlib import Path

import pytest

from mining.cross_encoder import CrossScorer, find_cross_encoder
from tests.e2e.running import curate, shard_rows
from tests.mining.cross import make_cross_encoder

pytestmark = pytest.mark.slow


def test_no_negative_of_a_run_is_above_the_limit_and_the_manifest_names_the_model(
    teacher: Path, tmp_path: Path
) -> None:
    folder = make_cross_encoder(tmp_path / "cross")
    values = {"cross_encoder": folder, "max_cross_score": 0.6, "consistency_rank": "null"}
    settings = [f"datasets.trecqa.mining.{name}={value}" for name, value in values.items()]
    record = curate(tmp_path / "out", teacher, "trecqa", settings).dataset("trecqa")
    found = find_cross_encoder(str(folder))
    assert record.cross_encoder is not None
    assert (record.cross_encoder.name, record.cross_encoder.digest) == (str(folder), found.digest)
    mining = record.stages["mine"].mining
    assert mining is not None
    assert mining.refused["cross_encoder"] > 0
    score, checked = CrossScorer(model=found), 0
    for row in shard_rows(tmp_path / "out", "trecqa"):
        best = score([(row["query"], text) for text in row["positives"]]).max()
        mined = [text for text, rank in zip(row["negatives"], row["negative_ranks"], strict=True) if rank >= 0]
        assert (score([(row["query"], text) for text in mined]) <= 0.6 * best).all()
        checked += len(mined)
    assert checked == mining.mined > 0
