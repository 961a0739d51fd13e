"""The objective against loops over Python floats in the recipe's own layout: rows, columns and repeats."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainer.losses import (
    Candidates,
    LossParams,
    cosines_by_dim,
    focal_loss,
    kl_divergences,
    log_probabilities,
    matryoshka_weights,
    mixed_negatives,
    objective,
)

Vector = list[float]


def unit(vector: Vector) -> Vector:
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector]


def cosine(one: Vector, other: Vector) -> float:
    return sum(x * y for x, y in zip(unit(one), unit(other), strict=True))


def softmax(values: Vector) -> Vector:
    top = max(values)
    return [math.exp(v - top) / sum(math.exp(w - top) for w in values) for v in values]


def brute_mixtures(query: Vector, negatives: list[Vector], pair: list[int], share: float, temperature: float):
    """Both mixtures of one query's negatives, unit vectors."""
    negatives = [unit(negative) for negative in negatives]
    weights = softmax([cosine(query, negative) / temperature for negative in negatives])
    one, other = negatives[pair[0]], negatives[pair[1]]
    pairwise = [share * x + (1 - share) * y for x, y in zip(one, other, strict=True)]
    listwise = [sum(w * n[d] for w, n in zip(weights, negatives, strict=True)) for d in range(len(query))]
    return unit(pairwise), unit(listwise)


def brute(queries: Tensor, passages: Tensor, candidates: Candidates, params: LossParams) -> float:
    """The objective, one query and one column after another."""
    q, p = queries.tolist(), passages.tolist()
    counts = candidates.log_counts_QP.exp().tolist()
    total = 0.0
    for i, query in enumerate(q):
        own = candidates.positive_Q[i].item()
        negatives = [n for n in candidates.negatives_QN[i].tolist() if n >= 0]
        mixtures: list[Vector] = []
        if params.mix and len(negatives) > 1:
            facts = candidates.pair_Q2[i].tolist(), candidates.lambda_Q[i].item(), params.mix_temperature
            mixtures = list(brute_mixtures(query, [p[n] for n in negatives], *facts))
        for dim, weight in params.dims.items():
            terms = [math.exp(cosine(query[:dim], each[:dim]) / params.temperature) for each in p]
            mixed = [math.exp(cosine(query[:dim], each[:dim]) / params.temperature) for each in mixtures]
            probability = terms[own] / (sum(t * c for t, c in zip(terms, counts[i], strict=True)) + sum(mixed))
            loss = -((1 - probability) ** params.gamma) * math.log(probability)
            if candidates.teacher_QP is not None:
                total += weight * (1 - params.kl_share) * loss / len(q)
                total += weight * params.kl_share * brute_soft_labels(query, p, i, dim, candidates, params) / len(q)
                continue
            candidate_scores = list(zip([own, *negatives], candidates.teacher_QM[i].tolist(), strict=False))
            known = [(n, score) for n, score in candidate_scores if not math.isnan(score)]
            kl = 0.0
            if not math.isnan(candidate_scores[0][1]) and len(known) > 1:
                teacher = softmax([score / params.kl_temperature for _, score in known])
                student = softmax([cosine(query[:dim], p[n][:dim]) / params.kl_temperature for n, _ in known])
                kl = sum(t * math.log(t / s) for t, s in zip(teacher, student, strict=True))
            total += weight * ((1 - params.kl_share) * loss + params.kl_share * kl) / len(q)
    return total


def brute_soft_labels(
    query: Vector, passages: list[Vector], i: int, dim: int, candidates: Candidates, params: LossParams
) -> float:
    """KL of one query over the batch's passages, a passage that counts twice as two columns of their own."""
    counts = candidates.log_counts_QP[i].exp().round().int().tolist()
    known = [not math.isnan(score) for score in candidates.teacher_QP[i].tolist()]
    columns = [column for column, count in enumerate(counts) for _ in range(count) if known[column]]
    teacher = softmax([candidates.teacher_QP[i, column].item() / params.kl_temperature for column in columns])
    student = softmax([cosine(query[:dim], passages[column][:dim]) / params.kl_temperature for column in columns])
    return sum(t * math.log(t / s) for t, s in zip(teacher, student, strict=True))


