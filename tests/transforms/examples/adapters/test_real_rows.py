"""Each kind on rows of public data sets, where a directory with them in hub layout is at hand."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.catalog import LocatedEntry
from schemas.rows import fields_hash
from tests.transforms.examples.adapters.helpers import locate, make_raw, make_unit
from transforms.cleaning.normalise import normalise_text
from transforms.examples.adapters import Adapted, adapt, read_options, source_columns
from transforms.examples.grouping import MEMBERS, group_members
from transforms.sources.readers import read_unit
from transforms.sources.units import Role, Unit

SHARED = Path(os.environ.get("KALM_SHARED", Path(__file__).parents[5] / "shared"))
HUB = SHARED / "hub"
pytestmark = pytest.mark.skipif(
    not (HUB / "datasets").is_dir(), reason=f"no directory in hub layout at {HUB}; KALM_SHARED names the one above it"
)


class Outcome(NamedTuple):
    """What became of a file's rows."""

    read: int
    kept: list[dict[str, Any]]
    merged: int
    rejected: Counter[str]


def parts(located: LocatedEntry, path: str, role: Role = "rows") -> Iterator[Adapted]:
    file = HUB / "datasets" / path
    groups = tuple(range(pq.read_metadata(file).num_row_groups))
    unit = Unit(
        dataset="toy",
        config=Path(path).parent.name,
        role=role,
        path=str(file),
        file=path,
        format="parquet",
        row_groups=groups,
    )
    for raw in read_unit(unit, source_columns(located, role), read_options(located, role)):
        yield adapt(located, unit, raw)


def outcome(results: list[Adapted], members: pa.Table | None = None) -> Outcome:
    groups = group_members(pa.Table.from_batches([r.members for r in results]) if members is None else members)
    rejected = Counter(reason for r in results for reason in r.rejections.column("reason").to_pylist())
    rejected.update(groups.rejections.column("reason").to_pylist())
    kept = [row for result in results for row in result.rows.to_pylist()] + groups.rows.to_pylist()
    return Outcome(sum(result.num_read for result in results), kept, sum(groups.merged.values()), rejected)


def run(located: LocatedEntry, path: str) -> Outcome:
    """Adapt and group a file; what came of it must account for all the rows that its footer states."""
    found = outcome(list(parts(located, path)))
    assert found.read == pq.read_metadata(HUB / "datasets" / path).num_rows
    assert found.read == len(found.kept) + found.merged + found.rejected.total()
    return found


def rows_of(path: str, *columns: str) -> list[tuple[Any, ...]]:
    table = pq.read_table(HUB / "datasets" / path, columns=list(columns))
    return list(zip(*(table.column(name).to_pylist() for name in columns), strict=True))


PASSAGES = ["positive_passages[].title", "positive_passages[].text"]
PLAIN = {
    "neuclir/csl/default/csl-00000-of-00001.parquet": locate("pair", {"query": "title", "positive": "abstract"}),
    "Tevatron/wikipedia-nq/default/train-00000-of-00001.parquet": locate(
        "triplet", {"query": "query", "positive": PASSAGES}
    ),
    "sentence-transformers/all-nli/triplet/dev-00000-of-00001.parquet": locate(
        "triplet", {"query": "anchor", "positive": "positive", "negative": "negative"}
    ),
    "SkelterLabsInc/JaQuAD/default/train-00000-of-00001.parquet": locate(
        "qa_context", {"question": "question", "context": "context", "answers": "answers.text[]"}
    ),
    "mteb/banking77/default/train-00000-of-00001.parquet": locate("labeled", {"text": "text", "label": "label"}),
    "C-MTEB/IFlyTek-classification/default/train-00000-of-00001.parquet": locate(
        "labeled", {"text": "text", "label": "label"}
    ),
    "mteb/NTREXBitextMining/default/test-00000-of-00001.parquet": locate(
        "bitext", {"text_a": "eng_Latn", "text_b": "jpn_Jpan"}, {"directions": "by_hash"}
    ),
}


@pytest.mark.parametrize("path", PLAIN)
def test_every_row_of_a_plain_kind_is_an_example(path: str) -> None:
    found = run(PLAIN[path], path)
    assert found.rejected.total() == found.merged == 0
    assert all(row["query"] for row in found.kept)
    is_labelled = PLAIN[path].entry.adapter == "labeled"
    assert all(row["label"] if is_labelled else row["positives"] and row["positives"][0] for row in found.kept)


def test_passages_begin_with_their_title() -> None:
    path = "Tevatron/wikipedia-nq/default/train-00000-of-00001.parquet"
    expected = [
        [f"{passage['title']}\n{passage['text']}" if passage["title"] else passage["text"] for passage in passages]
        for (passages,) in rows_of(path, "positive_passages")
    ]
    assert [row["positives"] for row in run(PLAIN[path], path).kept] == expected


def test_contexts_that_hold_an_answer_are_found() -> None:
    located = locate(
        "qa_context",
        {"question": "question", "context": "search[]", "answers": "answers.text[]"},
        {"context": "passages"},
    )
    path = "SkelterLabsInc/JaQuAD/default/validation-00000-of-00001.parquet"
    rows = rows_of(path, "question", "context", "answers")[:200]
    neighbours = [context for _, context, _ in rows[1:]] + [rows[0][1]]
    columns = {
        "question": [question for question, _, _ in rows],
        "search": [[other, context] for other, (_, context, _) in zip(neighbours, rows, strict=True)],
        "answers": [answers for _, _, answers in rows],
    }
    result = adapt(located, make_unit(), make_raw(pa.record_batch(columns)))
    assert result.rejections.num_rows == 0
    assert all(row[1] in found for row, found in zip(rows, result.rows.column("positives").to_pylist(), strict=True))


