"""KaLM-Embedding's objective as pure functions of embeddings; no model, no tokens, no randomness.

Letters: Q queries, P distinct passages of the batch, N hard negatives of a query at most, M = 1 + N its own candidates
(positive first), D dimensions. Everything is computed in float32, under autocast too: bfloat16 errs by 0.002 near a
cosine of 1, which temperature 0.01 makes 0.2.

Two parts of sentence-transformers look alike and are not what is meant here. ``DistillKLDivLoss`` multiplies by the
squared temperature, so that at 0.05 a weight of 0.7 is one of 0.00175. ``hardness_mode`` raises logits of negatives
inside the softmax; the focal weight stands outside of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import normalize

#: Matryoshka dimensions and their weights (KaLM-Embedding-V2, section 3; its training code sums them undivided).
MATRYOSHKA = {896: 1.0, 512: 0.3, 256: 0.2, 128: 0.1, 64: 0.1}

_EPSILON = 1e-12
_NEVER = -1e4  # over a temperature, exp gives exactly 0, and unlike -inf no gradient becomes NaN


@dataclass(frozen=True, kw_only=True)
class LossParams:
    """Numbers of the objective. ``dims`` holds the weight of each Matryoshka dimension.

    Published: ``temperature``, ``gamma`` and ``kl_temperature``, ``kl_share``. Not published, and chosen here: that the
    focal weight is a constant for the gradient (``detach_focal``; otherwise the gradient on log p is up to 1.5 times as
    large at gamma 0.5), and the temperature of list-wise mixing.
    """

    dims: dict[int, float]
    temperature: float = 0.01
    gamma: float = 0.5
    detach_focal: bool = True
    mix: bool = True
    mix_temperature: float = 0.05
    kl_share: float = 0.0
    kl_temperature: float = 0.05

    def __post_init__(self) -> None:
        if not self.dims or min(self.dims) < 1:
            raise ValueError(f"dims must hold at least one dimension, each at least 1, not {self.dims}")
        for name in ("temperature", "mix_temperature", "kl_temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        if not 0 <= self.kl_share <= 1 or self.gamma < 0:
            raise ValueError(f"kl_share must be 0 to 1 and gamma 0 or more, not {self.kl_share} and {self.gamma}")


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Which passages each query is told from; all tensors on one device.

    ``positive_Q``: int64, the column of a query's own positive. ``negatives_QN``: int64, those of its hard negatives,
    -1 where it has fewer. ``log_counts_QP``: float32, the logarithm of how many times a passage stands in a query's
    denominator; 0 is once, ``-inf`` never; never ``-inf`` for its own positive. ``teacher_QM``: float32 cosines of the
    teacher with its own candidates, NaN where unknown; ``teacher_QP``: those with every passage of the batch, NaN where
    its teacher has none, or None.
    ``pair_Q2``, ``lambda_Q``: places (below N) of the two negatives that are mixed pair-wise, and the share of the
    first; rows with fewer than two negatives are not mixed.
    """

    positive_Q: Tensor
    negatives_QN: Tensor
    log_counts_QP: Tensor
    teacher_QM: Tensor
    pair_Q2: Tensor
    lambda_Q: Tensor
    teacher_QP: Tensor | None = None

    @property
    def present_QN(self) -> Tensor:
        """Which hard negatives are there."""
        return self.negatives_QN >= 0

    @property
    def own_QM(self) -> Tensor:
        """Columns of a query's own candidates, positive first; 0 in place of a negative that is not there."""
        return torch.cat([self.positive_Q[:, None], self.negatives_QN.clamp_min(0)], dim=1)


def objective(
    queries_QD: Tensor, passages_PD: Tensor, candidates: Candidates, params: LossParams
) -> tuple[Tensor, Tensor]:
    """The two terms of the loss, weighted, to be added: contrastive and distillation (0 where ``kl_share`` is 0).

    ``sum_d weight_d * mean_i((1 - share) * focal_id + share * kl_id)``; a row without teacher scores has ``kl`` 0.
    """
    with torch.autocast(queries_QD.device.type, enabled=False):
        queries_QD, passages_PD = queries_QD.float(), passages_PD.float()
        mixed = _mixed(queries_QD, passages_PD, candidates, params)
        contrastive = queries_QD.new_zeros(())
        distilled = queries_QD.new_zeros(())
        for dim, cosines_QP in cosines_by_dim(queries_QD, passages_PD, params.dims).items():
            log_p_Q = log_probabilities(cosines_QP, candidates, params.temperature, mixed.get(dim))
            loss = focal_loss(log_p_Q, params.gamma, params.detach_focal).mean()
            contrastive = contrastive + params.dims[dim] * (1 - params.kl_share) * loss
            if params.kl_share:
                kl_Q = kl_divergences(cosines_QP, candidates, params.kl_temperature)
                distilled = distilled + params.dims[dim] * params.kl_share * kl_Q.mean()
        return contrastive, distilled


