"""From ranked candidates to examples: the positives and negatives of each row, or the reason why it is rejected."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mining import policies
from mining.candidates import ADDRESS, HASHES, QUERIES, RANKED, circle_distances, circle_starts, conform
from mining.coding import Example, code_candidates
from mining.fixed_point import Scores, to_cosine
from mining.policies import GIVEN_RANK, Codes, MiningParams
from schemas.reasons import RejectReason

#: What mining says of a row; columns of its query that are not in ``QUERIES`` follow. The lists of a side are aligned.
#: ``cluster`` is the query's.
#: ``missing``: how many negatives the retrieved list could not give; the marker for a deeper search.
MINED = pa.schema(
    [
        pa.field("id", QUERIES.field("id").type, nullable=False),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("missing", pa.int32(), nullable=False),
        pa.field("cluster", QUERIES.field("cluster").type),
        pa.field("positive_hashes", HASHES, nullable=False),
        pa.field("positive_scores", pa.list_(pa.float32()), nullable=False),
        pa.field("positive_addresses", pa.list_(ADDRESS), nullable=False),
        pa.field("negative_hashes", HASHES, nullable=False),
        pa.field("negative_scores", pa.list_(pa.float32()), nullable=False),
        pa.field("negative_addresses", pa.list_(ADDRESS), nullable=False),
        pa.field("negative_ranks", pa.list_(pa.int32()), nullable=False),
    ]
)


def _none() -> Codes:
    return np.empty(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Positions of a row's positives and negatives among the candidates, with the ranks of the negatives."""

    positives: Codes = field(default_factory=_none)
    negatives: Codes = field(default_factory=_none)
    ranks: Codes = field(default_factory=_none)
    missing: int = 0
    reason: RejectReason | None = None
    detail: str | None = None


def apply_policies(queries: pa.Table, candidates: pa.Table, params: MiningParams) -> pa.Table:
    """``MINED`` for each of ``queries``, in their order, from all the ``RANKED`` candidates of these queries.

    Raises ValueError for ids that repeat, for a row with neither positives nor label, and for a positive or given
    negative that no shard held.
    """
    wanted = conform(queries, QUERIES)
    others = queries.drop_columns([name for name in (*QUERIES.names, "vector") if name in queries.column_names])
    coded = code_candidates(wanted, conform(candidates, RANKED))
    labels, ids = wanted["label"].to_pylist(), wanted["id"].to_pylist()
    starts = circle_starts(wanted["id"], params.seed)
    decisions = [
        decide(coded.example(row), id_, label, start, params)
        for row, (id_, label, start) in enumerate(zip(ids, labels, starts, strict=True))
    ]
    mined = _mined(wanted, coded.candidates, decisions)
    return pa.table([*mined.columns, *others.columns], schema=pa.schema([*MINED, *others.schema]))


def decide(example: Example, id_: bytes, label: str | None, start: np.uint64, params: MiningParams) -> Decision:
    """The positives and negatives of one row; ``start`` is its place on the circle (``circle_starts``)."""
    if len(example.positives):
        return _decide_with_positives(example, id_, params)
    if label is None:
        raise ValueError(
            f"row {id_.hex()} has neither positives nor a label to find one by, so it cannot become an example: reject "
            "it before mining"
        )
    positives = _positives_of_class(example, id_, start, params)
    if not len(positives):
        detail = f"no other text of the dataset has the label {label!r}"
        return Decision(reason=RejectReason.LONELY_LABEL, detail=detail)
    others = ~example.same_class & ~example.is_query
    nearest = others & (np.cumsum(others) <= params.labelled_rank_range[1])
    pool = np.flatnonzero((nearest | (others & example.listed)) & ~example.shares_label)
    return _with_negatives(example, id_, positives, pool, None, params)


def _decide_with_positives(example: Example, id_: bytes, params: MiningParams) -> Decision:
    pool = np.flatnonzero(example.listed & ~example.is_query)
    best, pool_scores = int(example.scores[example.positives].max()), example.scores[pool]
    if not policies.consistent(best, pool_scores, params.consistency_rank):
        detail = _inconsistency(best, pool_scores, params)
        return Decision(reason=RejectReason.INCONSISTENT, detail=detail)
    return _with_negatives(example, id_, example.positives, pool, best, params)