def queries_with(path: str, query: str, mark: str, positive: Callable[[Any], bool]) -> set[str]:
    """The queries that have a positive, read off the file."""
    return {normalise_text(text) for text, value in rows_of(path, query, mark) if positive(value)}


OCNLI = ["neutral", "entailment", "contradiction"]


@pytest.mark.parametrize(
    ("path", "columns", "names"),
    [
        ("clue/clue/ocnli/train-00000-of-00001.parquet", ("sentence1", "sentence2", "label"), None),
        ("clue/clue/ocnli/train-00000-of-00001.parquet", ("sentence1", "sentence2", "label"), OCNLI),
        ("nyu-mll/multi_nli/default/train-00000-of-00001.parquet", ("premise", "hypothesis", "label"), None),
    ],
)
def test_premises_with_an_entailed_hypothesis_are_examples(
    path: str, columns: tuple[str, ...], names: list[str] | None
) -> None:
    located = locate("nli", dict(zip(("premise", "hypothesis", "label"), columns, strict=True)), label_names=names)
    entailed = 1 if "ocnli" in path else 0
    found = run(located, path)
    groups = queries_with(path, columns[0], columns[2], lambda label: label == entailed)
    assert len(found.kept) == len(groups)
    assert {normalise_text(row["query"]) for row in found.kept} == groups
    assert set(found.rejected) <= {"NO_POSITIVE", "NEUTRAL", "CONFLICTING_LABEL"}


def test_unlabelled_rows_of_a_test_split_are_told() -> None:
    path = "clue/clue/ocnli/test-00000-of-00001.parquet"
    found = run(locate("nli", {"premise": "sentence1", "hypothesis": "sentence2", "label": "label"}), path)
    assert found.rejected == {"UNLABELLED": found.read}


@pytest.mark.parametrize(
    ("path", "mark", "positive_min"),
    [
        ("C-MTEB/AFQMC/default/train-00000-of-00001.parquet", "score", 1),
        ("shibing624/nli_zh/STS-B/train-00000-of-00001.parquet", "label", 4),
    ],
)
def test_pairs_from_the_minimum_up_are_examples(path: str, mark: str, positive_min: int) -> None:
    options = {"positive_min": {"STS-B": 4, "*": 1}, "negative_max": {"STS-B": 2, "*": 0}}
    columns = ("sentence1", "sentence2", mark)
    located = locate("scored_pair", dict(zip(("text_a", "text_b", "score"), columns, strict=True)), options)
    found = run(located, path)
    groups = queries_with(path, columns[0], columns[2], lambda score: score >= positive_min)
    assert {normalise_text(row["query"]) for row in found.kept} == groups
    assert set(found.rejected) <= {"BELOW_THRESHOLD", "CONFLICTING_LABEL"}
    assert all(row["score"] >= positive_min for row in found.kept)


def test_questions_with_a_right_answer_are_examples() -> None:
    path, columns = "lucadiliello/trecqa/default/train-00000-of-00001.parquet", ("question", "answer", "label")
    options = {"positive_grades": [1], "negative_grades": [0]}
    located = locate("graded", {"query": "question", "candidate": "answer", "grade": "label"}, options)
    found = run(located, path)
    groups = queries_with(path, columns[0], columns[2], lambda grade: grade == 1)
    assert {normalise_text(row["query"]) for row in found.kept} == groups
    assert set(found.rejected) <= {"NO_POSITIVE", "CONFLICTING_LABEL"}


SCIFACT = locate(
    "beir",
    {
        "corpus": {"config": "corpus", "split": "corpus", "id": "_id", "text": ["title", "text"]},
        "queries": {"config": "queries", "split": "queries", "id": "_id", "text": "text"},
        "qrels": {
            "config": "default",
            "split": "train",
            "query_id": "query-id",
            "corpus_id": "corpus-id",
            "score": "score",
        },
    },
    {"min_score": 1},
)


@pytest.mark.parametrize("qrels", ["mteb/scifact/default/train", "BeIR/scifact-qrels/default/train"])
def test_judged_queries_are_examples_whatever_the_type_of_ids(qrels: str) -> None:
    corpus = list(parts(SCIFACT, "mteb/scifact/corpus/corpus-00000-of-00001.parquet", "corpus"))
    queries = list(parts(SCIFACT, "mteb/scifact/queries/queries-00000-of-00001.parquet", "queries"))
    judged = list(parts(SCIFACT, f"{qrels}-00000-of-00001.parquet", "qrels"))
    texts = {
        fields_hash((row["dataset"], row["passage_id"])): row["text"]
        for result in corpus
        for row in result.passages.to_pylist()
    }
    table = pa.Table.from_batches([result.members for result in queries + judged])
    joined = pa.array([texts.get(key) for key in table.column("passage").to_pylist()], pa.string())
    found = outcome(
        corpus + queries + judged, table.set_column(MEMBERS.get_field_index("text"), MEMBERS.field("text"), joined)
    )
    rows = rows_of(f"{qrels}-00000-of-00001.parquet", "query-id", "score")
    assert found.read == len(rows) == len(found.kept) + found.merged + found.rejected.total()
    assert len(found.kept) == len({query for query, score in rows if score >= 1})
    assert set(found.rejected) <= {"NO_POSITIVE", "CONFLICTING_LABEL"}
