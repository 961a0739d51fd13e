"""The tables of mining: who asks, what may be found, and the texts that a row names, with their scores."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from mining.fixed_point import Fixed, exact_pair_scores, unpack_vectors
from mining.index import run_starts_of, sorted_ids
from schemas.rows import ID, TEXTS

Rows = npt.NDArray[np.int64]

HASHES = pa.list_(ID)
#: Vectors whose hashes are Python objects at once.
_HASHED = 1 << 14
#: Where a text lies: element ``element`` of field ``field`` of row ``row`` in part ``part``.
ADDRESS = pa.struct([("part", pa.int64()), ("row", pa.int32()), ("field", pa.string()), ("element", pa.int32())])

#: A row that wants negatives, its ``vector`` apart. The lists are text hashes, ``cluster`` is of the query's text (of
#: its form for matching; null: the text itself); further columns are passed through.
QUERIES = pa.schema(
    [
        pa.field("id", ID, nullable=False),
        pa.field("query_hash", ID, nullable=False),
        pa.field("positives", HASHES, nullable=False),
        pa.field("negatives", HASHES, nullable=False),
        pa.field("label", pa.string()),
        pa.field("other_labels", TEXTS),
        pa.field("cluster", ID),
        pa.field("language", pa.string()),
    ]
)
#: A passage of the corpus, its ``vector`` apart. A text may stand there more than once: its smallest address counts.
#: ``near``: the cluster that its own is a near-duplicate of (null: it is none).
PASSAGES = pa.schema(
    [
        pa.field("text_hash", ID, nullable=False),
        pa.field("label", pa.string()),
        pa.field("other_labels", TEXTS),
        pa.field("cluster", ID),
        pa.field("near", ID),
        pa.field("language", pa.string()),
        *(pa.field(field.name, field.type) for field in ADDRESS),
    ]
)
#: A passage that a search found, with the labels of all its spellings.
FOUND = pa.schema([pa.field("text_hash", ID, nullable=False), pa.field("labels", TEXTS), *ADDRESS])
#: What a row knows of the texts that it names, aligned with its lists: cluster, hash of the vector, score with the
#: query as an integer, address.
_NAMED = (("clusters", HASHES), ("vectors", HASHES), ("scores", pa.list_(pa.int64())), ("addresses", pa.list_(ADDRESS)))
SIDES = ("positives", "negatives")
#: ``QUERIES`` with what is known of their positives and given negatives; ``own_vector``: the hash of the query's
#: vector.
SCORED = pa.schema(
    [
        *QUERIES,
        pa.field("own_vector", ID, nullable=False),
        *(pa.field(f"{side}_{name}", kind, nullable=False) for side in SIDES for name, kind in _NAMED),
    ]
)


def conform(table: pa.Table, schema: pa.Schema, keep: tuple[str, ...] = ()) -> pa.Table:
    """The columns of ``schema`` in their types, then those in ``keep``; an absent one that may be null is all null.

    Raises ValueError that names the columns which may not be null and are absent.
    """
    absent = [field.name for field in schema if not field.nullable and field.name not in table.column_names]
    absent += [name for name in keep if name not in table.column_names]
    if absent:
        raise ValueError(
            f"a table for mining lacks the columns {absent}; it has {table.column_names} and needs those of "
            f"{schema.names} that may not be null, and {list(keep)}"
        )
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    kept = [table[name] for name in keep]
    return pa.table([*columns, *kept], names=[*schema.names, *keep]).combine_chunks()


def distinct_texts(passages: pa.Table) -> pa.Table:
    """Each text once, at its smallest address, in the order of text hashes; a null cluster becomes the text itself, a
    null ``near`` the cluster.
    """
    places = _first_places(passages)
    in_order = len(places) == len(passages) and bool((np.diff(places) == 1).all())
    chosen = passages if in_order else passages.take(pa.array(places)).combine_chunks()
    for name, instead in (("cluster", "text_hash"), ("near", "cluster")):
        place = chosen.schema.get_field_index(name)
        chosen = chosen.set_column(place, PASSAGES.field(name), pc.coalesce(chosen[name], chosen[instead]))
    return chosen


def _first_places(passages: pa.Table) -> Rows:
    """The row of each text's smallest address, in the order of hashes; addresses are compared only if one repeats."""
    words, order = sorted_ids(passages["text_hash"])
    first = run_starts_of(words)
    if len(first) == len(order):
        return order
    keys = ["text_hash", *(field.name for field in ADDRESS)]
    order = pc.sort_indices(passages.select(keys), [(key, "ascending") for key in keys]).to_numpy().astype(np.int64)
    places: Rows = order[first]
    return places


