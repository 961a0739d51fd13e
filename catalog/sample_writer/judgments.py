"""Writes entries in BEIR layout from their recipe: a corpus, queries, and judgments that refer to both."""

from collections.abc import Mapping
from typing import Any

from catalog.sample_writer.columns import put
from catalog.sample_writer.desk import Desk
from catalog.sample_writer.facts import Drawn
from catalog.sample_writer.formats import Row, SourceFile
from catalog.sample_writer.places import ending_of, path_of, source_file

_DEFAULTS = {"corpus": ("corpus", "corpus"), "queries": ("queries", "queries"), "qrels": ("default", "train")}
_ENDINGS = {
    "corpus": ("jsonl", "jsonl.gz", "parquet"),
    "queries": ("jsonl", "parquet", "csv"),
    "qrels": ("tsv", "jsonl.gz", "parquet"),
}


def beir(desk: Desk) -> list[SourceFile]:
    """Returns the files; the account counts judgments alone."""
    columns: Any = desk.entry.columns
    drawn = desk.take(desk.size + 3)
    passages = [_passage(desk, columns["corpus"], at, item) for at, item in enumerate(drawn)]
    queries = [_query(desk, columns["queries"], at, item.query) for at, item in enumerate(drawn)]
    queries.append(_query(desk, columns["queries"], len(drawn), None))
    _judge(desk, columns["qrels"])
    judgments = [row for row in desk.planter.shuffled(desk.entry.name) if isinstance(row, dict)]
    tables = {"corpus": passages, "queries": queries, "qrels": judgments}
    if columns["queries"].get("files") and columns["queries"].get("files") == columns["qrels"].get("files"):
        tables = {"corpus": passages, "queries": _joined(columns, queries, judgments)}
    return [_file(desk, role, columns[role], rows) for role, rows in tables.items()]


def _passage(desk: Desk, columns: Mapping[str, Any], at: int, item: Drawn) -> Row:
    row: Row = {}
    put(row, columns["id"], f"{desk.entry.name[:4]}-d{at}")
    put(row, columns["text"], (item.title, item.positive) if isinstance(columns["text"], list) else item.positive)
    return row


def _query(desk: Desk, columns: Mapping[str, Any], at: int, text: str | None) -> Row:
    row: Row = {}
    put(row, columns["id"], f"{desk.entry.name[:4]}-q{at}")
    put(row, columns["text"], text)
    return row


def _judge(desk: Desk, columns: Mapping[str, Any]) -> None:
    """Plants a positive judgment for each query but the last three, and what hangs loose."""

    def judgment(query: int, passage: int, score: float) -> Row:
        row: Row = {}
        put(row, columns["query_id"], f"{desk.entry.name[:4]}-q{query}")
        put(row, columns["corpus_id"], f"{desk.entry.name[:4]}-d{passage}")
        if "score" in columns:
            put(row, columns["score"], score)
        return row

    planter, size = desk.planter, desk.size
    for at in range(size):
        planter.keep(judgment(at, at, 1.0))
    if "score" in columns:
        planter.merge(*(judgment(at, (at + 7) % size, 0.0) for at in range(0, size, 6)))
        planter.reject("NO_POSITIVE", judgment(size, 0, 0.0))
    planter.reject("EMPTY_QUERY", judgment(size + 3, size + 1, 1.0))
    planter.reject("DANGLING_ID", judgment(size + 1, 900 + size, 1.0))


def _joined(columns: Mapping[str, Any], queries: list[Row], judgments: list[Row]) -> list[Row]:
    """Returns queries with their judgment in one row each, where one file holds both."""
    ids = {row[columns["qrels"]["query_id"]]: row for row in judgments}
    return [{**row, **found} for row in queries if (found := ids.get(row[columns["queries"]["id"]]))]


def _file(desk: Desk, role: str, columns: Mapping[str, Any], rows: list[Row]) -> SourceFile:
    config, split = _DEFAULTS[role]
    files = columns.get("files")
    ending = ending_of(files) or _ENDINGS[role][desk.number % 3]
    stem = role if role == "corpus" else "rows"
    path = path_of(desk.entry, columns.get("config", config), columns.get("split", split), files, ending, stem)
    return source_file(path, rows, {}, None)
