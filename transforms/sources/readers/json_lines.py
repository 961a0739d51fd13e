"""JSON lines: one object a line. Whole blocks are parsed by Arrow; where that fails, the block is read line by line."""

from collections.abc import Iterable, Iterator
from itertools import chain, groupby, islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from transforms.sources.readers.json_rows import SAMPLE_ROWS, JsonRows, parse_or_refuse
from transforms.sources.readers.raw import Broken, RawBatch, batches, count_from
from transforms.sources.readers.request import Request
from transforms.sources.readers.streams import BLOCK_BYTES, is_utf8, line_blocks, open_text
from transforms.sources.units import Unit

_BETWEEN_ROWS = b"}\n{"
#: A piece of a faulty block that is not longer than this is read line by line.
CAREFUL_BYTES = 64 << 10
_EXACT_UP_TO = 2.0**53
_Parsed = tuple[pa.Table, pa.Array, list[Broken]]


def read_json_lines_unit(
    unit: Unit, request: Request, batch_rows: int, block_bytes: int = BLOCK_BYTES
) -> Iterator[RawBatch]:
    """The rows of a file of JSON lines. Lines of nothing but white space are no rows and have no number.

    What a column holds is decided by the file's first 1,000 well-formed rows, or those that its first block holds.
    Missing keys read as null. Raises SourceError where a wanted column is in none of these rows, or for a damaged file.
    """
    state = JsonRows(unit, request)
    number = 0
    with open_text(unit, request.options.encoding) as stream:
        for block in line_blocks(stream, unit, block_bytes):
            text = block if _is_one_row_a_line(block) else _without_blank_lines(block)
            if not text:
                continue
            if not state.known:
                state.sample(list(islice(_well_formed(text), SAMPLE_ROWS)))
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
        rows, numbers, broken = state.read([(parse_or_refuse(line), line) for line in lines], first)
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
    return table if as_expected and not any(map(_may_be_rounded, table.columns)) else None


def _may_be_rounded(column: pa.ChunkedArray | pa.Array) -> bool:
    """Whether a fraction is so large that it may have been a whole number which floating point cannot hold."""
    kind = column.type
    if pa.types.is_floating(kind):
        bounds = pc.min_max(column)
        return bool(max(abs(bound.as_py() or 0.0) for bound in bounds.values()) >= _EXACT_UP_TO)
    if pa.types.is_list(kind) and not pa.types.is_string(kind.value_type):
        return _may_be_rounded(pc.list_flatten(column))
    if pa.types.is_struct(kind):
        return any(_may_be_rounded(pc.struct_field(column, [index])) for index in range(kind.num_fields))
    return False


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


def _well_formed(text: bytes) -> Iterator[Any]:
    values = map(parse_or_refuse, text.split(b"\n"))
    return (value for value in values if isinstance(value, dict | list))
