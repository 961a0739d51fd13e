"""From the lists of rows to examples: the positives and negatives of each row, or the reason why it is rejected."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mining import policies
from mining.candidates import ADDRESS, HASHES, SCORED, Rows, flat, list_bounds
from mining.choosing import NUM_RULES, Chosen, Passages, choose
from mining.choosing import Rows as ChoosingRows
from mining.fixed_point import to_cosine
from mining.index import id_words
from mining.labels import Coder, label_sets, sets_of_lists
from mining.lists import Lists, positions_of
from mining.params import MiningParams
from mining.policies import GIVEN_RANK, RANDOM_RANK
from mining.pools import by_class
from mining.rescoring import CrossCheck, choose_checked
from schemas.readmission import NOBODY, Readmission
from schemas.reasons import RejectReason

_FLOATS = pa.list_(pa.float32())
#: What mining says of a row; columns of its query that are not in ``SCORED`` follow. The lists of a side are aligned.
#: ``cluster`` is the query's. ``missing``: how many negatives the corpus could not give. ``given_over``: given
#: negatives that were left out for their number; ``dropped``: positives that the filter took. ``refused``: passages
#: of the pool up to the end of the window by rule (``mining.scan``). ``mates``, ``others``: of a labelled row's
#: nearest texts, how many share a label with it and how many do not. ``nearer``: mined negatives that score above the
#: first positive. ``readmitted``: the reason that was overruled, since a person wants the row.
MINED = pa.schema(
    [
        pa.field("id", SCORED.field("id").type, nullable=False),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("cluster", SCORED.field("cluster").type),
        pa.field("positive_hashes", HASHES, nullable=False),
        pa.field("positive_scores", _FLOATS, nullable=False),
        pa.field("positive_addresses", pa.list_(ADDRESS), nullable=False),
        pa.field("negative_hashes", HASHES, nullable=False),
        pa.field("negative_scores", _FLOATS, nullable=False),
        pa.field("negative_addresses", pa.list_(ADDRESS), nullable=False),
        pa.field("negative_ranks", pa.list_(pa.int32()), nullable=False),
        pa.field("missing", pa.int32(), nullable=False),
        pa.field("given_over", pa.int32(), nullable=False),
        pa.field("dropped", pa.int32(), nullable=False),
        pa.field("refused", pa.list_(pa.int32(), NUM_RULES), nullable=False),
        pa.field("mates", pa.int32(), nullable=False),
        pa.field("others", pa.int32(), nullable=False),
        pa.field("nearer", pa.int32(), nullable=False),
        pa.field("readmitted", pa.string()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Side:
    """Texts that rows get, in the order of rows: the row, hash, integer score, rank and address of each."""

    rows: Rows
    hashes: pa.Array
    scores: Rows
    ranks: Rows
    addresses: pa.Array

    def take(self, places: Rows) -> "Side":
        """Some of them, in the order given."""
        index = pa.array(places)
        return Side(
            rows=self.rows[places],
            hashes=self.hashes.take(index),
            scores=self.scores[places],
            ranks=self.ranks[places],
            addresses=self.addresses.take(index),
        )

    def then(self, other: "Side") -> "Side":
        """Those of each row, followed by its others."""
        rows = np.append(self.rows, other.rows)
        both = Side(
            rows=rows,
            hashes=pa.concat_arrays([self.hashes, other.hashes]),
            scores=np.append(self.scores, other.scores),
            ranks=np.append(self.ranks, other.ranks),
            addresses=pa.concat_arrays([self.addresses, other.addresses]),
        )
        return both.take(np.argsort(rows, kind="stable"))

    def numbers(self, num: int) -> Rows:
        """How many each of ``num`` rows has."""
        return np.bincount(self.rows, minlength=num).astype(np.int64)


def make_examples(
    queries: pa.Table,
    lists: Lists,
    found: pa.Table,
    params: MiningParams,
    judged: npt.NDArray[np.bool_],
    check: CrossCheck | None = None,
    readmission: Readmission = NOBODY,
) -> pa.Table:
    """``MINED`` for each of ``queries`` (``SCORED``), in their order, from their lists and the passages these name
    (``FOUND``).

    ``judged``: rows that the teacher's ranks say something of; ``check``: how a cross-encoder is asked, if one is;
    ``readmission``: rows that keep all their positives where the consistency filter would take every one. Raises
    ValueError for a row with neither positives nor label.
    """
    _check_rows(queries)
    given, given_over = _given(queries, params)
    wanted = params.num_negatives - given.numbers(len(queries))
    chosen = _choose(queries, lists, found, params, wanted, judged, check)
    positives = _named(queries, "positives")
    kept = positives.scores >= chosen.least[positives.rows]
    readmitted = _readmitted(queries, positives, kept, readmission)
    kept |= readmitted[positives.rows]
    own = _ordered(positives.take(np.flatnonzero(kept)), judged, params)
    positives_of_class = _chosen(found, chosen.positives, chosen.num_positives)
    reasons, details = _reasons(queries, positives, chosen, own, positives_of_class, params)
    accepted = np.array([reason is None for reason in reasons], dtype=bool)
    all_positives = _only(own.then(positives_of_class), accepted)
    mined = _only(_chosen(found, chosen.negatives, chosen.num_negatives, chosen.ranks), accepted)
    negatives = _only(given, accepted).then(mined)
    num = len(queries)
    columns = [
        queries["id"],
        pa.array(reasons, pa.string()),
        pa.array(details, pa.string()),
        queries["cluster"],
        *_lists_of(all_positives, num)[:3],
        *_lists_of(negatives, num),
        _counts((params.num_negatives - negatives.numbers(num)) * accepted),
        _counts(given_over * accepted),
        _counts(positives.numbers(num) - own.numbers(num)),
        pa.FixedSizeListArray.from_arrays(
            pa.array((chosen.refused * accepted[:, None]).ravel(), pa.int32()), NUM_RULES
        ),
        *(_counts(chosen.neighbours[:, side] * accepted) for side in (0, 1)),
        _counts(_nearer(all_positives, mined, num)),
        pc.if_else(pa.array(readmitted), RejectReason.INCONSISTENT.value, pa.scalar(None, pa.string())),
    ]
    others = [name for name in queries.column_names if name not in (*SCORED.names, "vector")]
    schema = pa.schema([*MINED, *(queries.schema.field(name) for name in others)])
    return pa.table([*columns, *(queries[name] for name in others)], schema=schema)


def _readmitted(
    queries: pa.Table, positives: Side, kept: npt.NDArray[np.bool_], readmission: Readmission
) -> npt.NDArray[np.bool_]:
    """Rows that lose every positive to the filter and are wanted all the same."""
    left = np.bincount(positives.rows[kept], minlength=len(queries))
    lost: npt.NDArray[np.bool_] = (positives.numbers(len(queries)) > 0) & (left == 0)
    return lost & readmission.mask(queries["id"])


def _check_rows(queries: pa.Table) -> None:
    lost = np.flatnonzero(by_class(queries) & pc.is_null(queries["label"]).to_numpy())
    if lost.size:
        raise ValueError(
            f"row {queries['id'][int(lost[0])].as_py().hex()} has neither positives nor a label to find one by, so it "
            "cannot become an example: reject it before mining"
        )


def _named(queries: pa.Table, side: str) -> Side:
    """A row's own positives or given negatives."""
    rows, hashes = flat(queries[side])
    return Side(
        rows=rows,
        hashes=hashes,
        scores=flat(queries[f"{side}_scores"])[1].to_numpy().astype(np.int64),
        ranks=np.full(len(rows), GIVEN_RANK, np.int64),
        addresses=flat(queries[f"{side}_addresses"])[1],
    )