def cosines_by_dim(queries_QD: Tensor, passages_PD: Tensor, dims: dict[int, float]) -> dict[int, Tensor]:
    """Cosines ``[Q, P]`` of the first d values, for each of ``dims``, smallest first.

    Block products are added up, so that all dimensions together cost one product over D. Raises ValueError where a
    dimension is larger than D.
    """
    if max(dims) > queries_QD.shape[1]:
        raise ValueError(f"dimension {max(dims)} of the loss is larger than the {queries_QD.shape[1]} of the vectors")
    found: dict[int, Tensor] = {}
    product_QP = lengths_Q = lengths_P = torch.zeros((), device=queries_QD.device)
    for start, dim in pairwise([0, *sorted(dims)]):
        queries, passages = queries_QD[:, start:dim], passages_PD[:, start:dim]
        product_QP = product_QP + queries @ passages.T
        lengths_Q = lengths_Q + queries.square().sum(1)
        lengths_P = lengths_P + passages.square().sum(1)
        found[dim] = product_QP * _inverse_roots(lengths_Q)[:, None] * _inverse_roots(lengths_P)[None, :]
    return found


def log_probabilities(
    cosines_QP: Tensor, candidates: Candidates, temperature: float, mixed_QX: Tensor | None = None
) -> Tensor:
    """Log softmax probability ``[Q]`` of each query's own positive (InfoNCE; KaLM-Embedding, its training code).

    The denominator holds each passage of the batch as often as ``log_counts_QP`` says, and the query's own mixed
    negatives ``mixed_QX`` (cosines, ``-inf`` where there is none). There are no query-query and no passage-passage
    terms.
    """
    logits = cosines_QP / temperature + candidates.log_counts_QP
    if mixed_QX is not None:
        logits = torch.cat([logits, mixed_QX / temperature], dim=1)
    own_Q = cosines_QP.gather(1, candidates.positive_Q[:, None])[:, 0]
    return own_Q / temperature - logits.logsumexp(1)


def focal_loss(log_p_Q: Tensor, gamma: float, detach: bool = True) -> Tensor:
    """``-(1 - p)^gamma log p`` for each query (KaLM-Embedding-V2, focal-style reweighting; gamma 0.5); gamma 0: plain.

    ``1 - p`` is computed as ``-expm1(log p)``, which stays exact near 1.
    """
    if not gamma:
        return -log_p_Q
    weights_Q = (-torch.expm1(log_p_Q)).clamp_min(_EPSILON) ** gamma
    return -(weights_Q.detach() if detach else weights_Q) * log_p_Q


def mixed_negatives(
    queries_QD: Tensor, negatives_QND: Tensor, candidates: Candidates, temperature: float
) -> tuple[Tensor, Tensor]:
    """Each query's pair-wise and list-wise mixture of its hard negatives, unit vectors ``[Q, D]`` each.

    Pair-wise ``lambda n_j + (1 - lambda) n_k``, list-wise ``sum_k softmax_k(s(q, n_k) / temperature) n_k`` (KaLM-
    Embedding-V2, online hard-negative mixing). The softmax's weights are constants for the gradient.
    """
    negatives_QND = normalize(negatives_QND, dim=-1)
    lambda_Q1 = candidates.lambda_Q[:, None]
    first, second = (_chosen(negatives_QND, candidates.pair_Q2[:, i]) for i in (0, 1))
    pairs_QD = lambda_Q1 * first + (1 - lambda_Q1) * second
    with torch.no_grad():
        scores_QN = torch.einsum("qd,qnd->qn", normalize(queries_QD, dim=-1), negatives_QND)
        weights_QN = (scores_QN / temperature).masked_fill(~candidates.present_QN, _NEVER).softmax(1)
    lists_QD = torch.einsum("qn,qnd->qd", weights_QN, negatives_QND)
    return normalize(pairs_QD, dim=-1), normalize(lists_QD, dim=-1)


