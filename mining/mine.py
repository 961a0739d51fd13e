"""The whole of mining for one dataset whose corpus fits one worker: search, merge, choose, and deeper where needed."""

from collections import defaultdict
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from mining.candidates import HASHES, QUERIES, Shard, conform, merge_candidates
from mining.examples import apply_policies
from mining.policies import MiningParams

#: How many times longer the list gets when the rows that it left short are searched again.
DEEPER = 4
#: Queries whose candidates are in memory at once.
QUERY_BLOCK = 4096


def mine_dataset(queries: pa.Table, corpus: pa.Table, params: MiningParams) -> pa.Table:
    """``MINED`` for each query of one dataset, in their order.

    ``queries`` has the columns ``QUERIES`` and ``vector``, ``corpus`` has ``PASSAGES`` and ``vector``; what may be
    null may be left out. Rows that lack negatives are searched again, ``DEEPER`` each time, until none lacks any or
    the corpus ends.
    """
    queries = share_positives(queries)
    shard, depth = Shard(corpus), params.top_k
    mined = _mine(queries, shard, params)
    while depth < len(shard.index) and pc.any(short := pc.greater(mined["missing"], 0)).as_py():
        depth *= DEEPER
        wanted = pc.is_in(queries["id"], value_set=mined["id"].filter(short).combine_chunks())
        again = _mine(queries.filter(wanted), shard, replace(params, top_k=depth))
        mined = pa.concat_tables([mined.filter(pc.invert(short)), again])
    return mined.take(pc.index_in(queries["id"], value_set=mined["id"].combine_chunks())).combine_chunks()


def share_positives(queries: pa.Table) -> pa.Table:
    """The queries with ``known_positives``: positives of other rows with the same query, which are no negatives of
    this one.

    Expects all rows of a query at once. Known positives that are there already are kept.
    """
    queries = conform(queries, QUERIES, tuple(name for name in queries.column_names if name not in QUERIES.names))
    columns = [queries[name].to_pylist() for name in ("query_hash", "positives", "known_positives")]
    of_query: dict[bytes, set[bytes]] = defaultdict(set)
    for query, positives, known in zip(*columns, strict=True):
        of_query[query].update(positives, known or ())
    others = [sorted(of_query[query] - set(positives)) for query, positives, _ in zip(*columns, strict=True)]
    place = queries.schema.get_field_index("known_positives")
    return queries.set_column(place, QUERIES.field("known_positives"), pa.array(others, HASHES))


def _mine(queries: pa.Table, shard: Shard, params: MiningParams) -> pa.Table:
    blocks = [queries.slice(start, QUERY_BLOCK) for start in range(0, max(1, len(queries)), QUERY_BLOCK)]
    return pa.concat_tables(
        [apply_policies(block, merge_candidates(shard.search(block, params), params.top_k), params) for block in blocks]
    )
