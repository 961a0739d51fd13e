"""Folders as tasks of the mteb package, run for real beside our own measures of them."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sentence_transformers import SentenceTransformer

from mining.encoder import load_encoder
from schemas.errors import ConfigError, SourceError
from tests.trainer.curated import manifest_of
from tests.trainer.test_evaluate import collection, labelled, pairs, write
from trainer import mteb_tasks
from trainer.config import TrainConfig
from trainer.evaluate import _measured, evaluate, main
from trainer.evaluation_sets import Collection, Labelled, Pairs, Retrieval, find_collections
from trainer.model_meta import write_model_meta
from trainer.models import open_model
from trainer.mteb_folders import folder_task, measure_folders, mteb_names

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "catalog" / "sample" / "eval"
SHARED = ROOT.parent / "shared" / "eval"
Scores = Mapping[str, Mapping[str, float]]

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared evaluation sets are not beside the checkout")


def through_mteb(given: Collection, dims: Sequence[int] = (384, 64), model: str = "minilm") -> Scores:
    found: dict[str, Scores] = {}
    assert measure_folders(load_encoder(model), dims, [given], found.__setitem__) == []
    return found[given.name]


def agree(through: Scores, own: Scores) -> None:
    """The same at each dimension; mteb rounds what it measures of retrieval, and has one measure more."""
    assert list(through) == list(own)
    for dim, measures in own.items():
        assert {name: through[dim][name] for name in measures} == pytest.approx(measures, abs=1e-4)
        assert set(through[dim]) - set(measures) <= {"recall@10"}


def run(folder: Path, *flags: str, code: int = 0, model: str = "minilm") -> dict[str, Scores]:
    output = folder.parent / "scores.json"
    assert main([model, str(folder), "--through=mteb", f"--output={output}", *flags]) == code
    found: dict[str, Scores] = json.loads(output.read_text("utf-8"))["scores"]
    return found


def test_the_samples_collections_have_the_numbers_of_our_own_measures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, picture = tmp_path / "scores.json", tmp_path / "scores.svg"
    flags = ["--dims=384,128", f"--output={output}", f"--picture={picture}"]
    assert main(["minilm", str(SAMPLE), "--through=mteb", *flags]) == 0
    told = json.loads(output.read_text("utf-8"))
    assert told["through"].startswith("mteb 2.")
    own = evaluate("minilm", [SAMPLE], [384, 128])
    assert list(told["scores"]) == list(own) == ["sample-en", "sample-zh"]
    assert own["sample-zh"]["128"]["ndcg@10"] < own["sample-zh"]["384"]["ndcg@10"] < 1
    for name, by_dim in own.items():
        agree(told["scores"][name], by_dim)
    shown = capsys.readouterr()
    lines = [line.split()[:2] for line in shown.out.splitlines()]
    assert lines[:5] == [
        ["collection", "measure"], ["sample-en", "ndcg@10"], ["sample-en", "recall@10"], ["sample-en", "recall@100"],
        ["sample-en", "map@1000"],
    ]  # fmt: skip
    assert shown.err.splitlines() == ["1 of 2: sample-en", "2 of 2: sample-zh"]  # no bars, no warnings
    assert "sample-zh" in picture.read_text("utf-8")


@pytest.mark.slow
@needs_shared
def test_real_pairs_have_the_correlation_of_our_own_measure(tmp_path: Path) -> None:
    table = pq.read_table(SHARED / "stsb-en" / "test.parquet")
    (tmp_path / "stsb-en").mkdir()
    pq.write_table(table.take(list(range(0, len(table), 10))), tmp_path / "stsb-en" / "test.parquet")
    own = evaluate("minilm", [tmp_path], [384, 64])["stsb-en"]
    assert 0.6 < own["64"]["spearman"] < own["384"]["spearman"] < 1
    agree(run(tmp_path / "stsb-en", "--dims=384,64")["stsb-en"], own)


@pytest.mark.slow
@needs_shared
def test_real_retrieval_has_the_numbers_of_our_own_measures(tmp_path: Path) -> None:
    source, folder = SHARED / "scifact", tmp_path / "scifact"
    folder.mkdir()
    corpus, queries, judged = (pq.read_table(source / f"{name}.parquet") for name in ("corpus", "queries", "qrels"))
    queries = queries.slice(0, 30)
    judged = judged.filter(pc.is_in(judged["query-id"], queries["_id"]))
    wanted = pc.is_in(corpus["_id"], judged["corpus-id"])
    some = pa.chunked_array([pa.array(np.arange(len(corpus)) % 100 == 0)])
    corpus = corpus.filter(pc.or_(wanted, some))
    assert pc.any(pc.greater(pc.utf8_length(corpus["title"]), 0)).as_py()
    for name, table in (("corpus", corpus), ("queries", queries), ("qrels", judged)):
        pq.write_table(table, folder / f"{name}.parquet")
    own = evaluate("minilm", [folder], [384, 64])["scifact"]
    assert 0.3 < own["64"]["ndcg@10"] < own["384"]["ndcg@10"] < 1
    agree(run(folder, "--dims=384,64")["scifact"], own)


def hard(seed: int) -> Retrieval:
    """Each passage four times, judgments in grades with zeros and negative ones, more passages than measures see."""
    draw = random.Random(seed)
    words = ["cat", "dog", "hen", "horse", "rain", "snow", "sun", "storm", "bread", "oven", "car", "road", "sea"]
    texts = [" ".join(draw.choices(words, k=3)) for _ in range(45)]
    passages = [*texts, *texts, "a tree", *texts, *texts]
    judged = [{draw.randrange(len(passages)): draw.choice([-1, 0, 1, 2, 3]) for _ in range(8)} for _ in range(20)]
    judged = [{**each, draw.randrange(45): 1} for each in judged]
    return Retrieval(name="hard", queries=texts[:20], passages=passages, judged=judged)


@pytest.mark.parametrize("seed", [0, 1])
def test_equal_scores_and_graded_judgments_count_as_in_our_own_measures(seed: int) -> None:
    given = hard(seed)
    own = _measured(load_encoder("minilm"), given, [384, 64])
    assert 0 < own["64"]["map@1000"] < own["64"]["recall@100"] < 1
    agree(through_mteb(given), own)


def test_titles_missing_passages_and_queries_without_judgments_are_as_our_own_measures_have_them(
    tmp_path: Path,
) -> None:
    from mteb._create_dataloaders import _corpus_to_dict

    folder = collection(tmp_path / "animals")
    texts = pq.read_table(folder / "corpus.parquet").column("text").to_pylist()
    titles = ["Pets", "", None, "  On rain "]
    rows = [
        {"_id": f"d{i}", "title": title, "text": text}
        for i, (title, text) in enumerate(zip(titles, texts, strict=True))
    ]
    write(folder / "corpus.parquet", rows)
    (given,) = find_collections([folder])
    assert isinstance(given, Retrieval)
    joined = [_corpus_to_dict({"id": "x", **row, "title": row["title"] or ""})["text"] for row in rows]
    assert given.passages == joined
    assert len(given.queries) == 2  # one is not judged, and one judgment names a passage that is not there
    agree(run(folder, "--dims=384,64")["animals"], evaluate("minilm", [folder], [384, 64])["animals"])


def test_prompts_are_those_that_the_model_was_saved_with(tmp_path: Path) -> None:
    given = hard(0)
    scores: list[Scores] = []
    alike = Pairs(name="sts", first=given.queries, second=given.passages[20:40], scores=list(range(20)))
    words = {
        "Retrieval-query": "bread snow sea ",
        "query": "",
        "document": "cat tree road ship ",
        "STS": "dog hen oven ",
    }
    for place, prompts in enumerate([{"query": "", "document": ""}, words]):
        model = open_model("static", [], 32, 0)
        model.prompts = prompts
        folder = str(tmp_path / f"model-{place}")
        model.save_pretrained(folder, create_model_card=False)
        for each in (given, alike):
            scores.append(_measured(load_encoder(folder), each, [384]))
            agree(through_mteb(each, [384], folder), scores[-1])
    assert all(scores[place]["384"] != scores[place + 2]["384"] for place in (0, 1))


def test_texts_are_encoded_once_for_all_dimensions(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    encode = SentenceTransformer.encode

    def counted(self: SentenceTransformer, inputs: list[str], **given: object) -> object:
        asked.append(len(inputs))
        return encode(self, inputs, **given)

    monkeypatch.setattr(SentenceTransformer, "encode", counted)
    through_mteb(hard(0), [384, 128, 64])
    assert sorted(asked) == [20, 181]


def classes(labels: Sequence[str], train_labels: Sequence[str]) -> Labelled:
    texts = [f"{word} {place}" for place, word in enumerate(["a cat", "snow", "the oven"] * 8)]
    return Labelled(
        name="classes",
        train_texts=texts[: len(train_labels)],
        train_labels=train_labels,
        texts=texts[-len(labels) :],
        labels=labels,
    )


@pytest.mark.parametrize("left", [[], ["no", "yes"], ["animal", "food"]])
def test_classes_are_learnt_as_mteb_does_under_a_name_that_says_so(left: list[str]) -> None:
    """Where no more texts are there than are drawn of each label, and vectors have length one, both draw the same."""
    labels = ["animal", "weather", "food"] * 4
    given = classes(labels if not left else [left[0], left[1], left[0]], labels + left)
    own = _measured(load_encoder("minilm"), given, [384])
    assert through_mteb(given, [384])["384"] == {"accuracy (mteb)": pytest.approx(own["384"]["accuracy"])}


def test_clusters_are_drawn_as_mteb_draws_the_same_at_each_dimension_and_time(tmp_path: Path) -> None:
    texts = [f"{word} {place}" for place, word in enumerate(["cat", "dog", "snow", "rain", "oven"] * 8)]
    given = Labelled(name="sets", train_texts=[], train_labels=[], texts=texts, labels=[text[:3] for text in texts])
    found = through_mteb(given, [64, 32])
    assert list(found["64"]) == ["v-measure (mteb)"]
    assert 0 < found["32"]["v-measure (mteb)"] < 1
    assert through_mteb(given, [32]) == {"32": found["32"]}
    task, model = folder_task(given), load_encoder("minilm").model
    with mteb_tasks._quiet():
        again = [mteb_tasks.run_task(model, task).get_score() for _ in range(2)]
    assert again[0] == again[1]


def test_a_correlation_with_a_constant_is_0() -> None:
    given = Pairs(name="sts", first=["a cat", "a dog"], second=["the cat", "the sea"], scores=[1.0, 1.0])
    assert through_mteb(given) == {"384": {"spearman": 0.0}, "64": {"spearman": 0.0}}


CODE = """
import sys
from trainer.evaluate import main
for model in sys.argv[2:]:
    assert main([model, sys.argv[1], "--through=mteb", f"--output={model}.json"]) == 0
