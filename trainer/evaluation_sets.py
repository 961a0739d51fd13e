"""Evaluation collections on this machine: retrieval in BEIR's layout, pairs with scores, texts with labels."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import SourceError


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Queries, the passages to be found, and what these are worth to a query, by place in ``passages``."""

    name: str
    queries: Sequence[str]
    passages: Sequence[str]
    judged: Sequence[Mapping[int, int]]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs of sentences and how similar people found them."""

    name: str
    first: Sequence[str]
    second: Sequence[str]
    scores: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Texts with labels: to be classified by those of ``train``, or to be clustered where there are none."""

    name: str
    train_texts: Sequence[str]
    train_labels: Sequence[str]
    texts: Sequence[str]
    labels: Sequence[str]


Collection = Retrieval | Pairs | Labelled


def find_collections(folders: Sequence[Path]) -> list[Collection]:
    """The collections in folders, and in the folders of these.

    A collection is ``corpus``, ``queries`` and ``qrels``, or ``test`` with ``sentence1``, ``sentence2`` and ``score``,
    or ``test`` with ``text`` and ``label`` and perhaps ``train`` with the same; each ``.parquet`` or ``.jsonl``
    (``qrels`` also ``qrels/test.tsv``). Raises SourceError where there is none, where two have one name, and for
    files that are not what they should be.
    """
    found = [each for folder in folders for each in ([folder] if _kind(folder) else _below(folder))]
    places = list({each.resolve(): each for each in found}.values())
    _refuse_namesakes(places)
    return [_retrieval(place) if _kind(place) == "retrieval" else _of_test(place) for place in places]


def _refuse_namesakes(places: Sequence[Path]) -> None:
    first: dict[str, Path] = {}
    for place in places:
        name = place.resolve().name
        if (other := first.setdefault(name, place)) is not place:
            raise SourceError(
                f"{other} and {place} are both named {name}, and scores go by the folder's name: rename one, or "
                "measure them one by one"
            )


def _below(folder: Path) -> Iterator[Path]:
    found = [each for each in sorted(folder.iterdir()) if each.is_dir() and _kind(each)] if folder.is_dir() else []
    if not found:
        raise SourceError(
            f"{folder} holds no evaluation collection: corpus, queries and qrels, or test, as .parquet or .jsonl; give "
            "the folder of one, or of several"
        )
    yield from found


def _kind(folder: Path) -> str | None:
    if _file(folder, "corpus") and _file(folder, "queries"):
        return "retrieval"
    return "test" if _file(folder, "test") else None


def _file(folder: Path, name: str) -> Path | None:
    candidates = (folder / f"{name}.parquet", folder / f"{name}.jsonl")
    return next((path for path in candidates if path.is_file()), None)


def _retrieval(folder: Path) -> Retrieval:
    corpus, queries = _rows(folder, "corpus", ("_id", "text")), _rows(folder, "queries", ("_id", "text"))
    place = {str(row["_id"]): number for number, row in enumerate(corpus)}
    judged: dict[str, dict[int, int]] = {}
    for query, passage, score in _judgments(folder):
        if passage in place:
            judged.setdefault(query, {})[place[passage]] = score
    asked = [row for row in queries if any(score > 0 for score in judged.get(str(row["_id"]), {}).values())]
    if not asked:
        raise SourceError(f"{folder}: no judgment names a query and a passage that are there: check the ids in qrels")
    return Retrieval(
        name=folder.resolve().name,
        queries=[row["text"] for row in asked],
        passages=[f"{row.get('title') or ''} {row['text']}".strip() for row in corpus],
        judged=[judged[str(row["_id"])] for row in asked],
    )


def _judgments(folder: Path) -> Iterator[tuple[str, str, int]]:
    table = folder / "qrels" / "test.tsv"
    if not table.is_file():
        for row in _rows(folder, "qrels", ("query-id", "corpus-id", "score")):
            yield str(row["query-id"]), str(row["corpus-id"]), int(row["score"])
        return
    for number, line in enumerate(table.read_text("utf-8").splitlines()[1:], 2):
        query, passage, score = (*line.split("\t"), "", "")[:3]
        if not score.strip().lstrip("-").isdecimal():
            raise SourceError(f"{table}, line {number}: {line!r} is not query-id, corpus-id and a whole score by tabs")
        yield query, passage, int(score)


def _of_test(folder: Path) -> Pairs | Labelled:
    rows = _rows(folder, "test", ())
    if {"text", "label"} <= rows[0].keys():
        return _labelled(folder, _rows(folder, "test", ("text", "label")))
    rows = _rows(folder, "test", ("sentence1", "sentence2", "score"))
    first, second = ([str(row[name]) for row in rows] for name in ("sentence1", "sentence2"))
    return Pairs(name=folder.resolve().name, first=first, second=second, scores=[float(row["score"]) for row in rows])


def _labelled(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Labelled:
    train = _rows(folder, "train", ("text", "label")) if _file(folder, "train") else []
    labels = [str(row["label"]) for row in rows]
    if len(set(labels)) < 2:
        raise SourceError(f"{folder}: all texts of test have the label {labels[0]!r}; two are needed at least")
    if train and (unknown := sorted(set(labels) - {str(row["label"]) for row in train})):
        raise SourceError(f"{folder}: test has labels that train has not ({', '.join(unknown[:5])}): copy both anew")
    return Labelled(
        name=folder.resolve().name,
        train_texts=[str(row["text"]) for row in train],
        train_labels=[str(row["label"]) for row in train],
        texts=[str(row["text"]) for row in rows],
        labels=labels,
    )


def _rows(folder: Path, name: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    path = _file(folder, name)
    if path is None:
        raise SourceError(f"{folder} has no {name}.parquet and no {name}.jsonl, which a collection there needs")
    try:
        if path.suffix == ".parquet":
            rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        else:
            rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SourceError(
            f"{path} cannot be read: {error}; it may be cut off or of another kind: copy it again"
        ) from error
    missing = [column for column in columns if rows and column not in rows[0]]
    if missing or not rows:
        raise SourceError(
            f"{path} has no {' and no '.join(missing) or 'rows'}; a collection needs {', '.join(columns)}"
        )
    _refuse_nulls(path, rows, columns)
    return rows


def _refuse_nulls(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    for number, row in enumerate(rows, 1):
        if null := [column for column in columns if row.get(column) is None]:
            raise SourceError(
                f"{path}, row {number} has no {' and no '.join(null)}: give it one (an empty text is one), or leave "
                "the row out"
            )