def with_soft_labels(candidates: Candidates) -> Candidates:
    """The same with a teacher's cosines of every query with every passage."""
    cosines = torch.rand(candidates.log_counts_QP.shape, generator=torch.Generator().manual_seed(7)) * 2 - 1
    return Candidates(**{**vars(candidates), "teacher_QP": cosines})


def drawn(seed: int, num_queries: int, num_negatives: int, missing: bool = True):
    """Random unit vectors and candidates: some negatives, scores and columns are absent, some columns count twice."""
    random = torch.Generator().manual_seed(seed)
    num_passages = num_queries * (1 + num_negatives)
    queries = torch.nn.functional.normalize(torch.randn(num_queries, 24, generator=random), dim=1)
    passages = torch.nn.functional.normalize(torch.randn(num_passages, 24, generator=random), dim=1)
    negatives = num_queries + torch.arange(num_queries * num_negatives).reshape(num_queries, num_negatives)
    log_counts = torch.zeros(num_queries, num_passages)
    teacher = torch.rand(num_queries, 1 + num_negatives, generator=random)
    if missing:
        for i in range(num_queries):
            negatives[i, max(0, num_negatives - i) :] = -1
        chance = torch.rand(log_counts.shape, generator=random)
        log_counts = torch.where(chance < 0.2, -torch.inf, torch.where(chance > 0.8, math.log(2), 0.0))
        log_counts[range(num_queries), range(num_queries)] = 0.0
        teacher[torch.rand(teacher.shape, generator=random) < 0.2] = math.nan
    pairs = torch.tensor([[0, 1]] * num_queries) if num_negatives < 3 else torch.tensor([[1, 0]] * num_queries)
    shares = torch.rand(num_queries, generator=random)
    candidates = Candidates(
        positive_Q=torch.arange(num_queries), negatives_QN=negatives, log_counts_QP=log_counts,
        teacher_QM=teacher, pair_Q2=pairs, lambda_Q=shares,
    )  # fmt: skip
    return queries, passages, candidates


PAPER = {24: 1.0, 12: 0.3, 5: 0.2}


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10**6), st.integers(1, 6), st.integers(0, 5), st.sampled_from([0.02, 0.1, 1.0]),
    st.sampled_from([0.0, 0.5, 2.0]), st.booleans(), st.sampled_from([0.0, 0.7, 1.0]), st.booleans(),
)  # fmt: skip
def test_the_objective_is_what_loops_say(seed, num_queries, num_negatives, temperature, gamma, mix, share, soft):
    queries, passages, candidates = drawn(seed, num_queries, num_negatives)
    candidates = with_soft_labels(candidates) if soft else candidates
    params = LossParams(dims=PAPER, temperature=temperature, gamma=gamma, mix=mix, kl_share=share)
    contrastive, distilled = objective(queries, passages, candidates, params)
    expected = brute(queries.double(), passages.double(), candidates, params)
    assert (contrastive + distilled).item() == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("detach", [True, False])
def test_gradients_are_finite_where_negatives_scores_and_doubt_are_missing(detach, soft):
    queries, passages, candidates = drawn(3, 6, 5)
    candidates = with_soft_labels(candidates) if soft else candidates
    passages[0] = queries[0]  # probability exactly 1 at this temperature
    for tensor in (queries, passages):
        tensor.requires_grad_()
    params = LossParams(dims=PAPER, temperature=0.001, kl_share=0.7, detach_focal=detach)
    sum(objective(queries, passages, candidates, params)).backward()
    assert queries.grad.isfinite().all()
    assert passages.grad.isfinite().all()
    assert queries.grad.abs().sum() > 0


def test_info_nce_is_the_recipes_over_all_columns_of_all_rows():
    queries, passages, candidates = drawn(0, 4, 3, missing=False)
    found = log_probabilities(queries @ passages.T, candidates, 0.05)
    terms = torch.exp(queries.double() @ passages.double().T / 0.05)
    assert torch.allclose(found.double(), torch.log(terms.diagonal()[:4] / terms.sum(1)), atol=1e-4)