"""


@pytest.mark.slow
def test_models_of_one_machine_have_scores_of_their_own_and_nothing_is_asked_or_kept(tmp_path: Path) -> None:
    """Kinds of all tasks, and a hub that does not answer."""
    sets = tmp_path / "sets"
    collection(sets / "animals")
    pairs(sets / "sts")
    labelled(sets / "classes", train=True)
    labelled(sets / "clusters", train=False)
    for seed in (0, 1):
        model = open_model("static", [], 32, seed)
        for weights in model.parameters():
            weights.data = weights.data[:, [*range(seed, 384), *range(seed)]].roll(seed, 0)  # words change places
        model.save_pretrained(str(tmp_path / f"model-{seed}"), create_model_card=False)
    own = os.environ | {name: str(tmp_path / name) for name in ("HF_HOME", "MTEB_CACHE")}
    own["HF_ENDPOINT"] = "http://127.0.0.1:9"
    models = [str(tmp_path / f"model-{seed}") for seed in (0, 1)]
    command = [sys.executable, "-c", CODE, str(sets), *models]
    ended = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    names = ("animals", "classes", "clusters", "sts")
    assert ended.stderr.splitlines() == [f"{place} of 4: {name}" for place, name in enumerate(names, 1)] * 2
    first, second = (json.loads(Path(f"{model}.json").read_text("utf-8"))["scores"] for model in models)
    assert first["sts"] != second["sts"]
    kept = [path for name in ("HF_HOME", "MTEB_CACHE") for path in (tmp_path / name).rglob("*") if path.is_file()]
    assert kept == []


def test_what_cannot_be_measured_is_named_and_costs_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = tmp_path / "sets"
    write(sets / "b-one-pair" / "test.parquet", [{"sentence1": "a", "sentence2": "b", "score": 1.0}])
    assert main(["minilm", str(sets), "--through=mteb"]) == SourceError.exit_code
    told = capsys.readouterr().err
    assert "mteb cannot measure the first task, b-one-pair: ValueError: " in told
    assert "--through=own measures it without mteb" in told
    pairs(sets / "a-three-pairs")
    assert list(run(sets, code=1)) == ["a-three-pairs"]
    assert "not measured: b-one-pair: ValueError" in capsys.readouterr().err


def test_errors_are_those_of_our_own_measures_and_of_a_missing_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["minilm", str(tmp_path), "--through=mteb"]) == SourceError.exit_code
    assert "holds no evaluation collection" in capsys.readouterr().err
    collection(tmp_path / "sets" / "STS12")
    assert main(["minilm", str(tmp_path / "sets"), "--through=mteb", "--dims=385"]) == ConfigError.exit_code
    assert "--dims=385: minilm gives 384" in capsys.readouterr().err
    assert main(["minilm", str(tmp_path / "sets"), "--mteb=STS12"]) == ConfigError.exit_code
    assert "STS12 is a folder and a task of --mteb" in capsys.readouterr().err
    monkeypatch.setattr(mteb_tasks, "find_spec", lambda _: None)
    assert main(["minilm", str(tmp_path / "sets"), "--through=mteb"]) == ConfigError.exit_code
    assert "--through=mteb needs the Python package mteb" in capsys.readouterr().err


@pytest.mark.parametrize(("through", "share"), [("own", 50), ("mteb", 0)])
def test_the_zero_shot_share_knows_folders_by_the_names_of_mtebs_tasks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], through: str, share: int
) -> None:
    """NanoSciFact is like SciFact to mteb alone; a name of one's own is compared as it is."""
    collection(tmp_path / "sets" / "nano-scifact")
    collection(tmp_path / "sets" / "our-own")
    model = open_model("static", [], 32, 0)
    model.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    manifest = manifest_of().model_copy(update={"training_datasets": ["SciFact", "OurOwn"]})
    write_model_meta(tmp_path / "model", load_encoder("minilm").model, TrainConfig(), "tiny", manifest)
    assert main([str(tmp_path / "model"), str(tmp_path / "sets"), f"--through={through}"]) == 0
    assert f"zero-shot: {share} % of 2 collections" in capsys.readouterr().out


def test_folders_are_known_to_mteb_by_name_and_kind() -> None:
    texts = {"train_texts": ["a", "b"], "train_labels": ["x", "y"], "texts": ["a", "b"], "labels": ["x", "y"]}
    given: list[Collection] = [
        Retrieval(name="scifact", queries=["q"], passages=["p"], judged=[{0: 1}]),
        Retrieval(name="co_sqa", queries=["q"], passages=["p"], judged=[{0: 1}]),
        Labelled(name="banking77", **texts),
        Retrieval(name="banking77", queries=["q"], passages=["p"], judged=[{0: 1}]),
        Pairs(name="our-own", first=["a"], second=["b"], scores=[1.0]),
    ]
    assert mteb_names(given, []) == ["SciFact", "CosQA", "Banking77Classification", "banking77", "our-own"]
    assert mteb_names(given[-1:], ["OurOwn"]) == ["OurOwn"]
