"""Exports: each form holds every row once, in what its trainer reads; the folder is there whole or not at all."""

import json
import math
import os
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
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
from transformers import AutoTokenizer

from pipelines.command import main
from pipelines.reports.export import export
from pipelines.reports.export_formats import ExportFormat, ExportParams
from schemas.errors import ConfigError, DamageError, OutputError
from tests.e2e.teacher import learn_tokenizer, random_bert
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


def _in_its_own_process(package: str, script: str, *arguments: Path) -> list[Any]:
    """What a script that needs another project's package tells, as JSON; its warnings are that project's own."""
    if find_spec(package) is None:
        pytest.skip(f"the package {package} is not installed (pip install {package})")
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return [json.loads(line.removeprefix("told ")) for line in ran.stdout.splitlines() if line.startswith("told ")]


def _transformer(folder: Path) -> Path:
    """A random BERT of one layer whose tokenizer knows the words of ``curated.mixed``."""
    tokenizer = learn_tokenizer(["Instruct: Given a question, find its answer Query: moon river stone q p n 0 1 2"])
    tokenizer.save_pretrained(folder)
    random_bert(len(tokenizer)).save_pretrained(folder)
    return folder


_FLAGEMBEDDING = """
import json, sys
from FlagEmbedding.abc.finetune.embedder import (
    AbsEmbedderDataArguments, AbsEmbedderModelArguments, AbsEmbedderTrainingArguments)
from FlagEmbedding.finetune.embedder.encoder_only.base import EncoderOnlyEmbedderRunner

folder, model, scratch = sys.argv[1:]
for distils in (False, True):
    runner = EncoderOnlyEmbedderRunner(
        model_args=AbsEmbedderModelArguments(model_name_or_path=model),
        data_args=AbsEmbedderDataArguments(
            train_data=[folder], cache_path=f"{scratch}/cache", train_group_size=4, query_max_len=64,
            query_instruction_for_retrieval="any", query_instruction_format="{}{}", knowledge_distillation=distils),
        training_args=AbsEmbedderTrainingArguments(
            output_dir=f"{scratch}/{distils}", max_steps=2, per_device_train_batch_size=2, use_cpu=True, seed=0,
            report_to="none", save_strategy="no", sentence_pooling_method="mean", kd_loss_type="kl_div"))
    read = [runner.train_dataset[row] for row in range(len(runner.train_dataset))]
    runner.run()
    print("told", json.dumps([sorted(query for query, _, _ in read), read[0][2], runner.trainer.state.global_step]))
"""


@pytest.mark.slow
def test_flagembedding_reads_it_and_trains_two_steps_with_and_without_scores(out: Path, tmp_path: Path) -> None:
    export(str(out), tmp_path / "f", _params("flagembedding"))
    model = _transformer(tmp_path / "m")
    told = _in_its_own_process("FlagEmbedding", _FLAGEMBEDDING, tmp_path / "f", model, tmp_path / "s")
    queries = sorted(row["prompt"] + row["query"] for path in (tmp_path / "f").iterdir() for row in _lines(path))
    scores = pytest.approx([0.9, 0.3, 0.3, 0.3])
    assert told == [[queries, None, 2], [queries, scores, 2]]


_TEVATRON = """
import json, sys
from transformers import AutoTokenizer
from tevatron.arguments import DataArguments
from tevatron.datasets import HFTrainDataset

folder, model, scratch = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(model)
arguments = DataArguments(dataset_name=folder, train_n_passages=4, q_max_len=64, p_max_len=32, dataset_proc_num=1)
for row in HFTrainDataset(tokenizer, arguments, f"{scratch}/cache").process():
    print("told", json.dumps([row["query"], row["positives"], row["negatives"]]))
"""


@pytest.mark.slow
def test_tevatron_reads_it(out: Path, tmp_path: Path) -> None:
    export(str(out), tmp_path / "v", _params("tevatron"))
    model = _transformer(tmp_path / "m")
    told = _in_its_own_process("tevatron", _TEVATRON, tmp_path / "v", model, tmp_path / "s")
    tokenizer = AutoTokenizer.from_pretrained(model)

    def tokens(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False)

    rows = [row for path in (tmp_path / "v").iterdir() for row in _lines(path)]
    sides = ("positive_passages", "negative_passages")
    expected = [
        [tokens(row["query"]), *([tokens(each["text"]) for each in row[side]] for side in sides)] for row in rows
    ]
    assert sorted(told) == sorted(expected)


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