def _given(queries: pa.Table, params: MiningParams) -> tuple[Side, Rows]:
    """Each row's given negatives, repeats and positives left out, and how many more it had than it may keep."""
    side = _named(queries, "negatives")
    allowed = _first_spellings(queries, side)
    ids, hashes = queries["id"].to_pylist(), side.hashes.to_pylist()
    bounds = list_bounds(queries["negatives"]).tolist()
    kept, over = [np.empty(0, np.int64)], np.zeros(len(queries), np.int64)
    for row in np.flatnonzero(np.diff(bounds)).tolist():
        here = slice(bounds[row], bounds[row + 1])
        keys = policies.draw_keys(ids[row], hashes[here], params.seed) if params.given_choice == "draw" else None
        places = policies.choose_given(side.scores[here], allowed[here], params.given_limit, params.given_choice, keys)
        over[row] = np.count_nonzero(allowed[here]) - len(places)
        kept.append(bounds[row] + places)
    return side.take(np.concatenate(kept)), over


def _first_spellings(queries: pa.Table, side: Side) -> npt.NDArray[np.bool_]:
    """Given negatives that are no spelling of the query, of a positive of their row, or of one before them."""
    parents, positives = flat(queries["positives_clusters"])
    clusters = [queries["cluster"].combine_chunks(), positives, flat(queries["negatives_clusters"])[1]]
    codes = pa.concat_arrays(clusters).dictionary_encode().indices.to_numpy().astype(np.int64)
    rows = np.concatenate([np.arange(len(queries)), parents, side.rows])
    pairs = rows * (codes.max(initial=0) + 1) + codes
    first = np.zeros(len(pairs), dtype=bool)
    first[np.unique(pairs, return_index=True)[1]] = True
    return first[len(queries) + len(parents) :]


