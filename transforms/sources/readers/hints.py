"""Why a file cannot be read, as far as its beginning tells: another encoding, another dialect, rows of another form."""

from collections import Counter

from schemas.errors import SourceError
from schemas.reasons import RejectReason
from transforms.sources.readers.dialects import better_dialect, dialect_of
from transforms.sources.readers.encodings import guess_encoding
from transforms.sources.readers.request import Request
from transforms.sources.readers.streams import open_stream, open_text, read_fully
from transforms.sources.units import Unit

#: More than this share of a file's rows unread is told with a guess at the cause.
TOLD_SHARE = 0.1
_LOOKED_AT_BYTES = 64 << 10


def note_unreadable(unit: Unit, request: Request, rows: int, reasons: Counter[str]) -> None:
    """Note a file of which many rows could not be read, for which reasons, and what would help."""
    lost = sum(reasons.values())
    if lost <= TOLD_SHARE * (rows + lost):
        return
    counted = ", ".join(f"{reason} {number:,}" for reason, number in sorted(reasons.items()))
    hint = _hint(unit, request, reasons)
    share = "none" if not rows else f"only {rows:,}"
    request.notes[f"{unit.file}: {share} of {rows + lost:,} rows can be read ({counted}){hint and '; '}{hint}"] += lost


def _hint(unit: Unit, request: Request, reasons: Counter[str]) -> str:
    if unit.format in ("parquet", "arrow"):
        return "its texts are in another encoding than UTF-8" if reasons[RejectReason.INVALID_UTF8] else ""
    try:
        with open_stream(unit) as stream:
            sample = read_fully(stream, _LOOKED_AT_BYTES)[:_LOOKED_AT_BYTES]
        with open_text(unit, request.options.encoding) as stream:
            text = read_fully(stream, _LOOKED_AT_BYTES)[:_LOOKED_AT_BYTES].decode("utf-8", "replace")
    except SourceError:  # it was read to its end a moment ago, and that failure would have been told
        return ""
    if reasons[RejectReason.INVALID_UTF8] or b"\0" in sample:
        encoding = guess_encoding(sample)
        return f"its encoding looks like {encoding}: set source.encoding: {encoding}" if encoding else ""
    return _dialect_hint(unit, request, text)


def _dialect_hint(unit: Unit, request: Request, text: str) -> str:
    if unit.format in ("csv", "tsv", "text"):
        *lines, _ = [f"{line}\n" for line in text.split("\n")]
        better = better_dialect(lines, dialect_of(unit.format, request.options.csv))
        return f"its rows would fit with source.csv.{better}" if better else ""
    if text.lstrip().startswith("[") and unit.format == "jsonl":
        return "its rows are arrays: name the entry's columns by their places, #1, #2, ..."
    return ""
