"""The whole of mining for one dataset whose corpus fits one worker: search and choose, a block of rows after the
other.
"""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mining.candidates import score_named
from mining.examples import make_examples
from mining.fixed_point import unpack_vectors
from mining.labels import UNKNOWN
from mining.lists import Lists, at_positions, positions_of
from mining.params import MiningParams
from mining.pools import Relevant, Shard
from mining.relations import relate
from mining.rescoring import CrossCheck

#: Rows whose lists are in memory at once.
QUERY_BLOCK = 4096


def mine_dataset(
    queries: pa.Table,
    corpus: pa.Table,
    params: MiningParams,
    *,
    symmetric: bool = False,
    languages: Collection[str] | None = None,
    check: CrossCheck | None = None,
) -> pa.Table:
    """``MINED`` for each query of one dataset, in their order.

    ``queries`` has the columns ``QUERIES`` and ``vector``, ``corpus`` has ``PASSAGES`` and ``vector``; what may be
    null may be left out. ``symmetric``: both sides are alike, so that a relevant text of a relevant text is relevant.
    ``languages``: those that the teacher knows, None: all. ``check``: how the cross-encoder that ``params`` name is
    asked; ``queries`` then have ``part`` and ``row`` too.
    """
    scored = score_named(queries, corpus)
    shard = Shard(corpus, params)
    shard.prepare(scored)
    relevant = shard.relevant(relate(scored, symmetric=symmetric))
    blocks = [scored.slice(start, QUERY_BLOCK) for start in range(0, max(1, len(scored)), QUERY_BLOCK)]
    return pa.concat_tables([mine_block(block, shard, relevant, languages, check) for block in blocks])


def mine_block(
    rows: pa.Table,
    shard: Shard,
    relevant: Relevant,
    languages: Collection[str] | None,
    check: CrossCheck | None = None,
) -> pa.Table:
    """``MINED`` of some rows (``SCORED`` and ``vector``), where one shard holds the whole corpus."""
    judged = judged_rows(rows, languages)
    lists = shard.search(rows, unpack_vectors(rows["vector"]), relevant, judged)
    named, places = shard.named(lists.keys), np.zeros(len(shard), np.int64)
    places[named] = np.arange(len(named))
    keys = at_positions(lists.keys, places[positions_of(lists.keys)])
    return make_examples(rows, Lists(bounds=lists.bounds, keys=keys), shard.found(named), shard.params, judged, check)


def judged_rows(rows: pa.Table, languages: Collection[str] | None) -> npt.NDArray[np.bool_]:
    """Rows in a language that the teacher knows, or of which nothing is known: it can judge their ranks."""
    if languages is None:
        return np.ones(len(rows), dtype=bool)
    known = pc.is_in(rows["language"].combine_chunks(), pa.array([*sorted(languages), *UNKNOWN], pa.string()))
    judged: npt.NDArray[np.bool_] = pc.or_(known, pc.is_null(rows["language"].combine_chunks())).to_numpy(
        zero_copy_only=False
    )
    return judged
