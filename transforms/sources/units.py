"""A unit: the piece of a source that one worker reads at a time. Units travel between steps as JSON strings."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Literal, Self, get_args

from transforms.sources.params import RangeParams

Role = Literal["rows", "corpus", "queries", "qrels"]
Format = Literal["parquet", "arrow", "jsonl", "json", "csv", "tsv", "text"]
Compression = Literal["gzip", "zstd", "bz2", "xz"]

#: Names of files end in one of these, and then perhaps in one of ``COMPRESSIONS``.
FORMATS: dict[str, Format] = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "text",
}
COMPRESSIONS: dict[str, Compression] = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".bz2": "bz2",
    ".xz": "xz",
}


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Some row groups of a Parquet file, or one whole file of any other format.

    ``path`` is where it is opened (a local path or an fsspec URL), ``file`` is what its rows' provenance says (the path
    below the source's root, the same wherever that root lies). ``first_row`` is the 0-based number of the unit's first
    row in the file. ``rows`` is how many rows it holds, None where only reading can tell; of a file without row groups
    no more than ``rows`` rows are read. ``ranges``: how its bytes are asked for, where it lies elsewhere.
    """

    dataset: str
    config: str
    role: Role
    path: str
    file: str
    format: Format
    compression: Compression | None = None
    row_groups: tuple[int, ...] | None = None
    first_row: int = 0
    rows: int | None = None
    ranges: RangeParams = field(default_factory=RangeParams)

    def __post_init__(self) -> None:
        if self.role not in get_args(Role) or self.format not in get_args(Format):
            raise ValueError(f"unit of {self.file}: role {self.role!r} or format {self.format!r} is not a known one")
        if (self.row_groups is None) == (self.format == "parquet"):
            raise ValueError(f"unit of {self.file}: row groups belong to Parquet and only to it; got {self.row_groups}")

    def to_json(self) -> str:
        """The unit as one line of JSON; equal units give equal strings."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The unit that ``to_json`` wrote."""
        fields = json.loads(text)
        groups = fields["row_groups"]
        parsed = {"row_groups": None if groups is None else tuple(groups), "ranges": RangeParams.of(fields["ranges"])}
        return cls(**fields | parsed)


def split_name(name: str) -> tuple[str, Format, Compression | None] | None:
    """A file's name as (stem, format, compression), or None where its endings are of no format we read.

    >>> split_name("train-00000-of-00001.jsonl.gz")
    ('train-00000-of-00001', 'jsonl', 'gzip')
    """
    compression = None
    for ending, kind in COMPRESSIONS.items():
        if name.endswith(ending):
            name, compression = name[: -len(ending)], kind
            break
    for ending, form in FORMATS.items():
        if name.endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)], form, compression
    return None


def endings() -> str:
    """The endings we read, for messages."""
    return f"{', '.join(FORMATS)} (all but .parquet also with {', '.join(COMPRESSIONS)})"
