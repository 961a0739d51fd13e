"""A JSON document whose rows stand in a list: the one format that is read whole, as JSON cannot be entered midway."""

import json
from collections.abc import Iterator
from typing import Any

from schemas.errors import SourceError
from transforms.sources.file_errors import file_error
from transforms.sources.readers.json_lines import read_json_lines_unit
from transforms.sources.readers.json_rows import SAMPLE_ROWS, JsonRows, parse
from transforms.sources.readers.raw import NAMES_SHOWN, RawBatch, batches
from transforms.sources.readers.request import Request
from transforms.sources.readers.streams import BLOCK_BYTES, open_text, read_fully
from transforms.sources.units import Unit

_PEEK_BYTES = 1 << 20
#: A larger document, without compression, is refused.
MAX_DOCUMENT_BYTES = 1 << 30


def read_json_unit(unit: Unit, request: Request, batch_rows: int) -> Iterator[RawBatch]:
    """The rows of a ``.json`` file: a list at its top, the list at the path ``records``, or JSON lines after all.

    A document is held in memory whole. Raises SourceError where it is no JSON, holds no list at that place, or is above
    ``MAX_DOCUMENT_BYTES``.
    """
    encoding, records = request.options.encoding, request.options.records
    if records is None and _holds_lines(unit, encoding):
        yield from read_json_lines_unit(unit, request, batch_rows)
        return
    rows = _rows_at(unit, _load(unit, encoding), records)
    state = JsonRows(unit, request)
    state.sample(rows[:SAMPLE_ROWS])
    for start in range(0, len(rows), batch_rows):
        piece = [(row, "") for row in rows[start : start + batch_rows]]
        yield from batches(*state.read(piece, start), batch_rows)


def _holds_lines(unit: Unit, encoding: str | None) -> bool:
    """Whether the file's first line is an object by itself, as it is in JSON lines under the name .json."""
    with open_text(unit, encoding) as stream:
        head = read_fully(stream, _PEEK_BYTES).lstrip()
    line = head.split(b"\n", 1)[0].rstrip()
    return bool(line.startswith(b"{") and line.endswith(b"}") and _is_json(line))


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _read_whole(unit: Unit, encoding: str | None) -> bytes:
    pieces: list[bytes] = []
    left = MAX_DOCUMENT_BYTES
    with open_text(unit, encoding) as stream:
        while data := stream.read(BLOCK_BYTES):
            pieces.append(data)
            left -= len(data)
            if left < 0:
                raise SourceError(
                    f"{unit.file} is a JSON document of more than {MAX_DOCUMENT_BYTES >> 20} MiB, and a document is "
                    f"read into memory whole; write its rows as JSON lines, one object a line"
                )
    return b"".join(pieces)


def _load(unit: Unit, encoding: str | None) -> Any:
    data = _read_whole(unit, encoding)
    if not data.strip():
        return []
    try:
        # Undecodable bytes become lone surrogates, by which JsonRows knows the rows that hold them.
        return parse(data.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise file_error(unit, error) from error


def _rows_at(unit: Unit, document: Any, records: str | None) -> list[Any]:
    place, reached = document, document
    for key in records.split(".") if records else ():
        place = place.get(key) if isinstance(place, dict) else None
        reached = place if isinstance(place, dict) else reached
    if isinstance(place, list):
        return place
    keys = ", ".join(list(reached)[:NAMES_SHOWN]) if isinstance(reached, dict) else "none"
    raise SourceError(
        f"{unit.file} holds no list of rows at {f'records: {records}' if records else 'its top'}; keys there: {keys}. "
        f"Name the list in the entry's option `records` (keys joined by dots)"
    )
