"""Rows that a person wants kept although a step rejects them, by their content ids."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.rows import ID

_BYTES = ID.byte_width


@dataclass(frozen=True, kw_only=True)
class Readmission:
    """The ids as they travel to workers: 16 bytes each, sorted, one behind the other."""

    ids: bytes = b""

    @classmethod
    def of(cls, ids: Iterable[str]) -> "Readmission":
        """Of ids as a person reads them, 32 hexadecimal digits each."""
        return cls(ids=b"".join(sorted({bytes.fromhex(each) for each in ids})))

    def __bool__(self) -> bool:
        return bool(self.ids)

    def mask(self, ids: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        """Which of some ids (``binary(16)``, null for none) are among these."""
        if not self.ids:
            return np.zeros(len(ids), np.bool_)
        wanted = pa.FixedSizeBinaryArray.from_buffers(ID, len(self.ids) // _BYTES, [None, pa.py_buffer(self.ids)])
        found: npt.NDArray[np.bool_] = np.asarray(pc.is_in(ids, wanted), dtype=np.bool_)
        return found


#: For a run that keeps to its own decisions.
NOBODY = Readmission()
