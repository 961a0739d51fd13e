"""Which rows are one teacher's, where texts in different languages go to different ones."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from schemas.languages import canonical


@dataclass(frozen=True, kw_only=True)
class RowShare:
    """The rows of one teacher of several: those in some languages (codes of ``schemas.languages``), or, of the
    ``is_rest``, those in any other and in none that is known.
    """

    languages: frozenset[str]
    is_rest: bool = False

    def own(self, tags: pa.ChunkedArray) -> pa.ChunkedArray:
        """Whether each row is one of them, by its language as it carries it."""
        chosen = [tag for tag in pc.unique(tags).to_pylist() if (canonical(tag) in self.languages) != self.is_rest]
        return pc.is_in(tags, pa.array(chosen, pa.string()))
