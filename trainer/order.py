"""The order of an epoch: a pure function of the shards' digest, the seed and the epoch, so that resuming is arithmetic.

Batches are semi-homogeneous (KaLM-Embedding's training code): each dataset is cut into batches, what is left over is
pooled into mixed ones; then the last share of every batch is pooled, shuffled and dealt back. Letters: R rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.rows import Ints, Keys, Offsets, TextKeys

Order = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

_ROUNDS = 12  # of exchanges; each settles nearly all of what is left wherever it can be settled


@dataclass(frozen=True, kw_only=True)
class OrderParams:
    """``batch_size`` counts the queries of all processes. ``homogeneous_share``: how much of a batch stays with its
    own dataset (1: all; the paper's value is not published). ``mixing_temperature``: a dataset takes part in
    proportion to its size to the power of 1 over it (T5, section 3.5.2: "temperature-scaled mixing").
    """

    batch_size: int
    homogeneous_share: float = 1.0
    mixing_temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 1 or not 0 <= self.homogeneous_share <= 1 or not self.mixing_temperature >= 1:
            raise ValueError(
                f"batch_size and mixing_temperature must be at least 1 and homogeneous_share 0 to 1, not {self}"
            )


def epoch_order(sizes: Sequence[int], keys: TextKeys, digest: str, epoch: int, params: OrderParams) -> Order:
    """The rows of an epoch, int32 ``[R]``; batch b is the slice from ``b * batch_size`` on, the last one may be short.

    As many as there are rows: each of them once, but for a ``mixing_temperature`` above 1 (``mixed_sizes``). No two of
    a batch share a text among their queries and drawn positives, as far as there are batches enough to keep them apart.
    """
    random = np.random.default_rng([params.seed, epoch, int(digest, 16)])
    order = _semi_homogeneous(sizes, params, random)
    positives = keys.positives[drawn_positives(keys.offsets, params.seed, epoch)]
    datasets = np.repeat(np.arange(len(sizes)), sizes)
    for round_ in range(_ROUNDS):
        found = repeats(order, keys.query_R, positives, params.batch_size)
        if not found.size:
            break
        kin = datasets if round_ < _ROUNDS // 2 else np.zeros_like(datasets)
        _exchange(order, found, kin, random)
    return order


def mixed_sizes(sizes: Sequence[int], temperature: float) -> Ints:
    """How many rows of an epoch each dataset has, int64: in all as many as there are rows.

    In proportion to ``size ** (1 / temperature)``, rounded by largest remainders; at 1 the sizes themselves.
    """
    rows = np.asarray(sizes, np.int64)
    if temperature == 1 or not rows.sum():
        return rows
    weights = rows.astype(np.float64) ** (1 / temperature)
    exact = weights / weights.sum() * rows.sum()
    mixed_rows: Ints = np.floor(exact).astype(np.int64)
    missing = rows.sum() - mixed_rows.sum()
    mixed_rows[np.argsort(mixed_rows - exact, kind="stable")[:missing]] += 1
    return mixed_rows


def num_batches(num_rows: int, batch_size: int) -> int:
    """Batches of an epoch."""
    return -(-num_rows // batch_size)


def drawn_positives(offsets: Offsets, seed: int, epoch: int, rows: Ints | None = None) -> Ints:
    """For each row (or those of ``rows``) the place of the positive that it trains on in this epoch, among all
    positives: drawn by a hash of (seed, epoch, row).
    """
    rows = np.arange(len(offsets) - 1) if rows is None else rows
    with np.errstate(over="ignore"):
        salt = mixed(np.array([seed], np.uint64)) ^ mixed(np.array([epoch], np.uint64) + np.uint64(1 << 32))
        drawn = mixed(rows.astype(np.uint64) ^ mixed(salt))
    counts = (offsets[rows + 1] - offsets[rows]).astype(np.uint64)
    return offsets[rows].astype(np.int64) + (drawn % counts).astype(np.int64)


def mixed(values: Words) -> Words:
    """The finaliser of splitmix64: a bijection of 64 bits whose output bits all depend on all input bits."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


def repeats(order: Order, query_R: Keys, positive_R: Keys, batch_size: int) -> Ints:
    """Places in the order whose row has a text that an earlier row of the same batch has too."""
    batch = mixed((np.arange(len(order)) // batch_size).astype(np.uint64))
    both = np.stack([query_R[order], positive_R[order]], axis=1).astype(np.uint64)
    # A row whose query is its positive has that text once.
    counted = np.flatnonzero(np.stack([np.ones(len(order), np.bool_), both[:, 0] != both[:, 1]], axis=1))
    texts = (both ^ batch[:, None]).ravel()[counted]
    by_text = np.argsort(texts, kind="stable")  # equal texts stay in the order of their places
    same = texts[by_text[1:]] == texts[by_text[:-1]]
    return np.unique(counted[by_text[1:][same]] // 2)


def _semi_homogeneous(sizes: Sequence[int], params: OrderParams, random: np.random.Generator) -> Order:
    size = params.batch_size
    whole, rest = [], []
    first = 0
    for rows, taken in zip(sizes, mixed_sizes(sizes, params.mixing_temperature).tolist(), strict=True):
        shuffled = _shuffled(np.arange(first, first + rows, dtype=np.int32), taken, random)
        whole.append(shuffled[: taken - taken % size])
        rest.append(shuffled[taken - taken % size :])
        first += rows
    pooled = random.permutation(np.concatenate(rest))
    full = len(pooled) - len(pooled) % size
    batches = np.concatenate([*whole, pooled[:full]]).reshape(-1, size)
    batches = random.permutation(batches)
    dealt = round(size * (1 - params.homogeneous_share))
    if dealt:
        batches[:, size - dealt :] = random.permutation(batches[:, size - dealt :].ravel()).reshape(-1, dealt)
    return np.concatenate([batches.ravel(), pooled[full:]])


def _shuffled(rows: Order, taken: int, random: np.random.Generator) -> Order:
    """So many of these rows in random order: all of them before any of them again."""
    turns = -(-taken // len(rows)) if taken else 0
    return np.concatenate([random.permutation(rows) for _ in range(turns)] or [rows[:0]])[:taken]


def _exchange(order: Order, places: Ints, kin: Ints, random: np.random.Generator) -> None:
    """Each of these places changes its row with a random other place whose row is of the same kin."""
    kin_of = kin[order]
    by_kin = np.argsort(kin_of, kind="stable")
    starts = np.searchsorted(kin_of[by_kin], np.arange(kin_of.max() + 2))
    low, high = starts[kin_of[places]], starts[kin_of[places] + 1]
    partners = by_kin[random.integers(low, high)]
    _, first = np.unique(partners, return_index=True)
    usable = first[~np.isin(partners[first], places)]
    here, there = places[usable], partners[usable]
    order[here], order[there] = order[there], order[here]
