"""Texts by their addresses, read from where they rest: for a step that needs the texts of few rows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.flow.parts import read_part
from transforms.text.part_texts import NEGATIVES, POSITIVES, TEXT

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class PartTexts:
    """The texts of a prepared run; ``kept`` and ``corpus`` are its folders of parts. Each part is read once a call."""

    kept: str
    corpus: str

    def __call__(self, addresses: pa.StructArray) -> list[str]:
        """The texts at some addresses (part, row, field, element), in their order."""
        parts, rows, fields, elements = (addresses.field(name) for name in ("part", "row", "field", "element"))
        numbers, names = parts.to_numpy(), fields.to_numpy(zero_copy_only=False)
        texts = np.empty(len(addresses), object)
        for part in np.unique(numbers).tolist():
            for field in sorted(set(names[numbers == part])):
                places = np.flatnonzero((numbers == part) & (names == field))
                folder = self.corpus if field == TEXT else self.kept
                column = read_part(folder, part, [field])[field]
                index = pa.array(places)
                texts[places] = _taken(column, field, rows.take(index), elements.take(index))
        return list(texts)


def _taken(column: pa.ChunkedArray, field: str, rows: pa.Array, elements: pa.Array) -> list[str]:
    values = column.take(rows).combine_chunks()
    if field not in (POSITIVES, NEGATIVES):
        found: list[str] = values.to_pylist()
        return found
    starts = np.asarray(values.offsets)[:-1] - values.offsets[0].as_py()
    found = values.flatten().take(pc.add(pa.array(starts), elements)).to_pylist()
    return found