def _positives_of_class(example: Example, id_: bytes, start: np.uint64, params: MiningParams) -> Codes:
    """Texts of the row's class: drawn from the retrieved ones, and from the class at large where those are too few.

    The class at large is the ``num_positives`` texts that come next on the circle; every shard offers its own next
    ones, so that these are known whatever the number of shards.
    """
    members = np.flatnonzero(example.same_class)
    distances = circle_distances(example.hashes(members), start)
    next_ones = members[np.argsort(distances, kind="stable")[: params.num_positives]]
    places = np.union1d(members[example.listed[members]], next_ones)
    chosen = policies.choose_positives(
        near=example.near[places],
        beyond=~example.listed[places],
        keys=policies.draw_keys(id_, example.hashes(places), params.seed),
        num=params.num_positives,
    )
    return places[chosen].astype(np.int64)


def _with_negatives(
    example: Example, id_: bytes, positives: Codes, pool: Codes, best: int | None, params: MiningParams
) -> Decision:
    """Given negatives first, then mined ones. ``pool``: the candidates that ranks are counted in; ``best``: the best
    positive's score, None for a labelled row.
    """
    forbidden = example.relevant | example.is_query
    forbidden[positives] = True
    given = policies.choose_given(example.given, np.flatnonzero(forbidden), params.num_negatives)
    wanted = params.num_negatives - len(given)
    excluded = forbidden | example.near | example.shares_label
    excluded |= policies.same_cluster(example.clusters, example.clusters[positives])
    excluded[example.given] = True
    eligible = (policies.below_ceilings(example.scores, best, params) & ~excluded)[pool]
    rank_range = params.labelled_rank_range if best is None else params.rank_range
    start, end = policies.window(len(pool), rank_range, params.num_negatives)
    keys = policies.draw_keys(id_, example.hashes(pool[start:end]), params.seed)
    ranks = policies.choose_negatives(eligible, (start, end), wanted, keys)
    return Decision(
        positives=example.first + positives,
        negatives=example.first + np.append(given, pool[ranks]),
        ranks=np.append(np.full(len(given), GIVEN_RANK), ranks),
        missing=wanted - len(ranks),
    )


def _inconsistency(best: int, pool_scores: Scores, params: MiningParams) -> str:
    index = params.consistency_rank or 0
    rank = policies.rank_of(best, pool_scores)
    place = f"at rank {rank}" if rank < len(pool_scores) else f"beyond the {len(pool_scores)} retrieved"
    positive, entry = to_cosine(np.array([best, pool_scores[index]]))
    return f"the best positive scores {positive:.4f}, {place}; the entry at rank {index} scores {entry:.4f}"


def _mined(queries: pa.Table, candidates: pa.Table, decisions: list[Decision]) -> pa.Table:
    ranks = [decision.ranks for decision in decisions]
    columns = [
        queries["id"],
        pa.array([decision.reason for decision in decisions], pa.string()),
        pa.array([decision.detail for decision in decisions], pa.string()),
        pa.array([decision.missing for decision in decisions], pa.int32()),
        queries["cluster"],
        *_side(candidates, [decision.positives for decision in decisions]),
        *_side(candidates, [decision.negatives for decision in decisions]),
        _lists(pa.array(np.concatenate([_none(), *ranks]).astype(np.int32)), ranks),
    ]
    return pa.table(columns, schema=MINED)


def _side(candidates: pa.Table, places: list[Codes]) -> list[pa.Array]:
    """Hashes, scores and addresses of the chosen candidates, a list per row."""
    chosen = candidates.take(pa.array(np.concatenate([_none(), *places]))).combine_chunks()
    address = pa.StructArray.from_arrays(
        [chosen[field_.name].combine_chunks() for field_ in ADDRESS], fields=list(ADDRESS)
    )
    scores = pa.array(to_cosine(chosen["score"].to_numpy()))
    return [_lists(values, places) for values in (chosen["text_hash"].combine_chunks(), scores, address)]


def _lists(values: pa.Array, of: list[npt.NDArray[np.int64]]) -> pa.ListArray:
    offsets = np.append(0, np.cumsum([len(part) for part in of], dtype=np.int64)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)
