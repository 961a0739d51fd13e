"""Candidates that a cross-encoder takes for answers are no negatives: asked of what the other rules chose, and of what
comes in its place, until nothing more is refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mining.candidates import ADDRESS, Rows, flat
from mining.choosing import CROSS_ENCODER, Chosen
from mining.cross_encoder import Pair, Shares
from mining.lists import Lists, positions_of
from mining.params import MiningParams
from mining.pools import by_class
from mining.scan import FREE, OUTSIDE, RANDOM

#: The texts at some addresses (``ADDRESS``), in their order.
Texts = Callable[[pa.StructArray], Sequence[str]]
Score = Callable[[Sequence[Pair]], Shares]

_RULES = 15


@dataclass(frozen=True, kw_only=True)
class CrossCheck:
    """How pairs are scored, and where their texts are had."""

    score: Score
    texts: Texts


def choose_checked(
    choose: Callable[[Lists], Chosen],
    queries: pa.Table,
    lists: Lists,
    found: pa.Table,
    params: MiningParams,
    check: CrossCheck,
) -> Chosen:
    """What ``choose`` makes of the lists without the passages that the cross-encoder refuses (``cross_limits``).

    Each round asks about what was chosen and was not asked about before, and marks what is refused, so that the next
    ones of the list take its place; the draws of the others do not change. Rows that are known by their label alone,
    and those without a positive that the consistency filter leaves, are not asked about.
    """
    keys, refused = lists.keys.copy(), np.zeros(len(queries), np.int64)
    asker = _Asker(queries, found, check)
    codes = _codes(np.repeat(np.arange(len(queries)), np.diff(lists.bounds)), keys)
    passed = np.empty(0, np.int64)
    limits = np.full(len(queries), np.nan)
    while True:
        chosen = choose(Lists(bounds=lists.bounds, keys=keys))
        new = np.setdiff1d(_chosen_codes(chosen, ~by_class(queries) & _kept(queries, chosen)), passed)
        limits = _with_limits(limits, np.unique(new >> _BITS), asker, params)
        shares = asker.of_passages(new >> _BITS, new & _POSITIONS)
        above = shares > limits[new >> _BITS]
        passed = np.union1d(passed, new[~above])
        if not above.any():
            counted = chosen.refused.copy()
            counted[:, CROSS_ENCODER] = refused
            return replace(chosen, refused=counted)
        _refuse(keys, np.isin(codes, new[above]))
        refused += np.bincount(new[above] >> _BITS, minlength=len(queries))


def _refuse(keys: Rows, named: npt.NDArray[np.bool_]) -> None:
    """Mark keys in place. What may fill a row up stands there under two rules, and neither may bring it back."""
    rules = keys & _RULES
    for old, new in ((FREE, CROSS_ENCODER), (RANDOM, OUTSIDE)):
        places = named & (rules == old)
        keys[places] = (keys[places] & ~np.int64(_RULES)) | new


#: A row and a position in one number.
_BITS = 28
_POSITIONS = (1 << _BITS) - 1


def _codes(rows: Rows, keys: Rows) -> Rows:
    codes: Rows = (rows.astype(np.int64) << _BITS) | positions_of(keys)
    return codes


def _chosen_codes(chosen: Chosen, asked: npt.NDArray[np.bool_]) -> Rows:
    taken = (np.arange(chosen.negatives.shape[1]) < chosen.num_negatives[:, None]) & asked[:, None]
    return _codes(np.nonzero(taken)[0], chosen.negatives[taken])


def _kept(queries: pa.Table, chosen: Chosen) -> npt.NDArray[np.bool_]:
    """Rows with a positive that the consistency filter leaves."""
    rows, scores = flat(queries["positives_scores"])
    kept = np.zeros(len(queries), dtype=bool)
    kept[rows[scores.to_numpy() >= chosen.least[rows]]] = True
    return kept


def _with_limits(limits: Shares, rows: Rows, asker: "_Asker", params: MiningParams) -> Shares:
    """Limits with those of some rows, where they are not known yet."""
    wanted = rows[np.isnan(limits[rows])]
    owners, shares = asker.of_positives(wanted)
    found = limits.copy()
    for row in wanted.tolist():
        found[row] = cross_limit(shares[owners == row], params)
    return found


def cross_limit(positives: Shares, params: MiningParams) -> float:
    """The highest share that a negative may have: ``max_cross_score`` times that of the positive that ``relative_to``
    names.
    """
    reference = {"best": positives.max(), "first": positives[0], "least": positives.min()}[params.relative_to]
    return float(reference) * params.max_cross_score


class _Asker:
    """Scores of pairs by row and passage; the texts of questions are fetched once."""

    def __init__(self, queries: pa.Table, found: pa.Table, check: CrossCheck) -> None:
        self._queries, self._found, self._check = queries, found, check

    def of_passages(self, rows: Rows, positions: Rows) -> Shares:
        """Scores of rows' questions with passages by their places among those that lists name."""
        passages = self._found.take(pa.array(positions)).combine_chunks()
        fields = [passages[field.name].combine_chunks() for field in ADDRESS]
        return self._score(rows, pa.StructArray.from_arrays(fields, fields=list(ADDRESS)))

    def of_positives(self, rows: Rows) -> tuple[Rows, Shares]:
        """Scores of rows' questions with each of their positives, and the row of each, in the order of rows."""
        parents, addresses = flat(self._queries["positives_addresses"].take(pa.array(rows)))
        owners = rows[parents]
        return owners, self._score(owners, addresses)

    def _score(self, rows: Rows, addresses: pa.StructArray) -> Shares:
        if not len(rows):
            return np.empty(0, np.float32)
        asked, places = np.unique(rows, return_inverse=True)
        questions = self._check.texts(query_addresses(self._queries.take(pa.array(asked))))
        passages = self._check.texts(addresses)
        return self._check.score([(questions[place], text) for place, text in zip(places, passages, strict=True)])


def query_addresses(queries: pa.Table) -> pa.StructArray:
    """Where the texts of questions lie, by the columns ``part`` and ``row`` that rows bring along."""
    if missing := {"part", "row"} - set(queries.column_names):
        raise ValueError(
            f"rows for a cross-encoder need the columns {sorted(missing)}, by which the texts of questions are found"
        )
    num = len(queries)
    columns = [
        pc.cast(queries["part"], pa.int64()).combine_chunks(),
        pc.cast(queries["row"], pa.int32()).combine_chunks(),
        pa.array(["query"] * num, pa.string()),
        pa.array([0] * num, pa.int32()),
    ]
    return pa.StructArray.from_arrays(columns, fields=list(ADDRESS))