def vector_hashes(vectors: Fixed, rows: Rows | None = None) -> pa.Array:
    """xxh3-128 of each vector, or of those of some ``rows``, ``binary(16)``: equal vectors have equal ones.

    Vectors are read where they lie, one after the other: they may be a memory map.
    """
    wide = np.ascontiguousarray(vectors, dtype="<i2")
    num, width = len(wide) if rows is None else len(rows), wide.itemsize * wide.shape[1]
    data, digests = wide.data.cast("B") if wide.size else b"", bytearray()
    for start in range(0, num, _HASHED):
        end = min(start + _HASHED, num)
        places = range(start, end) if rows is None else rows[start:end].tolist()
        digests += b"".join([xxhash.xxh3_128_digest(data[place * width : (place + 1) * width]) for place in places])
    return pa.FixedSizeBinaryArray.from_buffers(ID, num, [None, pa.py_buffer(digests)])


def score_named(queries: pa.Table, texts: pa.Table) -> pa.Table:
    """``SCORED`` and the other columns of ``queries`` (``QUERIES`` and ``vector``), which stay beside it.

    ``texts`` (``PASSAGES`` and ``vector``) holds every text that a row names. Raises ValueError for one that it lacks.
    """
    others = [name for name in queries.column_names if name not in QUERIES.names]
    rows = conform(queries, QUERIES, tuple(others))
    known = distinct_texts(conform(texts, PASSAGES, ("vector",)))
    vectors, passages = unpack_vectors(rows["vector"]), unpack_vectors(known["vector"])
    columns = {name: rows[name].combine_chunks() for name in QUERIES.names}
    columns["cluster"] = pc.coalesce(columns["cluster"], columns["query_hash"])
    columns["own_vector"] = vector_hashes(vectors)
    for side in SIDES:
        columns |= _known_of(rows, side, known, vectors, passages)
    table = pa.table([columns[name] for name in SCORED.names], schema=SCORED)
    for name in others:
        table = table.append_column(rows.schema.field(name), rows[name])
    return table


def _known_of(rows: pa.Table, side: str, known: pa.Table, vectors: Fixed, passages: Fixed) -> dict[str, pa.Array]:
    lists = rows[side].combine_chunks()
    parents = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
    named = lists.flatten()
    found = pc.index_in(named, value_set=known["text_hash"].combine_chunks())
    _check_all_there(rows, parents, named, found)
    places = found.to_numpy(zero_copy_only=False).astype(np.int64)
    scores = exact_pair_scores(vectors[parents], passages, places[:, None])[:, 0]
    chosen = known.take(pa.array(places)).combine_chunks()
    address = pa.StructArray.from_arrays(
        [chosen[field.name].combine_chunks() for field in ADDRESS], fields=list(ADDRESS)
    )
    values = {
        "clusters": chosen["cluster"].combine_chunks(),
        "vectors": vector_hashes(passages[places]),
        "scores": pa.array(scores),
        "addresses": address,
    }
    offsets = np.asarray(lists.offsets)
    starts = pa.array(offsets - offsets[0], pa.int32())
    return {f"{side}_{name}": pa.ListArray.from_arrays(starts, value) for name, value in values.items()}


def _check_all_there(rows: pa.Table, parents: Rows, named: pa.Array, found: pa.Array) -> None:
    if found.null_count:
        absent = int(np.flatnonzero(~found.is_valid().to_numpy(zero_copy_only=False))[0])
        raise ValueError(
            f"text {named[absent].as_py().hex()}, which row {rows['id'][int(parents[absent])].as_py().hex()} names, is "
            f"not in the corpus ({found.null_count} such texts); a corpus holds every positive and given negative "
            "of its dataset: add the missing ones"
        )


def flat(lists: pa.Array | pa.ChunkedArray) -> tuple[Rows, pa.Array]:
    """The elements of a list column, and the row of each."""
    array = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    return pc.list_parent_indices(array).to_numpy().astype(np.int64), array.flatten()


def bounds_of(rows: Rows, num: int) -> Rows:
    """Where the entries of each of ``num`` rows begin among ``rows``, ascending; ``num + 1`` of them."""
    bounds: Rows = np.searchsorted(rows, np.arange(num + 1)).astype(np.int64)
    return bounds


def list_bounds(lists: pa.Array | pa.ChunkedArray) -> Rows:
    """Where each row's elements begin among the flattened ones, and where the last end."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    bounds: Rows = np.append(0, np.cumsum(lengths))
    return bounds
