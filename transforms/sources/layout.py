"""Hub layout: which files of a dataset's folder hold which configuration and split. Pure functions over relative paths.

``docs/sources.md`` describes the layout for its users.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from schemas.catalog import Adapter, LocatedEntry
from schemas.errors import CatalogError
from transforms.sources.units import FORMATS, Role, endings, split_name

BEIR_ROLES: tuple[Role, ...] = ("corpus", "queries", "qrels")
DEFAULT_CONFIG = "default"
_SHOWN = 12
#: What the datasets library writes beside its data.
_DESCRIPTIONS = frozenset({"dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json"})
#: A file that is one of several: everything but its number, which is 0-based, and how many there are.
_PIECE = re.compile(r"(?P<before>.*-)(?P<number>\d{5})-of-(?P<total>\d{5})(?P<after>\..*)?")
#: Kinds of access that need no person.
_READABLE = ("open_files", "open_raw_script")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One configuration and split that an entry reads, and the line of the catalog that names it.

    ``files`` is a glob below the dataset's folder; it goes before the layout where it matches anything.
    """

    role: Role
    config: str
    split: str
    files: str | None
    where: str

    def __str__(self) -> str:
        role = "" if self.role == "rows" else f"{self.role}: "
        glob = f" (files {self.files})" if self.files else ""
        return f"{role}config {self.config}, split {self.split}{glob}"


def wanted_of(located: LocatedEntry) -> list[Wanted]:
    """What an entry reads: its split of each of its configurations, or for ``beir`` the place of each role.

    Raises CatalogError where one glob would give several configurations the same files.
    """
    source = located.entry.source
    if located.entry.adapter is Adapter.BEIR:
        return [_wanted_role(located, role) for role in BEIR_ROLES]
    if source.files and len(source.configs) > 1 and "{config}" not in source.files:
        raise CatalogError(
            f"{located.where('source', 'files')}: source.files {source.files!r} gives all {len(source.configs)} "
            f"configurations the same files; write {{config}} where their names differ, or name one configuration"
        )
    where = located.where("source", "split")
    return [
        Wanted(role="rows", config=config, split=source.split, files=source.files, where=where)
        for config in source.configs
    ]


def _wanted_role(located: LocatedEntry, role: Role) -> Wanted:
    columns: Any = located.entry.columns[role]
    place: Mapping[str, Any] = columns if isinstance(columns, Mapping) else {}
    default = {"corpus": ("corpus", "corpus"), "queries": ("queries", "queries")}.get(
        role, (DEFAULT_CONFIG, located.entry.source.split)
    )
    return Wanted(
        role=role,
        config=str(place.get("config", default[0])),
        split=str(place.get("split", default[1])),
        files=place.get("files"),
        where=located.where("columns", role),
    )


def expand_configs(wanted: Wanted, paths: Collection[str]) -> list[Wanted]:
    """A configuration written as a glob (``*-triplet``) becomes those that are there; any other stays as it is."""
    if not any(character in wanted.config for character in "*?["):
        return [wanted]
    folders = sorted({path.split("/", 1)[0] for path in paths if "/" in path})
    found = [folder for folder in folders if fnmatchcase(folder, wanted.config)]
    return [replace(wanted, config=folder) for folder in found] or [wanted]


def is_data(path: str) -> bool:
    """Whether a file is of a format we read, not hidden (nor in a hidden folder), and no tool's note on its data."""
    return not _is_hidden(path) and split_name(posixpath.basename(path)) is not None


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/")) or posixpath.basename(path) in _DESCRIPTIONS


def find_files(wanted: Wanted, paths: Collection[str]) -> list[str]:
    """The files of a configuration and split, in order of their names; empty where there are none.

    Where a split lies there in several formats, only the first in the order of ``units.FORMATS`` counts: they are
    copies of each other.
    """
    readable = list(filter(is_data, paths))
    if wanted.files:
        pattern = glob_pattern(wanted.files.replace("{config}", wanted.config).replace("{split}", wanted.split))
        if found := [path for path in readable if pattern.fullmatch(path)]:
            return sorted(found)
    for folder in _folders(wanted):
        if found := [path for path in readable if _holds_split(path, folder, wanted.split)]:
            return _of_one_format(found)
    return []


def _folders(wanted: Wanted) -> Iterator[str]:
    """Folders below which a split may lie, the layout's own first ('' is the dataset's folder itself)."""
    yield wanted.config
    if wanted.role == "qrels":
        yield "qrels"
    if wanted.config in (DEFAULT_CONFIG, wanted.split):
        yield ""
        yield "data"


