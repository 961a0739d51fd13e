"""Plain text: each line that is not blank is a row with the one column ``line``."""

from collections.abc import Iterator

import pyarrow as pa

from schemas.reasons import RejectReason
from transforms.sources.readers.raw import Broken, RawBatch, batches, excerpt
from transforms.sources.readers.request import Request
from transforms.sources.readers.streams import BLOCK_BYTES, line_blocks, open_text
from transforms.sources.units import Unit

LINE = "line"


def read_text_unit(unit: Unit, request: Request, batch_rows: int, block_bytes: int = BLOCK_BYTES) -> Iterator[RawBatch]:
    """The lines of a text file without their ends; blank ones are no rows and have no number."""
    request.present(unit, [LINE])
    number = 0
    with open_text(unit, request.options.encoding) as stream:
        for block in line_blocks(stream, unit, block_bytes):
            lines = [line for line in block.split(b"\n") if line.strip()]
            yield from batches(*_decode(lines, number), batch_rows)
            number += len(lines)


def _decode(lines: list[bytes], first: int) -> tuple[pa.RecordBatch, pa.Array, list[Broken]]:
    texts: list[str] = []
    numbers: list[int] = []
    broken: list[Broken] = []
    for number, line in enumerate(lines, first):
        try:
            texts.append(line.removesuffix(b"\r").decode())
            numbers.append(number)
        except UnicodeDecodeError as error:
            detail = f"byte {error.start} of the line: {error.reason}"
            broken.append(Broken(number, RejectReason.INVALID_UTF8, detail, excerpt(line)))
    rows = pa.RecordBatch.from_arrays([pa.array(texts, pa.string())], names=[LINE])
    return rows, pa.array(numbers, pa.int64()), broken
