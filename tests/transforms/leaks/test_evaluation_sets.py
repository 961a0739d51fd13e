"""Evaluation sets in hub layout and in folders: which files are theirs, which queries count, what is absent."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.utils import close_session

from schemas.errors import SourceError
from schemas.evaluation import EvaluationSet, LocatedSet
from tests.hub_server import HubServer
from transforms.leaks.evaluation_sets import SetPlan, plan_folder, plan_set
from transforms.leaks.evaluation_texts import read_passages, read_queries
from transforms.sources.hub import HubSource
from transforms.sources.opening import DirectorySource

CORPUS = {"_id": ["d1", "d2"], "title": ["Ferries", None], "text": ["They float.", "A harbour."]}
QUERIES = {"_id": ["q1", "q2", "q3"], "text": ["who floats", "what is trained on", "where to moor"]}
QRELS = {"query-id": ["q1", "q3", "q3"], "corpus-id": ["d1", "d2", "d1"], "score": [1, 1, 0]}


def _parquet(columns: Mapping[str, Sequence[Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), sink)
    return sink.getvalue()


def _lines(columns: Mapping[str, Sequence[Any]]) -> bytes:
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _located(**changes: Any) -> LocatedSet:
    values = {"name": "Toy.v2", "hub": "mteb/toy", "splits": ["test"], "languages": ["en"]} | changes
    return LocatedSet(entry=EvaluationSet.model_validate(values), where="catalog/evaluation/toy.yaml:4")


def _plan(root: Path, files: Mapping[str, bytes], **changes: Any) -> SetPlan:
    (root / "datasets" / "mteb" / "toy").mkdir(parents=True)
    for name, data in files.items():
        path = root / "datasets" / "mteb" / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return plan_set(DirectorySource(str(root), "mirror"), _located(**changes))


def _texts(plan: SetPlan) -> list[str]:
    rows = read_queries(plan)
    assert set(rows.column("evaluation_set").to_pylist()) <= {plan.name}
    return rows.column("text").to_pylist()  # type: ignore[no-any-return]


def _renamed(columns: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    return {("id" if name == "_id" else name): values for name, values in columns.items()}


OWN = {
    "corpus/corpus-00000-of-00001.parquet": _parquet(CORPUS),
    "queries/queries-00000-of-00001.parquet": _parquet(QUERIES),
    "default/test-00000-of-00001.parquet": _parquet(QRELS),
    "default/train-00000-of-00001.parquet": _parquet({"query-id": ["q2"], "corpus-id": ["d1"], "score": [1]}),
}
PUSHED = {
    "corpus/test-00000-of-00001.parquet": _parquet(_renamed(CORPUS)),
    "queries/test-00000-of-00001.parquet": _parquet(_renamed(QUERIES)),
    "qrels/test-00000-of-00001.parquet": _parquet(QRELS),
}
CONVERTED = {
    "corpus/corpus/0000.parquet": _parquet(CORPUS),
    "query/test/0000.parquet": _parquet(QUERIES),
    "default/test/0000.parquet": _parquet(QRELS),
}
BEIR = {
    "corpus.jsonl": _lines(CORPUS),
    "queries.jsonl": _lines(QUERIES),
    "qrels/test.tsv": b"query-id\tcorpus-id\tscore\nq1\td1\t1\nq3\td2\t1\n",
}


@pytest.mark.parametrize("files", [OWN, PUSHED, CONVERTED, BEIR])
def test_queries_that_a_scored_split_judges_are_kept_out_in_every_layout(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    plan = _plan(tmp_path, files)
    assert (plan.name, plan.place, plan.absent) == ("Toy.v2", "mirror/datasets/mteb/toy", ())
    assert {unit.dataset for unit in plan.units} == {"Toy.v2"}
    assert _texts(plan) == ["who floats", "where to moor"]
    known = [texts for unit in plan.of("corpus") for _, found in read_passages(unit) for texts in found]
    assert [texts.to_pylist() for texts in known] == [
        ["They float.", "A harbour."],
        ["Ferries\nThey float.", "A harbour."],
    ]
    assert set(plan.digests) == {unit.file for unit in plan.units}


def test_every_scored_split_counts(tmp_path: Path) -> None:
    plan = _plan(tmp_path, OWN, splits=["train", "test"])
    assert _texts(plan) == QUERIES["text"]
    assert len(plan.units) == len(set(plan.units)) == 4


def test_ids_of_one_language_do_not_judge_queries_of_another(tmp_path: Path) -> None:
    files = {}
    for language, judged in (("de", "q1"), ("fr", "q2")):
        queries = {"_id": ["q1", "q2"], "text": [f"{language} one", f"{language} two"]}
        files[f"{language}-corpus/test-00000-of-00001.parquet"] = _parquet(CORPUS)
        files[f"{language}-queries/test-00000-of-00001.parquet"] = _parquet(queries)
        files[f"{language}-qrels/test-00000-of-00001.parquet"] = _parquet(
            {"query-id": [judged], "corpus-id": ["d1"], "score": [1]}
        )
    plan = _plan(tmp_path, files, subsets=True, languages=["de", "fr"])
    assert sorted(_texts(plan)) == ["de one", "fr two"]
    assert len(plan.of("corpus")) == 2


def test_a_set_without_judgments_of_its_split_is_absent_and_says_what_is_there(tmp_path: Path) -> None:
    plan = _plan(tmp_path, OWN, splits=["dev"])
    (line,) = plan.absent
    assert plan.units == ()
    assert line.startswith("catalog/evaluation/toy.yaml:4: no files of qrels: config default, split dev")
    assert "default/test" in line


def test_a_set_of_which_no_query_is_judged_is_an_error(tmp_path: Path) -> None:
    other = OWN | {"default/test-00000-of-00001.parquet": _parquet({**QRELS, "query-id": ["x", "y", "z"]})}
    with pytest.raises(SourceError, match=r"evaluation set Toy.v2: .*none of its queries is judged"):
        read_queries(_plan(tmp_path, other))


def test_numbers_as_ids_meet_across_files(tmp_path: Path) -> None:
    files = OWN | {
        "queries/queries-00000-of-00001.parquet": _parquet({"_id": [1, 2], "text": ["one", "two"]}),
        "default/test-00000-of-00001.parquet": _parquet({"query-id": ["2"], "corpus-id": ["d1"], "score": [1]}),
    }
    assert _texts(_plan(tmp_path, files)) == ["two"]


def test_the_hub_is_read_at_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with HubServer(page_size=3) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        close_session()
        commit = server.add("mteb/toy", OWN)
        plan = plan_set(HubSource(), _located())
        assert (plan.revision, plan.place) == (commit, "hf://datasets/mteb/toy")
        assert _texts(plan) == ["who floats", "where to moor"]
        close_session()


def test_all_queries_of_a_collection_are_kept_out_and_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "queries.parquet").write_bytes(_parquet(QUERIES))
    (tmp_path / "eval" / "alone").mkdir(parents=True)
    (tmp_path / "eval" / "alone" / "queries.parquet").write_bytes(_parquet({"_id": ["q"], "text": ["who&amp;me"]}))
    (tmp_path / "eval" / "alone" / "corpus.parquet").write_bytes(_parquet(CORPUS))
    (tmp_path / "eval" / "notes").mkdir()
    (tmp_path / "eval" / "linked").symlink_to(tmp_path / "real")
    plans = plan_folder(str(tmp_path / "eval"), "eval")
    assert [(plan.name, plan.place, len(plan.units)) for plan in plans] == [
        ("alone", "eval/alone", 2),
        ("linked", "eval/linked", 1),
    ]
    assert [_texts(plan) for plan in plans] == [["who&me"], QUERIES["text"]]
    assert plan_folder(str(tmp_path / "none"), "none") == []


@pytest.mark.parametrize("data", [b"no Parquet", _parquet({"_id": ["q"], "words": ["w"]})])
def test_a_collection_that_is_damaged_or_has_no_text_is_an_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "queries.parquet").write_bytes(data)
    with pytest.raises(SourceError, match=r"broken/queries\.parquet"):
        read_queries(plan_folder(str(tmp_path), "eval")[0])


def _rows_plan(root: Path, files: Mapping[str, bytes], **changes: Any) -> SetPlan:
    return _plan(root, files, **{"type": "STS", "columns": ["sentence1", "sentence2"]} | changes)


@pytest.mark.parametrize("folder", ["default/", "data/", ""])
def test_texts_of_the_scored_columns_are_kept_out_as_wholes(tmp_path: Path, folder: str) -> None:
    rows = {"sentence1": ["a boat", "a boat", None], "sentence2": ["a&amp;b", "", "a ship"], "score": [1.0, 2.0, 3.0]}
    files = {
        f"{folder}test-00000-of-00001.parquet": _parquet(rows),
        f"{folder}train-00000-of-00001.parquet": _parquet({"sentence1": ["mine"], "sentence2": ["own"]}),
    }
    found = read_queries(_rows_plan(tmp_path, files))
    assert sorted(found.column("text").to_pylist()) == ["a boat", "a ship", "a&b"]
    assert set(found.column("whole").to_pylist()) == {True}


def test_lists_of_texts_and_globs_over_columns_are_read(tmp_path: Path) -> None:
    rows = {"sentence_deu": [["ein", "zwei"]], "sentence_eng": [["one", "two"]], "other": [["no"]]}
    plan = _rows_plan(tmp_path, {"test.parquet": _parquet(rows)}, type="BitextMining", columns=["sentence_*"])
    assert sorted(_texts(plan)) == ["ein", "one", "two", "zwei"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("de/test.parquet", "fr/test.parquet", "es/test.parquet"), 2),
        (("test.parquet",), 1),
    ],
)
def test_configurations_are_read_or_else_the_file_that_holds_all_of_them(
    tmp_path: Path, files: tuple[str, ...], expected: int
) -> None:
    data = {name: _parquet({"text": [name]}) for name in files}
    plan = _plan(tmp_path, data, type="Classification", columns=["text"], configs=["de", "fr"])
    assert _texts(plan) == list(files[:expected])


def test_a_set_without_its_columns_is_an_error_that_names_them(tmp_path: Path) -> None:
    plan = _rows_plan(tmp_path, {"test.parquet": _parquet({"words": ["w"]})})
    with pytest.raises(SourceError, match=r"Toy.v2: .*has no column sentence1 or sentence2; it has words"):
        read_queries(plan)