def _holds_split(path: str, folder: str, split: str) -> bool:
    """Whether a path is ``<folder>/<split>.<ending>``, ``<folder>/<split>-*.<ending>`` or ``<folder>/<split>/*``."""
    parent, name = posixpath.split(path)
    if parent == posixpath.join(folder, split):
        return True
    parts = split_name(name)
    stem = parts[0] if parts else ""
    return parent == folder and (stem == split or stem.startswith(f"{split}-"))


def _of_one_format(paths: list[str]) -> list[str]:
    order = list(FORMATS.values())
    formats = {path: parts[1] for path in paths if (parts := split_name(posixpath.basename(path)))}
    first = min(formats.values(), key=order.index)
    return sorted(path for path in paths if formats[path] == first)


def glob_pattern(glob: str) -> re.Pattern[str]:
    """A glob as a pattern: ``*`` and ``?`` stay within a name, ``**`` crosses folders; without ``/`` any folder does.

    >>> bool(glob_pattern("qrels/*.tsv").fullmatch("qrels/train.tsv"))
    True
    """
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    known = {"**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
    anywhere = "" if "/" in glob else r"(?:.*/)?"
    return re.compile(anywhere + "".join(known.get(piece, re.escape(piece)) for piece in pieces))


def holdings(paths: Collection[str]) -> str:
    """What a dataset's folder holds, for messages: its folders and splits with the number of files of each."""
    counts = Counter(map(_shown_place, filter(is_data, paths)))
    shown = [f"{place} ({count})" if count > 1 else place for place, count in sorted(counts.items())]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more if shown else _unread(paths)


def _unread(paths: Collection[str]) -> str:
    """What to say of a folder that holds nothing we read: the endings of what is there, and those that are read."""
    names = [posixpath.basename(path) for path in paths if not _is_hidden(path)]
    counts = Counter("".join(PurePosixPath(name).suffixes[-2:]) or name for name in names)
    shown = ", ".join(f"{ending} ({count})" for ending, count in sorted(counts.items())[:_SHOWN])
    return f"no data files, only {shown}; files are read that end in {endings()}" if shown else "no data files"


def missing_pieces(files: Collection[tuple[Wanted, str]]) -> list[str]:
    """A line for each configuration of whose files, which say by their names how many there are, some are not there."""
    pieces: dict[tuple[Wanted, str, int, str], set[int]] = {}
    for wanted, path in files:
        if match := _PIECE.fullmatch(path):
            key = (wanted, match["before"], int(match["total"]), match["after"] or "")
            pieces.setdefault(key, set()).add(int(match["number"]))
    lines = []
    for (wanted, before, total, after), numbers in pieces.items():
        if missing := sorted(set(range(total)) - numbers):
            names = [f"{before}{number:05d}-of-{total:05d}{after}" for number in missing[:_SHOWN]]
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            said = f"{len(missing)} of {total} files are not there: {', '.join(names)}{more}"
            lines.append(f"{wanted.where}: {wanted}: {said}; only the others are read")
    return lines


def _shown_place(path: str) -> str:
    parent, name = posixpath.split(path)
    parts = split_name(name)
    return posixpath.join(parent, re.sub(r"-\d{3,}.*", "", parts[0] if parts else name))


def files_of(declared: Wanted, paths: Collection[str]) -> list[tuple[Wanted, str]]:
    """The files of what an entry declares, each with its configuration; empty where there are none."""
    return [(wanted, path) for wanted in expand_configs(declared, paths) for path in find_files(wanted, paths)]


def absent_line(located: LocatedEntry, declared: Wanted, paths: Collection[str], place: str) -> str:
    """What to say of a configuration that is not there: the catalog's line, what was looked for, and what is there."""
    return f"{declared.where}: no files of {declared}; {place} holds {holdings(paths)}{hint(located)}"


def hint(located: LocatedEntry) -> str:
    """What the entry itself says about getting its data, where that takes more than reading files of the hub."""
    source, note = located.entry.source, located.entry.note
    told = source.obtain or note if source.access not in _READABLE else source.obtain
    said = [
        f"access: {source.access}" if source.access not in _READABLE else "",
        told or "",
        f"substitute: {source.substitute}" if source.substitute else "",
    ]
    words = "; ".join(filter(None, said))
    return f" ({words})" if words else ""
