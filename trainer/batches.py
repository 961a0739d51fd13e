"""A batch: its distinct texts, each encoded once, and which of them are whose positive, negative and false negative.

Of the tokens that a trainer computes which encodes column by column, a third to a half are neither padding nor
repeats. Here a batch's distinct texts are sorted by length, cut into passes of few tokens, and gathered by index.
Letters: T distinct texts, Q queries, P distinct passages, N negatives, M = 1 + N.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from trainer.config import MASKS
from trainer.losses import Candidates
from trainer.order import Order, OrderParams, drawn_positives, epoch_order, num_batches
from trainer.rows import Row, Rows
from trainer.teacher_vectors import SoftLabels

Features = dict[str, Any]

#: Beside a layout's tensors where several processes train together: where the own texts stand among the own passes.
OWN = "own_T"


@dataclass(frozen=True, kw_only=True)
class BatchParams:
    """``masks``: which columns are kept out of a query's denominator. ``text``: further copies of a passage, and the
    query's own text; ``positives``: known positives of the same query or cluster; ``label``: other rows' positives of
    its label; none for the published code, which counts every column. ``tokens_per_pass``: padding included; a longer
    text has a pass of its own.
    """

    num_negatives: int
    masks: frozenset[str] = frozenset(MASKS)
    tokens_per_pass: int = 4096


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where a batch's embeddings ``[T, D]`` stand: ``queries_Q`` and ``passages_P`` are their rows, int64."""

    queries_Q: Tensor
    passages_P: Tensor
    candidates: Candidates

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name, as a data loader carries it; ``from_tensors`` undoes it."""
        candidates = {name: value for name, value in vars(self.candidates).items() if value is not None}
        return {"queries_Q": self.queries_Q, "passages_P": self.passages_P} | candidates

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "Layout":
        """A layout from its tensors by name."""
        named = {field.name: tensors[field.name] for field in fields(Candidates) if field.name in tensors}
        candidates = Candidates(**named)
        return cls(queries_Q=tensors["queries_Q"], passages_P=tensors["passages_P"], candidates=candidates)


class Batches(Dataset[dict[str, Any]]):
    """The batches of all epochs, by the number of the step: ``{"passes": [features, ...], "layout": tensors}``.

    A step's batch depends on nothing but the arguments and the number, so that any step can be the first. Of several
    processes (``rank`` of ``world``) each has the layout of the whole batch and encodes its share of the texts.
    ``teacher``: where every query is to have the teacher's cosine with every passage of the batch.
    """

    def __init__(
        self,
        rows: Rows,
        preprocess: Callable[[list[str]], Features],
        order: OrderParams,
        params: BatchParams,
        rank: int = 0,
        world: int = 1,
        teacher: SoftLabels | None = None,
    ) -> None:
        self.rows, self._preprocess, self._order, self._params = rows, preprocess, order, params
        self._rank, self._world, self._teacher = rank, world, teacher
        self._epoch: tuple[int, Order] | None = None

    @property
    def per_epoch(self) -> int:
        """Batches of an epoch."""
        return num_batches(len(self.rows), self._order.batch_size)

    def numbers(self, step: int) -> list[int]:
        """The rows of a step."""
        epoch, batch = divmod(step, self.per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            rows = self.rows
            self._epoch = (epoch, epoch_order(rows.sizes, rows.keys, rows.digest, epoch, self._order))
        size = self._order.batch_size
        return [int(row) for row in self._epoch[1][batch * size : (batch + 1) * size]]

    def __getitem__(self, step: int) -> dict[str, Any]:
        numbers = self.numbers(step)
        offsets = self.rows.keys.offsets
        drawn = drawn_positives(offsets, self._order.seed, step // self.per_epoch, np.asarray(numbers))
        chosen = (drawn - offsets[numbers].astype(np.int64)).tolist()
        random = np.random.default_rng([self._order.seed, step, 0])
        batch = self.rows.take(numbers)
        texts, layout = lay_out(self.rows, batch, chosen, self._params, random)
        own, place_T = shared_out(texts, self._rank, self._world)
        order, passes = passes_of(self._preprocess(own), len(own), self._params.tokens_per_pass)
        own_places = torch.argsort(order)
        tensors = layout.tensors()
        if self._teacher is not None:
            columns = tensors["positive_Q"].tolist(), tensors["negatives_QN"].tolist()
            tensors["teacher_QP"] = torch.from_numpy(self._teacher.soft_labels(batch, chosen, *columns))
        if self._world > 1:
            tensors[OWN] = own_places
        else:
            place_T = own_places
        for name in ("queries_Q", "passages_P"):
            tensors[name] = place_T[tensors[name]]
        return {"passes": passes, "layout": tensors}


def shared_out(texts: list[str], rank: int, world: int) -> tuple[list[str], Tensor]:
    """The texts that a process encodes, and where each text's vector stands once those of all are gathered, ``[T]``.

    Dealt by length, so that all have about as many tokens; equally many to each, some twice where it does not come out
    even.
    """
    if world == 1:
        return texts, torch.arange(len(texts))
    order = np.argsort([len(text) for text in texts], kind="stable")
    each = -(-len(texts) // world)
    dealt = np.arange(len(texts))
    place_T = torch.empty(len(texts), dtype=torch.int64)
    place_T[torch.from_numpy(order)] = torch.from_numpy(dealt % world * each + dealt // world)
    return [texts[text] for text in np.resize(order, each * world)[rank::world]], place_T


def lay_out(
    rows: Rows, batch: Sequence[Row], chosen: Sequence[int], params: BatchParams, random: np.random.Generator
) -> tuple[list[str], Layout]:
    """The distinct texts of a batch and where its queries and passages stand among them.

    ``chosen``: for each row the place of the positive that it trains on. Its other positives are known positives.
    """
    texts: dict[str, int] = {}
    number = partial(_number, texts)
    queries_Q = [number(rows.query_text(row)) for row in batch]
    columns: dict[int, int] = {}
    column = partial(_number, columns)
    positive_Q = [
        column(number(rows.passage_text(row, row.positives[place]))) for row, place in zip(batch, chosen, strict=True)
    ]
    negatives = [
        [column(number(rows.passage_text(row, text))) for text in row.negatives[: params.num_negatives]]
        for row in batch
    ]
    known = _known_positives(rows, batch, texts, columns)
    own_texts = [columns.get(text) for text in queries_Q]
    candidates = Candidates(
        positive_Q=torch.tensor(positive_Q),
        negatives_QN=torch.tensor(_padded(negatives, -1), dtype=torch.int64).reshape(len(batch), -1),
        log_counts_QP=_log_counts(batch, positive_Q, negatives, known, own_texts, len(columns), params.masks),
        teacher_QM=torch.tensor(_teacher_scores(batch, chosen, negatives), dtype=torch.float32),
        **_mixing(negatives, random),
    )
    passages_P = torch.tensor(list(columns))
    return list(texts), Layout(queries_Q=torch.tensor(queries_Q), passages_P=passages_P, candidates=candidates)


def passes_of(features: Features, num_texts: int, tokens_per_pass: int) -> tuple[Tensor, list[Features]]:
    """Texts by length, int64 ``[T]``, and their features cut into passes of at most so many tokens, padding included.

    What has no attention mask (a StaticEmbedding's bags) is one pass in the given order.
    """
    mask = features.get("attention_mask")
    if mask is None:
        return torch.arange(num_texts), [features]
    lengths = mask.sum(1)
    order = torch.argsort(lengths, stable=True)
    passes, start = [], 0
    sorted_lengths = lengths[order].tolist()
    for end in range(1, num_texts + 1):
        # Sorted, so that the last text is the longest: it decides the width of a pass.
        if end == num_texts or sorted_lengths[end] * (end + 1 - start) > tokens_per_pass:
            passes.append(_cut(features, order[start:end]))
            start = end
    return order, passes


def _cut(features: Features, texts: Tensor) -> Features:
    """Some texts' features, without the columns that are padding in all of them."""
    mask = features["attention_mask"]
    used = mask[texts].any(0)
    cut = {}
    for name, value in features.items():
        if not isinstance(value, Tensor):
            cut[name] = value
        elif value.ndim > 1 and value.shape[1] == mask.shape[1]:
            cut[name] = value[texts][:, used].contiguous()
        else:
            cut[name] = value[texts]
    return cut


def _number(numbers: dict[Any, int], thing: Any) -> int:
    return numbers.setdefault(thing, len(numbers))


def _padded(lists: Sequence[Sequence[Any]], value: Any) -> list[list[Any]]:
    width = max(map(len, lists), default=0)
    return [[*each, *[value] * (width - len(each))] for each in lists]


def _known_positives(
    rows: Rows, batch: Sequence[Row], texts: Mapping[str, int], columns: Mapping[int, int]
) -> list[set[int]]:
    """For each row the columns that are positives of a row with its query or its cluster, its own included."""
    groups: dict[Any, set[int]] = {}
    for row in batch:
        own = {columns.get(texts.get(rows.passage_text(row, text), -1), -1) for text in row.positives}
        for group in _groups_of(row):
            groups.setdefault(group, set()).update(own)
    return [set().union(*(groups[group] for group in _groups_of(row))) - {-1} for row in batch]


def _groups_of(row: Row) -> list[tuple[Any, ...]]:
    clusters = [] if row.cluster_id is None else [("cluster", row.dataset, row.cluster_id)]
    return [("query", row.query), *clusters]


def _log_counts(
    batch: Sequence[Row],
    positive_Q: Sequence[int],
    negatives: Sequence[Sequence[int]],
    known: Sequence[set[int]],
    own_texts: Sequence[int | None],
    num_passages: int,
    masks: frozenset[str],
) -> Tensor:
    """``log_counts_QP``; a query's own hard negatives were curated, and no mask takes them."""
    counts = np.zeros(num_passages)
    for column in [*positive_Q, *(column for each in negatives for column in each)]:
        counts[column] += 1
    found = np.tile(np.zeros_like(counts) if "text" in masks else np.log(counts), (len(batch), 1))
    by_label: dict[Any, list[int]] = {}
    for row, column in zip(batch, positive_Q, strict=True):
        by_label.setdefault((row.dataset, row.label), []).append(column)
    for i, row in enumerate(batch):
        false = set(known[i]) if "positives" in masks else set()
        own_text = own_texts[i]
        if "text" in masks and own_text is not None:
            false.add(own_text)
        if "label" in masks and row.label is not None:
            false.update(by_label[row.dataset, row.label])
        found[i, list(false - {positive_Q[i], *negatives[i]})] = -math.inf
    return torch.from_numpy(found).float()


def _teacher_scores(
    batch: Sequence[Row], chosen: Sequence[int], negatives: Sequence[Sequence[int]]
) -> list[list[float]]:
    """Cosines of the teacher with each row's positive and negatives; NaN where the shard has none."""
    found = []
    for row, place, own in zip(batch, chosen, negatives, strict=True):
        scores = [*row.positive_scores[place : place + 1], *[None] * len(row.positives)][:1]
        scores += [*row.negative_scores, *[None] * len(own)][: len(own)]
        found.append([math.nan if score is None else score for score in scores])
    return _padded(found, math.nan)


def _mixing(negatives: Sequence[Sequence[int]], random: np.random.Generator) -> dict[str, Tensor]:
    """Two different negatives of each row, drawn evenly, and a share of the first by Beta(2, 2)."""
    pairs = [random.choice(len(own), 2, replace=False).tolist() if len(own) > 1 else [0, 0] for own in negatives]
    shares = random.beta(2.0, 2.0, len(negatives))
    return {"pair_Q2": torch.tensor(pairs), "lambda_Q": torch.from_numpy(shares).float()}