def test_a_passage_that_counts_twice_is_two_equal_columns():
    queries, passages, candidates = drawn(1, 4, 2, missing=False)
    once = torch.cat([candidates.log_counts_QP, torch.zeros(4, 1)], dim=1)
    doubled = Candidates(**{**vars(candidates), "log_counts_QP": once})
    expected = log_probabilities(queries @ torch.cat([passages, passages[7:8]]).T, doubled, 0.05)
    candidates.log_counts_QP[:, 7] = math.log(2)
    assert torch.allclose(log_probabilities(queries @ passages.T, candidates, 0.05), expected, atol=1e-5)


def test_a_focal_weight_is_exact_where_the_positive_is_all_but_sure():
    sure = torch.tensor([-1e-9, -0.5, -20.0])
    assert torch.allclose(focal_loss(sure, 1.0), torch.tensor([1e-18, 0.5 * (1 - math.exp(-0.5)), 20.0]), rtol=1e-4)
    assert torch.equal(focal_loss(sure, 0.0), -sure)


def test_a_detached_focal_weight_takes_no_gradient():
    for detach, expected in ((True, -math.sqrt(0.5)), (False, -math.sqrt(0.5) * 1.3466)):
        log_p = torch.tensor([math.log(0.5)], requires_grad=True)
        focal_loss(log_p, 0.5, detach).sum().backward()
        assert log_p.grad.item() == pytest.approx(expected, rel=1e-3)


def test_the_divergence_is_not_scaled_by_the_temperature():
    queries, passages, candidates = drawn(5, 3, 2, missing=False)
    cosines = queries @ passages.T
    teacher = torch.softmax(candidates.teacher_QM / 0.05, 1)
    student = torch.softmax(cosines.gather(1, candidates.own_QM) / 0.05, 1)
    expected = torch.nn.functional.kl_div(student.log(), teacher, reduction="none").sum(1)
    assert torch.allclose(kl_divergences(cosines, candidates, 0.05), expected, rtol=1e-3, atol=1e-5)


def test_a_student_that_agrees_with_its_teacher_has_no_divergence():
    queries, passages, candidates = drawn(5, 3, 2, missing=False)
    cosines = queries @ passages.T
    agreed = Candidates(**{**vars(candidates), "teacher_QM": cosines.gather(1, candidates.own_QM)})
    assert torch.allclose(kl_divergences(cosines, agreed, 0.05), torch.zeros(3), atol=1e-5)


def test_soft_labels_of_a_batch_are_not_scaled_by_the_temperature_and_zero_where_both_agree():
    queries, passages, candidates = drawn(5, 3, 2, missing=False)
    cosines, soft = queries @ passages.T, with_soft_labels(candidates)
    log_teacher, log_student = (torch.log_softmax(each / 0.05, 1) for each in (soft.teacher_QP, cosines))
    expected = torch.nn.functional.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(1)
    assert torch.allclose(kl_divergences(cosines, soft, 0.05), expected, rtol=1e-3, atol=1e-5)
    agreed = Candidates(**{**vars(candidates), "teacher_QP": cosines})
    assert torch.allclose(kl_divergences(cosines, agreed, 0.05), torch.zeros(3), atol=1e-5)


def test_a_passage_that_a_querys_teacher_has_no_score_of_is_in_neither_softmax():
    queries, passages, candidates = drawn(5, 4, 2)
    soft = with_soft_labels(candidates)
    soft.teacher_QP[1, [2, 6]] = math.nan
    soft.teacher_QP[2, [column for column in range(len(passages)) if column != soft.positive_Q[2]]] = math.nan
    params = LossParams(dims={24: 1.0, 8: 0.3}, kl_share=0.7, mix=False)
    queries, passages = queries.requires_grad_(), passages.requires_grad_()
    found = sum(objective(queries, passages, soft, params))
    assert found.item() == pytest.approx(brute(queries.detach(), passages.detach(), soft, params), rel=1e-4)
    found.backward()
    assert queries.grad.isfinite().all()
    assert passages.grad.isfinite().all()
    kl_Q = kl_divergences(queries @ passages.T, soft, 0.05)
    assert kl_Q[2].item() == pytest.approx(0.0, abs=1e-6), "of one passage alone there is nothing to learn"
    assert kl_Q[1].item() > 0