def kl_divergences(cosines_QP: Tensor, candidates: Candidates, temperature: float) -> Tensor:
    """KL(teacher || student) ``[Q]`` between softmaxes at ``temperature`` over passages.

    With ``teacher_QP`` over all passages of the batch, each as often as ``log_counts_QP`` says, so that what a mask
    takes from the denominator is in neither softmax, nor is what the query's teacher has no score of. Otherwise over a
    query's own positive and negatives; then only candidates with a teacher's score count, and it is 0 for a query whose
    positive has none, or which has no negative with one: scores are never invented. No factor of temperature squared
    (KaLM-Embedding-V2.5, contrastive distillation; the set of candidates is not published).
    """
    if candidates.teacher_QP is not None:
        counted_QP = candidates.log_counts_QP.isfinite() & candidates.teacher_QP.isfinite()
        times_QP = candidates.log_counts_QP.masked_fill(~counted_QP, 0.0)
        student_QP = cosines_QP / temperature + times_QP
        return _divergence(candidates.teacher_QP.nan_to_num() / temperature + times_QP, student_QP, counted_QP)
    there_QM = torch.cat([torch.ones_like(candidates.positive_Q, dtype=torch.bool)[:, None], candidates.present_QN], 1)
    known_QM = there_QM & candidates.teacher_QM.isfinite()
    scored_Q = known_QM[:, 0] & known_QM[:, 1:].any(1)
    student_QM = cosines_QP.gather(1, candidates.own_QM) / temperature
    return _divergence(candidates.teacher_QM.nan_to_num() / temperature, student_QM, known_QM) * scored_Q


def matryoshka_weights(width: int, dims: Sequence[int] | None = None) -> dict[int, float]:
    """The paper's dimensions below ``width`` and this itself, or those of ``dims``, each with its weight.

    The largest weighs 1; a dimension that the paper does not have weighs as the next larger one of the paper. Raises
    ValueError for a dimension above ``width``.
    """
    chosen = sorted(dims or {width, *(dim for dim in MATRYOSHKA if dim < width)}, reverse=True)
    if chosen[0] > width:
        raise ValueError(f"dimension {chosen[0]} is larger than the {width} of the model's vectors")
    larger = {dim: [known for known in MATRYOSHKA if known >= dim] for dim in chosen[1:]}
    return {chosen[0]: 1.0} | {dim: MATRYOSHKA[min(known)] if known else 1.0 for dim, known in larger.items()}


def _mixed(
    queries_QD: Tensor, passages_PD: Tensor, candidates: Candidates, params: LossParams
) -> dict[int, Tensor | None]:
    """Cosines ``[Q, 2]`` of queries with their mixtures, for each dimension; mixed once, then truncated."""
    if not params.mix or candidates.negatives_QN.shape[1] < 2:
        return dict.fromkeys(params.dims)
    negatives_QND = passages_PD[candidates.negatives_QN.clamp_min(0)]
    mixtures = mixed_negatives(queries_QD, negatives_QND, candidates, params.mix_temperature)
    few_Q1 = candidates.present_QN.sum(1, keepdim=True) < 2
    both_Q2D = torch.stack(mixtures, dim=1)
    found: dict[int, Tensor | None] = {}
    for dim in params.dims:
        queries, both = normalize(queries_QD[:, :dim], dim=-1), normalize(both_Q2D[:, :, :dim], dim=-1)
        found[dim] = torch.einsum("qd,qxd->qx", queries, both).masked_fill(few_Q1, -math.inf)
    return found


def _divergence(teacher_QX: Tensor, student_QX: Tensor, known_QX: Tensor) -> Tensor:
    """KL(teacher || student) ``[Q]`` between the softmaxes of logits, over what is known."""
    teacher_QX, student_QX = (
        logits_QX.masked_fill(~known_QX, _NEVER).log_softmax(1) for logits_QX in (teacher_QX, student_QX)
    )
    return (teacher_QX.exp() * (teacher_QX - student_QX)).sum(1)


def _chosen(negatives_QND: Tensor, place_Q: Tensor) -> Tensor:
    return negatives_QND[torch.arange(len(place_Q), device=place_Q.device), place_Q]


def _inverse_roots(squares: Tensor) -> Tensor:
    return squares.clamp_min(_EPSILON).rsqrt()
