"""JSON lines: one object a line. Whole blocks are parsed by Arrow; where that fails, the block is read line by line."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, groupby, islice
from typing import Any

import pyarrow as pa
import pyarrow.json as pj

from schemas.reasons import RejectReason
from transforms.sources.readers.json_rows import SAMPLE_ROWS, JsonRows, parse
from transforms.sources.readers.raw import Broken, RawBatch, Refusal, batches, count_from
from transforms.sources.readers.streams import BLOCK_BYTES, is_utf8, line_blocks, open_stream
from transforms.sources.units import Unit

_BETWEEN_ROWS = b"}\n{"
#: A piece of a faulty block that is not longer than this is read line by line.
CAREFUL_BYTES = 64 << 10
_Parsed = tuple[pa.Table, pa.Array, list[Broken]]


def read_json_lines_unit(
    unit: Unit, columns: Mapping[str, str], batch_rows: int, block_bytes: int = BLOCK_BYTES
) -> Iterator[RawBatch]:
    """The rows of a file of JSON lines. Lines of nothing but white space are no rows and have no number.

    What a column holds is decided by the file's first 1,000 well-formed rows, or those that its first block holds.
    Missing keys read as null. Raises SourceError where a wanted column is in none of these rows, or for a damaged file.
    """
    state = JsonRows(unit, columns)
    number = 0
    with open_stream(unit) as stream:
        for block in line_blocks(stream, unit, block_bytes):
            text = block if _is_one_row_a_line(block) else _without_blank_lines(block)
            if not text:
                continue
            if not state.known and (records := list(islice(_well_formed(text), SAMPLE_ROWS))):
                state.sample(records)
            for rows, numbers, broken in _merged(_parse_block(text, state, number)):
                yield from batches(rows, numbers, broken, batch_rows)
                number += len(numbers) + len(broken)


def _parse_block(text: bytes, state: JsonRows, first: int) -> Iterator[_Parsed]:
    """Rows by the fast way where all of a piece goes it; else by smaller pieces, and of a small one line by line."""
    table = parse_fast(text, state) if state.known else None
    pieces = list(_pieces(text)) if table is None and len(text) > CAREFUL_BYTES else []
    if table is not None:
        yield table, count_from(first, table.num_rows), []
    elif len(pieces) < 2:
        lines = text.removesuffix(b"\n").split(b"\n")
        rows, numbers, broken = state.read([(_parse_line(line), line) for line in lines], first)
        yield pa.Table.from_batches([rows]), numbers, broken
    else:
        for piece in pieces:
            yield from _parse_block(piece, state, first)
            first += _num_lines(piece)


def _pieces(text: bytes) -> Iterator[bytes]:
    """About eight pieces of whole lines ; fewer, down to one, where lines are long."""
    start = 0
    while start < len(text):
        newline = text.find(b"\n", start + len(text) // 8)
        stop = len(text) if newline < 0 else newline + 1
        yield text[start:stop]
        start = stop


def _merged(parsed: Iterable[_Parsed]) -> Iterator[_Parsed]:
    """Neighbours of equal schema as one."""
    for _, group in groupby(parsed, key=lambda item: item[0].schema):
        tables, numbers, broken = zip(*group, strict=True)
        yield pa.concat_tables(tables), pa.concat_arrays(numbers), list(chain.from_iterable(broken))


def parse_fast(text: bytes, state: JsonRows) -> pa.Table | None:
    """The block's rows by Arrow's parser, or None where any row is not clearly sound or says something new."""
    if not _is_one_row_a_line(text) or not is_utf8(text):
        return None
    schema = state.schema
    parse_options = pj.ParseOptions(
        explicit_schema=schema, unexpected_field_behavior="infer" if state.may_grow else "ignore"
    )
    read_options = pj.ReadOptions(use_threads=False, block_size=len(text) + 1)
    try:
        table = pj.read_json(pa.BufferReader(text), read_options, parse_options).select(schema.names)
        table.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    as_expected = table.schema.equals(schema) and table.num_rows == _num_lines(text)
    return table if as_expected else None


def _num_lines(text: bytes) -> int:
    return text.count(b"\n") + (not text.endswith(b"\n"))


def _is_one_row_a_line(block: bytes) -> bool:
    """Whether each line begins with a brace and ends with one.

    Then no object can span two lines: after an inner ``}`` a comma or another closing bracket would have to follow.
    """
    body = block.removesuffix(b"\n")
    framed = body.startswith(b"{") and body.endswith(b"}")
    return framed and body.count(_BETWEEN_ROWS) == body.count(b"\n")


def _without_blank_lines(block: bytes) -> bytes:
    return b"\n".join(stripped for line in block.split(b"\n") if (stripped := line.strip(b" \t\r")))


def _parse_line(line: bytes) -> Any:
    """The line's value, or a Refusal where it has none."""
    try:
        return parse(line.decode())
    except UnicodeDecodeError as error:
        return Refusal(RejectReason.INVALID_UTF8, f"byte {error.start} of the line: {error.reason}")
    except (ValueError, RecursionError) as error:
        return Refusal(RejectReason.MALFORMED_ROW, f"the line is not JSON: {str(error).splitlines()[0]}")


def _well_formed(text: bytes) -> Iterator[Mapping[str, Any]]:
    for line in text.split(b"\n"):
        value = _parse_line(line)
        if isinstance(value, dict):
            yield value