def test_a_masked_passage_is_in_neither_softmax():
    queries, passages, candidates = drawn(5, 4, 2, missing=False)
    soft = with_soft_labels(candidates)
    soft.log_counts_QP[1, [2, 6]] = -math.inf
    kept = [column for column in range(len(passages)) if column not in (2, 6)]
    without = Candidates(
        **{
            **vars(soft),
            "log_counts_QP": soft.log_counts_QP[:, kept],
            "teacher_QP": soft.teacher_QP[:, kept],
        }
    )
    cosines = (queries @ passages.T).requires_grad_()
    found = kl_divergences(cosines, soft, 0.05)[1]
    assert found.item() == pytest.approx(kl_divergences(cosines[:, kept], without, 0.05)[1].item(), rel=1e-4)
    found.backward()
    assert cosines.grad[1, [2, 6]].tolist() == [0.0, 0.0]
    assert (cosines.grad[1, kept] != 0).all()


def test_mixtures_are_unit_vectors_between_the_negatives():
    queries, passages, candidates = drawn(9, 4, 3, missing=False)
    negatives = passages[candidates.negatives_QN]
    for i, found in enumerate(zip(*mixed_negatives(queries, negatives, candidates, 0.05), strict=True)):
        facts = candidates.pair_Q2[i].tolist(), candidates.lambda_Q[i].item(), 0.05
        expected = brute_mixtures(queries[i].tolist(), negatives[i].tolist(), *facts)
        for one, other in zip(found, expected, strict=True):
            assert torch.allclose(one, torch.tensor(other), atol=1e-5)


def test_each_dimension_is_the_cosine_of_truncated_vectors():
    queries, passages, _ = drawn(2, 3, 2)
    found = cosines_by_dim(queries, passages, PAPER)
    assert list(found) == [5, 12, 24]
    for dim, cosines in found.items():
        expected = torch.nn.functional.cosine_similarity(queries[:, None, :dim], passages[None, :, :dim], dim=2)
        assert torch.allclose(cosines, expected, atol=1e-5)


def test_it_compares_in_float32_under_autocast():
    queries, passages, candidates = drawn(2, 3, 2, missing=False)
    params = LossParams(dims={24: 1.0}, mix=False, gamma=0.0)
    expected = objective(queries, passages, candidates, params)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(objective(queries, passages, candidates, params)[0], expected)
        coarse = log_probabilities(queries @ passages.T, candidates, 0.01)
    assert not torch.allclose(-coarse.mean().float(), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("width", "dims", "weights"),
    [
        (896, None, {896: 1.0, 512: 0.3, 256: 0.2, 128: 0.1, 64: 0.1}),
        (384, None, {384: 1.0, 256: 0.2, 128: 0.1, 64: 0.1}),
        (64, None, {64: 1.0}),
        (384, (32, 384, 300), {384: 1.0, 300: 0.3, 32: 0.1}),
        (4096, (1024, 2048), {2048: 1.0, 1024: 1.0}),
    ],
)
def test_the_papers_dimensions_fit_narrower_models(width, dims, weights):
    assert matryoshka_weights(width, dims) == weights


def test_numbers_that_cannot_be_are_refused():
    for wrong in ({"temperature": 0}, {"kl_share": 1.5}, {"gamma": -1}, {"dims": {}}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            LossParams(**({"dims": {4: 1.0}} | wrong))
    with pytest.raises(ValueError, match="dimension 65 is larger than the 64"):
        matryoshka_weights(64, (32, 65))
    with pytest.raises(ValueError, match="dimension 32 of the loss is larger than the 24"):
        cosines_by_dim(torch.ones(1, 24), torch.ones(1, 24), {32: 1.0})
