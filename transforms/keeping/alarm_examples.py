"""One rejected row for each alarm, and the encoding that unreadable rows seem to be in."""

import re
from collections.abc import Mapping, Sequence
from heapq import nsmallest
from typing import Any

import pyarrow as pa

from schemas.filesystems import filesystem_of
from schemas.manifest import AlarmRecord
from schemas.reasons import RejectReason
from transforms.flow.files import read_parquet

_UNREADABLE = (RejectReason.MALFORMED_ROW, RejectReason.INVALID_UTF8)
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")
#: Share of NUL characters from which a text is taken for UTF-16, which has one for each letter of the Latin alphabet.
_NULS = 0.2
_ROWS, _CHARACTERS = 200, 200
_COLUMNS = ["reason", "detail", "provenance", "raw"]


def with_examples(alarms: Mapping[str, Sequence[AlarmRecord]], folder: str) -> dict[str, list[AlarmRecord]]:
    """Alarms with one of the rows that each is about; ``folder``: where their stage left its rejections."""
    return {
        name: [alarm.model_copy(update={"example": example_of(folder, name, alarm)}) for alarm in found]
        for name, found in alarms.items()
    }


def example_of(folder: str, dataset: str, alarm: AlarmRecord) -> str | None:
    """The first rejected row of an alarm's reason by file and row, with its detail, and the likely encoding."""
    rows = _rejected(folder, dataset, alarm.reason)
    if not rows:
        return None
    told = f"{rows[0]['provenance']}: {rows[0]['detail'][:_CHARACTERS]}"
    encoding = likely_encoding([row["raw"] for row in rows]) if alarm.reason in _UNREADABLE else None
    return f"{told}; the rows look like {encoding}" if encoding else told


def _rejected(folder: str, dataset: str, reason: str | None) -> list[dict[str, Any]]:
    """The first rejected rows of a dataset and reason, in the order of files and rows.

    They are chosen in Python: pyarrow imports pandas, a third of a second, for the first scalar that it is given.
    """
    filesystem, inner = filesystem_of(f"{folder}/{dataset}")
    paths = filesystem.glob(f"{inner}/*.parquet") if reason is not None else []
    if not paths:
        return []
    table = pa.concat_tables(read_parquet(filesystem.unstrip_protocol(path), _COLUMNS) for path in paths)
    places = table.column("provenance").to_pylist()
    rows = (row for row, found in enumerate(table.column("reason").to_pylist()) if found == reason)
    return [table.slice(row, 1).to_pylist()[0] for row in nsmallest(_ROWS, rows, key=places.__getitem__)]


def likely_encoding(raws: Sequence[str | None]) -> str | None:
    r"""The encoding that unreadable rows are probably in, from their beginnings as rejections hold them (bytes that are
    no UTF-8 read ``\xNN``); None where they are UTF-8 after all, or nothing fits.
    """
    texts = [raw.encode() for raw in raws if raw]
    data = b"\n".join(_ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), text) for text in texts)
    if not data:
        return None
    if data.count(0) > _NULS * len(data):
        return "utf-16"
    from charset_normalizer import from_bytes  # which only runs with unreadable rows need

    best = from_bytes(data).best()
    return None if best is None or best.encoding in ("ascii", "utf_8") else best.encoding
