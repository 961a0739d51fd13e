from pathlib import Path

from schemas.manifest import AboutRecord, EvaluationSetRecord, OverlapRecord, ShardRecord
from tests.trainer.curated import manifest_of, record
from trainer.card import card
from trainer.config import TrainConfig
from trainer.train import Trained


def test_the_card_tells_data_evaluation_sets_configuration_and_loss():
    shards = [ShardRecord(path="a", rows=1200, sha256="0"), ShardRecord(path="b", rows=34, sha256="1")]
    about = AboutRecord(title="FEVER", licence="CC BY-SA 3.0")
    overlaps = [OverlapRecord(evaluation_set="SciFact", exact=2, edited=1)]
    manifest = manifest_of(
        record("fever", shards, overlaps=overlaps, source="/some/where/hub", revision="abc", about=about),
        record("pretraining", shards, stage="pretrain"),
        record("nothing", []),
    )
    manifest.evaluation_sets = [EvaluationSetRecord(name="SciFact", source="x", queries=300)]
    manifest.training_datasets = ["FEVER", "FEVERHardNegatives"]
    trained = Trained(student="/home/me/model", num_examples=1234, num_datasets=1, losses=[(1, 2.5), (40, 0.25)])
    text = card(TrainConfig(manifest=Path("out/manifest.json"), model="/home/me/model"), trained, manifest)
    assert "Stage `finetune`, trained from `model` on 1,234 examples of 1 datasets." in text
    assert "| fever | retrieval | 1,234 | CC BY-SA 3.0 | hub | abc |" in text
    assert "| SciFact | 300 | 3 |" in text
    assert "`FEVER`, `FEVERHardNegatives`" in text
    assert "from 2.500 to 0.250 in 40 steps" in text
    assert '"model": "model"' in text
    assert "/home/me" not in text
    assert "pretraining" not in text
    assert "nothing" not in text
    assert text.startswith("---\nlibrary_name: sentence-transformers\n")


def test_a_licence_that_no_entry_stated_is_told_as_unknown():
    manifest = manifest_of(record("fever", [ShardRecord(path="a", rows=1, sha256="0")]))
    trained = Trained(student="m", num_examples=1, num_datasets=1, losses=[(1, 2.5)])
    text = card(TrainConfig(manifest=Path("out/manifest.json"), model="m"), trained, manifest)
    assert "| fever | retrieval | 1 | unknown |" in text
