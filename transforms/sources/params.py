"""How sources are read: requests and connections."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from transforms.flow.params import RetryParams


@dataclass(frozen=True, kw_only=True)
class HubParams:
    """How files on the hub are looked at.

    ``connections``: files that are looked at side by side. ``sampled_files``: LIMIT chooses among the row groups of so
    many files at least (all, where there are fewer), whose footers it reads. ``row_bytes``: of files without row groups
    LIMIT takes so many that they should hold its rows at this many bytes a row.
    """

    connections: int = 16
    sampled_files: int = 32
    row_bytes: int = 16 << 10
    retry: RetryParams = field(default_factory=RetryParams)

    def __post_init__(self) -> None:
        if min(self.connections, self.sampled_files, self.row_bytes) < 1:
            raise ValueError(f"connections, sampled_files and row_bytes must be at least 1; got {self}")


@dataclass(frozen=True, kw_only=True)
class RangeParams:
    """How bytes are asked for.

    ``gap``: two ranges closer than this (bytes) are one request, as reading the gap costs less than another round trip.
    ``piece``: longer ranges (bytes) are several requests. ``read_ahead``: bytes that are asked for where nothing was
    prefetched; of files without row groups 8 MiB at least. ``connections``: requests at a time for each file.
    """

    gap: int = 256 << 10
    piece: int = 8 << 20
    read_ahead: int = 64 << 10
    connections: int = 8
    retry: RetryParams = field(default_factory=RetryParams)

    def __post_init__(self) -> None:
        if self.gap < 0 or min(self.piece, self.read_ahead, self.connections) < 1:
            raise ValueError(f"gap must be >= 0; piece, read_ahead and connections >= 1; got {self}")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The parameters that ``dataclasses.asdict`` took apart."""
        return cls(**{**values, "retry": RetryParams(**values["retry"])})


@dataclass(frozen=True, kw_only=True)
class ReadingParams:
    """How sources are read; no value here changes a row, only what LIMIT takes on the hub."""

    hub: HubParams = field(default_factory=HubParams)
    ranges: RangeParams = field(default_factory=RangeParams)


#: How sources are read where nobody asks for anything else.
AS_USUAL = ReadingParams()
