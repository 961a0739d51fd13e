import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sentence_transformers import SentenceTransformer

from mining.encoder import load_encoder
from schemas.errors import SourceError
from trainer.evaluate import evaluate, main, shortened, table
from trainer.metrics import v_measure
from trainer.models import open_model

PASSAGES = ["the cat sat on the mat", "a dog ran in the park", "bread is baked in an oven", "rain falls on the roof"]
QUERIES = {"q1": "where did the cat sit", "q2": "baking bread", "unjudged": "the moon"}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def collection(folder: Path, kind: str = "parquet") -> Path:
    write(folder / f"corpus.{kind}", [{"_id": f"d{i}", "title": "", "text": text} for i, text in enumerate(PASSAGES)])
    write(folder / f"queries.{kind}", [{"_id": name, "text": text} for name, text in QUERIES.items()])
    judged = [("q1", "d0", 1), ("q2", "d2", 2), ("q2", "d1", 0), ("q2", "gone", 1)]
    if kind == "parquet":
        rows = [{"query-id": query, "corpus-id": passage, "score": score} for query, passage, score in judged]
        write(folder / "qrels.parquet", rows)
    else:
        (folder / "qrels").mkdir()
        lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, each)) for each in judged)]
        (folder / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n")
    return folder


def pairs(folder: Path) -> Path:
    rows = [
        {"sentence1": PASSAGES[0], "sentence2": "a cat was sitting on a mat", "score": 5.0},
        {"sentence1": PASSAGES[1], "sentence2": "the dog went for a walk", "score": 3.5},
        {"sentence1": PASSAGES[2], "sentence2": "stars are far away", "score": 0.0},
    ]
    write(folder / "test.parquet", rows)
    return folder


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_the_bundled_model_finds_what_belongs_together(tmp_path, kind):
    scores = evaluate("minilm", [collection(tmp_path / "animals", kind), pairs(tmp_path / "sts")], [384, 64])
    perfect = {"ndcg@10": 1.0, "recall@100": 1.0, "map@1000": 1.0}
    assert scores["animals"]["384"] == perfect
    assert scores["sts"]["384"] == {"spearman": pytest.approx(1.0)}
    assert list(scores["sts"]) == ["384", "64"]


def labelled(folder: Path, train: bool) -> Path:
    animals = ["a cat sat", "a dog ran", "the horse grazed", "a hen laid an egg"]
    weather = ["rain fell", "snow lay on the hills", "the sun shone", "a storm blew"]
    rows = [{"text": text, "label": i} for i, texts in enumerate((animals, weather)) for text in texts]
    write(folder / "test.jsonl", rows[::2])
    if train:
        write(folder / "train.jsonl", rows[1::2])
    return folder


def test_labelled_texts_are_classified_where_there_is_a_train_split_and_clustered_otherwise(tmp_path):
    labelled(tmp_path / "classes", train=True)
    labelled(tmp_path / "clusters", train=False)
    scores = evaluate("minilm", [tmp_path], [384, 64])
    assert scores["classes"] == {"384": {"accuracy": 1.0}, "64": {"accuracy": 1.0}}
    test = [json.loads(line) for line in (tmp_path / "clusters" / "test.jsonl").read_text().splitlines()]
    vectors = load_encoder("minilm").encode([each["text"] for each in test])
    expected = v_measure(vectors, [str(each["label"]) for each in test])
    assert scores["clusters"]["384"] == {"v-measure": pytest.approx(expected)}


def test_labels_that_cannot_be_learnt_are_refused(tmp_path):
    write(labelled(tmp_path / "sets", train=True) / "train.jsonl", [{"text": "a cat", "label": 0}])
    with pytest.raises(SourceError, match=r"labels that train has not \(1\)"):
        evaluate("minilm", [tmp_path / "sets"])
    write(tmp_path / "sets" / "test.jsonl", [{"text": "a cat", "label": 0}])
    with pytest.raises(SourceError, match="all texts of test have the label '0'"):
        evaluate("minilm", [tmp_path / "sets"])


def test_prompts_are_those_that_the_model_was_saved_with(tmp_path):
    model = open_model("static", [], 32, 0)
    model.prompts = {"Retrieval-query": "bread ", "query": "no ", "document": "rain ", "STS": "dog "}
    model.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    collection(tmp_path / "sets" / "animals")
    scores = evaluate(str(tmp_path / "model"), [tmp_path / "sets"])
    opened = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    queries = opened.encode([QUERIES["q1"], QUERIES["q2"]], prompt="bread ")
    cosines = queries @ opened.encode(PASSAGES, prompt="rain ").T
    ranks = [int((row >= row[place]).sum()) for row, place in zip(cosines, (0, 2), strict=True)]
    assert scores["animals"]["384"]["map@1000"] == pytest.approx(np.mean([1 / rank for rank in ranks]))


def test_shortened_vectors_have_length_one():
    found = shortened(np.array([[3.0, 4.0, 12.0], [0.0, 0.0, 1.0]], np.float32), 2)
    assert found == pytest.approx(np.array([[0.6, 0.8], [0.0, 0.0]]))


def test_the_command_prints_a_table_and_writes_json(tmp_path, capsys):
    collection(tmp_path / "animals")
    output = tmp_path / "scores.json"
    assert main(["minilm", str(tmp_path / "animals"), "--dims=384,64", f"--output={output}"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["collection", "measure", "384", "64"]
    assert out.splitlines()[1].split()[:3] == ["animals", "ndcg@10", "100.00"]
    assert json.loads(output.read_text())["scores"]["animals"]["384"]["ndcg@10"] == 1.0


def test_a_table_has_a_line_for_each_measure():
    text = table({"a": {"4": {"spearman": 0.5}}, "longer": {"4": {"ndcg@10": 0.25, "map@1000": 1.0}}})
    assert [line.split() for line in text.splitlines()[1:]] == [
        ["a", "spearman", "50.00"], ["longer", "ndcg@10", "25.00"], ["longer", "map@1000", "100.00"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("harm", "code", "message"),
    [
        ("no folder", 4, "holds no evaluation collection"),
        ("no qrels", 4, "has no qrels.parquet and no qrels.jsonl"),
        ("other ids", 4, "no judgment names a query and a passage"),
        ("no text", 4, "has no text; a collection needs _id, text"),
        ("null text", 4, "queries.parquet, row 2 has no text: give it one"),
        ("null label", 4, "test.jsonl, row 2 has no label: give it one"),
        ("cut off", 4, "cannot be read"),
        ("bad line", 4, "test.tsv, line 2: 'q1\\td0' is not query-id"),
        ("dims", 2, "--dims=385: minilm gives 384"),
        ("words", 2, "--dims=all: whole numbers above 0"),
        ("output", 5, "cannot write"),
    ],
)
def test_errors_are_one_message_and_an_exit_code(tmp_path, capsys, harm, code, message):
    folder = collection(tmp_path / "animals")
    flags = {"dims": ["--dims=385"], "words": ["--dims=all"], "output": [f"--output={tmp_path}/no/such/file"]}
    if harm == "no folder":
        folder = tmp_path / "nowhere"
    elif harm == "no qrels":
        (folder / "qrels.parquet").unlink()
    elif harm == "other ids":
        write(folder / "qrels.parquet", [{"query-id": "x", "corpus-id": "d0", "score": 1}])
    elif harm == "no text":
        write(folder / "corpus.parquet", [{"_id": "d0"}])
    elif harm == "null text":
        write(folder / "queries.parquet", [{"_id": "q1", "text": "a"}, {"_id": "q2", "text": None}])
    elif harm == "null label":
        (folder / "corpus.parquet").unlink()
        (folder / "test.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "b"}\n')
    elif harm == "cut off":
        (folder / "corpus.parquet").write_bytes(b"PAR1")
    elif harm == "bad line":
        (folder / "qrels").mkdir()
        (folder / "qrels" / "test.tsv").write_text("head\nq1\td0\n")
    assert main(["minilm", str(folder), *flags.get(harm, [])]) == code
    assert message in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_told_before_anything_is_measured(tmp_path, capsys):
    folder = collection(tmp_path / "animals")
    for flag, why in (("--output=no/such.json", "there is no folder no; make it"), (f"--picture={folder}", "a folder")):
        assert main([str(tmp_path / "no model"), str(folder), flag]) == 5
        assert why in capsys.readouterr().err


def test_a_model_that_is_not_there_is_told_with_how_to_get_one(tmp_path, capsys):
    collection(tmp_path / "animals")
    assert main([str(tmp_path / "model"), str(tmp_path / "animals")]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: there is no model at {tmp_path / 'model'}: train one first (make train)")
    assert "teacher" not in told