def _choose(
    queries: pa.Table,
    lists: Lists,
    found: pa.Table,
    params: MiningParams,
    wanted: Rows,
    judged: npt.NDArray[np.bool_],
    check: CrossCheck | None,
) -> Chosen:
    _, names = flat(found["labels"])
    coder = Coder(names, folded=params.fold_labels)
    own, its = label_sets(queries, coder), sets_of_lists(found["labels"].combine_chunks(), coder)
    rows = ChoosingRows(
        ids=id_words(queries["id"]).byteswap(),
        wanted=wanted,
        by_class=by_class(queries),
        judged=judged,
        label_bounds=own.bounds,
        labels=own.codes,
    )
    texts = id_words(found["text_hash"]).byteswap()
    passages = Passages(texts=texts, label_bounds=its.bounds, labels=its.codes)
    if check is None:
        return choose(rows, lists, passages, params)
    return choose_checked(lambda some: choose(rows, some, passages, params), queries, lists, found, params, check)


def _ordered(positives: Side, judged: npt.NDArray[np.bool_], params: MiningParams) -> Side:
    """A row's positives with the best first, if so wanted and the teacher can judge it."""
    if params.positive_order == "given":
        return positives
    scores = np.where(judged[positives.rows], positives.scores, 0)
    return positives.take(np.lexsort((-scores, positives.rows)))


def _chosen(found: pa.Table, keys: Rows, numbers: Rows, ranks: Rows | None = None) -> Side:
    """Passages by their keys, of which each row has the first ``numbers``."""
    kept = np.arange(keys.shape[1]) < numbers[:, None]
    flat_keys = keys[kept]
    passages = found.take(pa.array(positions_of(flat_keys))).combine_chunks()
    address = pa.StructArray.from_arrays(
        [passages[field.name].combine_chunks() for field in ADDRESS], fields=list(ADDRESS)
    )
    return Side(
        rows=np.repeat(np.arange(len(keys)), numbers),
        hashes=passages["text_hash"].combine_chunks(),
        scores=flat_keys >> 32,
        ranks=np.full(len(flat_keys), GIVEN_RANK, np.int64) if ranks is None else ranks[kept],
        addresses=address,
    )


def _only(side: Side, accepted: npt.NDArray[np.bool_]) -> Side:
    return side if accepted.all() else side.take(np.flatnonzero(accepted[side.rows]))


def _reasons(
    queries: pa.Table, positives: Side, chosen: Chosen, own: Side, of_class: Side, params: MiningParams
) -> tuple[list[str | None], list[str | None]]:
    """Why rows are rejected: no positive is left, or none was found."""
    num, classes = len(queries), by_class(queries)
    reasons: list[str | None] = [None] * num
    details: list[str | None] = [None] * num
    for row in np.flatnonzero(~classes & (own.numbers(num) == 0)).tolist():
        best = int(positives.scores[positives.rows == row].max())
        entry, positive = to_cosine(np.array([chosen.least[row], best]))
        reasons[row] = RejectReason.INCONSISTENT
        details[row] = (
            f"the best positive scores {positive:.4f}; the entry at rank {params.consistency_rank} scores {entry:.4f}"
        )
    labels = queries["label"]
    for row in np.flatnonzero(classes & (of_class.numbers(num) == 0)).tolist():
        reasons[row] = RejectReason.LONELY_LABEL
        details[row] = f"no other text of the dataset and language has the label {labels[row].as_py()!r}"
    return reasons, details


def _nearer(positives: Side, mined: Side, num: int) -> Rows:
    """How many mined negatives of each row score above its first positive."""
    first = np.full(num, np.iinfo(np.int64).max, np.int64)
    rows, places = np.unique(positives.rows, return_index=True)
    first[rows] = positives.scores[places]
    above = mined.rows[(mined.scores > first[mined.rows]) & (mined.ranks != RANDOM_RANK)]
    return np.bincount(above, minlength=num).astype(np.int64)


def _lists_of(side: Side, num: int) -> list[pa.Array]:
    """Hashes, scores, addresses and ranks of a side, a list for each row."""
    offsets = pa.array(np.append(0, np.cumsum(side.numbers(num))), pa.int32())
    values = (side.hashes, pa.array(to_cosine(side.scores)), side.addresses, pa.array(side.ranks, pa.int32()))
    return [pa.ListArray.from_arrays(offsets, value) for value in values]


def _counts(numbers: Rows) -> pa.Array:
    return pa.array(numbers, pa.int32())
