"""Exports: each form holds every row once, in what its trainer reads; the folder is there whole or not at all."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from datasets import DatasetDict, load_dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MarginMSELoss, MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers

from pipelines.command import main
from pipelines.reports.export import export
from pipelines.reports.export_formats import ExportFormat, ExportParams
from schemas.errors import ConfigError, DamageError, OutputError
from tests.trainer import curated
from transforms.flow.files import TEMPORARY_PREFIX

#: As ``curated.mixed`` makes them: rows by their number of negatives.
MOONS = {7: 5, 3: 2, 0: 1}
STONES = {3: 3, 0: 4}
PROMPT = curated.PROMPT


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    curated.mixed(folder)
    return folder


def _params(form: str, **changes: Any) -> ExportParams:
    return ExportParams(format=ExportFormat(form), **changes)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_tuples_are_a_table_for_each_number_of_negatives(out: Path, tmp_path: Path) -> None:
    written = {each.dataset: each for each in export(str(out), tmp_path / "t", _params("tuples"))}
    for name, numbers in (("moons", MOONS), ("stones", STONES), ("rivers", {7: 5})):
        assert written[name].files == {f"{name}/negatives-{n}.parquet": rows for n, rows in sorted(numbers.items())}
        assert written[name].left_out == 0
    table = pq.read_table(tmp_path / "t" / "stones" / "negatives-3.parquet")
    assert table.column_names == ["anchor", "positive", "negative_1", "negative_2", "negative_3"]
    first = table.to_pylist()[0]
    assert first["anchor"] == f"{PROMPT}stone 1 q"
    assert first["negative_2"] == f"{PROMPT}stone 1 n1"  # symmetric: passages carry the prompt too
    moon = pq.read_table(tmp_path / "t" / "moons" / "negatives-7.parquet").to_pylist()[0]
    assert (moon["anchor"], moon["positive"]) == (f"{PROMPT}moon 0 q", "moon 0 p0")


def test_fewer_negatives_bare_queries_and_chosen_datasets(out: Path, tmp_path: Path) -> None:
    params = _params("tuples", num_negatives=2, prompts=False)
    (moons,) = export(str(out), tmp_path / "t", params, "moo*")
    assert moons.files == {"moons/negatives-0.parquet": 1, "moons/negatives-2.parquet": 7}
    rows = pq.read_table(tmp_path / "t" / "moons" / "negatives-2.parquet").to_pylist()
    assert rows[1] == {
        "anchor": "moon 1 q",
        "positive": "moon 1 p0",
        "negative_1": "moon 1 n0",
        "negative_2": "moon 1 n1",
    }
    assert {e.dataset for e in export(str(out), tmp_path / "u", params, "moons,retrieval")} == {
        "moons",
        "rivers",
        "stones",
    }


@pytest.mark.parametrize("scores", [False, True])
def test_sentence_transformers_trains_on_tuples_as_they_are(out: Path, tmp_path: Path, scores: bool) -> None:
    params = _params("tuples", num_negatives=3, scores=scores)
    export(str(out), tmp_path / "t", params)
    paths = sorted((tmp_path / "t").rglob("negatives-3.parquet" if scores else "*.parquet"))
    cache = str(tmp_path / "cache")
    data = DatasetDict(
        {
            f"{path.parent.name}-{path.stem}": load_dataset(
                "parquet", data_files=str(path), split="train", cache_dir=cache
            )
            for path in paths
        }
    )
    model = _tiny()
    before = model[0].embedding.weight.detach().clone()
    loss = MarginMSELoss(model) if scores else MultipleNegativesRankingLoss(model)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path / "run"), max_steps=2, per_device_train_batch_size=2, use_cpu=True, report_to="none",
        save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    result = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=data, loss=loss).train()
    assert result.global_step == 2
    assert math.isfinite(result.training_loss)
    assert not torch.equal(before, model[0].embedding.weight)


def _tiny() -> SentenceTransformer:
    words = [
        "[UNK]",
        "Instruct",
        "Query",
        "moon",
        "river",
        "stone",
        "q",
        "p0",
        *(f"n{i}" for i in range(7)),
        *map(str, range(9)),
    ]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")


def test_scores_are_those_of_the_positive_and_the_negatives(out: Path, tmp_path: Path) -> None:
    export(str(out), tmp_path / "t", _params("tuples", scores=True), "moons")
    row = pq.read_table(tmp_path / "t" / "moons" / "negatives-3.parquet").to_pylist()[0]
    assert row["scores"] == pytest.approx([0.9, 0.3, 0.3, 0.3])


def test_rows_whose_scores_are_not_known_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unknown = curated.row("sun", 1) | {"positive_scores": [math.nan]}
    curated.curate(tmp_path, {"suns": [unknown, curated.row("star", 1)]})
    assert main(["export", str(tmp_path), "--format=tuples", "--scores", f"--to={tmp_path / 't'}"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == [
        f"{tmp_path / 't' / 'suns' / 'negatives-1.parquet'}\t1",
        "suns\t1 left out: not all scores are known",
    ]
    export(str(tmp_path), tmp_path / "f", _params("flagembedding"))
    first, second = _lines(tmp_path / "f" / "suns.jsonl")
    assert "pos_scores" not in first
    assert second["pos_scores"] == pytest.approx([0.9])


def test_flagembedding_has_its_fields(out: Path, tmp_path: Path) -> None:
    written = {each.dataset: each for each in export(str(out), tmp_path / "f", _params("flagembedding"))}
    assert written["moons"].left_out == MOONS[0]
    rows = _lines(tmp_path / "f" / "moons.jsonl")
    assert len(rows) == 7
    assert rows[1] == {
        "query": "moon 1 q",
        "pos": ["moon 1 p0"],
        "neg": ["moon 1 n0", "moon 1 n1", "moon 1 n2"],
        "pos_scores": pytest.approx([0.9]),
        "neg_scores": pytest.approx([0.3] * 3),
        "prompt": PROMPT,
        "type": "normal",
    }
    assert Counter(row["type"] for row in _lines(tmp_path / "f" / "stones.jsonl")) == {"symmetric_sts": 3}
    assert {row["prompt"] for row in _lines(tmp_path / "f" / "rivers.jsonl")} == {""}


def test_tevatron_has_its_fields(out: Path, tmp_path: Path) -> None:
    export(str(out), tmp_path / "v", _params("tevatron", num_negatives=1))
    row = _lines(tmp_path / "v" / "moons.jsonl")[0]
    assert row == {
        "query_id": "moon 0",
        "query": f"{PROMPT}moon 0 q",
        "positive_passages": [{"docid": "moon 0 p0", "text": "moon 0 p0"}],
        "negative_passages": [{"docid": "moon 0 n0", "text": "moon 0 n0"}],
    }


def test_kalm_keeps_every_row(out: Path, tmp_path: Path) -> None:
    (moons,) = export(str(out), tmp_path / "k", _params("kalm"), "moons")
    assert moons.files == {"moons/train.parquet": 8}
    rows = pq.read_table(tmp_path / "k" / "moons" / "train.parquet").to_pylist()
    assert rows[3] == {"query": f"{PROMPT}moon 3 q", "pos": ["moon 3 p0"], "neg": []}


def test_what_cannot_be_written_leaves_nothing(out: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").touch()
    with pytest.raises(ConfigError, match="is there already"):
        export(str(out), tmp_path / "there", _params("kalm"))
    with pytest.raises(ConfigError, match="names no dataset with rows in OUT; there are moons, rivers, stones"):
        export(str(out), tmp_path / "a", _params("kalm"), "suns")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        export(str(out), tmp_path / "file" / "a", _params("kalm"))
    shard = next((out / "finetune").rglob("*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(DamageError, match=r"part-00000-of-00001\.parquet holds other bytes"):
        export(str(out), tmp_path / "a", _params("kalm"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out", "there"]
    assert not list(tmp_path.rglob(f"{TEMPORARY_PREFIX}*"))


def test_options_that_mean_nothing_are_refused(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        _params("kalm", num_negatives=-1)
    assert main(["export", str(out), "--format=kalm", "--scores"]) == 2
    assert "scores is for tuples" in capsys.readouterr().err
