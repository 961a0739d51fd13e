"""The allow-list: rows that are kept although a step rejects them, as ``kalm readmit`` writes them for ``curate``.

A line for each row: its dataset, its content id and, for those who read it, the reason that it was rejected for.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pipelines.workplace import absolute, digest, shown_some
from schemas.errors import ConfigError
from transforms.flow.files import read_bytes

HEAD = "# Rows that are kept although a step rejects them (readmit: FILE in a configuration): dataset, id, reason.\n"
_ID = re.compile(r"[0-9a-f]{32}")


class Wanted(NamedTuple):
    """A row that a person wants kept."""

    dataset: str
    row_id: str
    reason: str = ""


def is_id(text: str) -> bool:
    """Whether a text is a content id: 32 hexadecimal digits."""
    return _ID.fullmatch(text) is not None


def written(rows: Iterable[Wanted]) -> bytes:
    """The file of some rows, a row once; equal rows give equal bytes."""
    first = {(row.dataset, row.row_id): row for row in sorted(rows, reverse=True)}
    return (HEAD + "".join("\t".join(row).rstrip() + "\n" for row in sorted(first.values()))).encode()


def read_allow_list(file: str) -> list[Wanted]:
    """The rows of a file. Raises ConfigError where there is none, with the line of what is no row."""
    data = read_bytes(absolute(file))
    if data is None:
        raise ConfigError(f"readmit: there is no file {file}; kalm readmit OUT writes one")
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"readmit: {file} is no UTF-8 text ({error}); kalm readmit OUT writes one") from error
    return [_row(file, number, words) for number, line in enumerate(lines, 1) if (words := _words(line))]


def _words(line: str) -> list[str]:
    return line.partition("#")[0].split()


def _row(file: str, number: int, words: Sequence[str]) -> Wanted:
    if not 2 <= len(words) <= 3 or not is_id(words[1].lower()):
        raise ConfigError(
            f"{file}:{number}: a row is its dataset and its id of 32 hexadecimal digits (then, if you like, a reason), "
            f"not {' '.join(words)!r:.80}"
        )
    return Wanted(words[0], words[1].lower(), *words[2:])


def by_dataset(rows: Iterable[Wanted], datasets: Iterable[str]) -> dict[str, list[str]]:
    """Ids by dataset, sorted, of some datasets."""
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row.dataset, set()).add(row.row_id)
    return {name: sorted(found[name]) for name in sorted(datasets) if name in found}


def wanted_rows(file: str | None) -> list[Wanted]:
    """The rows of a configuration's file; none where it names no file."""
    return read_allow_list(file) if file else []


def told(ids: Sequence[str]) -> str | None:
    """What a manifest says of the ids of a dataset: their number and digest."""
    return f"{len(ids)} ids, digest {digest(list(ids))[:16]}" if ids else None


def unmet_lines(
    wanted: Sequence[Wanted], readmit: Mapping[str, Sequence[str]], manifest: Mapping[str, Any]
) -> Iterator[str]:
    """A line for each dataset of which ids were listed that no row has; ``manifest``: of the stage prepare."""
    met = manifest.get("met", {})
    for name, ids in by_dataset(wanted, {row.dataset for row in wanted}).items():
        unmet = sorted(set(ids) - set(met.get(name, ())))
        if name not in readmit:
            yield f"{name}: {len(ids)} ids to re-admit are of a dataset that is no part of this run"
        elif unmet:
            yield (
                f"{name}: {len(unmet)} of {len(ids)} ids to re-admit are of no row that came through reading "
                f"({shown_some(unmet)}): its data or what is read of it has changed since they were listed"
            )
