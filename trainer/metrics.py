"""Measures of retrieval and of similarity, as pure functions of scores and judgments.

As trec_eval defines them, and so mteb: gains are the judgments themselves, discounts log2(rank + 1). Of equal scores
the later passage comes first. Letters: Q queries, P passages, K the depth.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ranking = npt.NDArray[np.int64]

#: By how far down a ranking is read.
NDCG_DEPTH, RECALL_DEPTH, MAP_DEPTH = 10, 100, 1000

_DRAWS, _TEXTS_OF_LABEL = 10, 8


def rank(scores_QP: Floats, depth: int = MAP_DEPTH) -> Ranking:
    """Places of the best passages, int64 ``[Q, min(depth, P)]``, best first; of equal scores the last place first."""
    backwards = scores_QP[:, ::-1]
    found = np.argsort(-backwards, axis=1, kind="stable")[:, :depth]
    places: Ranking = scores_QP.shape[1] - 1 - found
    return places


def retrieval_measures(ranking_QK: Ranking, judged: Sequence[Mapping[int, int]]) -> dict[str, float]:
    """``ndcg@10``, ``recall@100`` and ``map@1000``, means over queries.

    ``judged``: for each query what its passages are worth by place; 0 and less is irrelevant. Queries without a
    relevant passage count 0.
    """
    each = [_of_query(places.tolist(), worth) for places, worth in zip(ranking_QK, judged, strict=True)]
    means = np.mean(each, axis=0).tolist()
    return dict(zip((f"ndcg@{NDCG_DEPTH}", f"recall@{RECALL_DEPTH}", f"map@{MAP_DEPTH}"), means, strict=True))


def spearman(one: Floats, other: Floats) -> float:
    """Spearman's rank correlation; equal values share the mean of their ranks. 0 where either side is constant."""
    return float((standardised_ranks(one) * standardised_ranks(other)).mean())


def standardised_ranks(values: Floats) -> npt.NDArray[np.float64]:
    """Ranks with mean 0 and standard deviation 1, equal values sharing the mean of theirs; zeros for a constant.

    The mean of the products of two sides is Spearman's correlation.
    """
    ranks = _ranks(np.asarray(values, np.float64))
    deviation = ranks.std()
    standardised: npt.NDArray[np.float64] = (ranks - ranks.mean()) / (deviation or 1.0)
    return standardised


def accuracy(train: Floats, train_labels: Sequence[str], test: Floats, labels: Sequence[str]) -> float:
    """Accuracy of a logistic regression on few texts of each label, the mean of ten draws, as mteb's classification.

    8 texts of each label at most, 100 iterations (MTEB, Muennighoff et al. 2023, section 3.2, and its code). Draws are
    made here, so figures differ from mteb's in the spread of draws.
    """
    from sklearn.linear_model import LogisticRegression

    known, found = np.asarray(train_labels), []
    for draw in range(_DRAWS):
        order = np.random.default_rng(draw).permutation(len(known))
        chosen = np.concatenate([order[known[order] == label][:_TEXTS_OF_LABEL] for label in np.unique(known)])
        model = LogisticRegression(max_iter=100, random_state=draw).fit(train[chosen], known[chosen])
        found.append(float(np.mean(model.predict(test) == np.asarray(labels))))
    return float(np.mean(found))


def v_measure(vectors: Floats, labels: Sequence[str]) -> float:
    """V-measure (Rosenberg and Hirschberg 2007) of k-means clusters, as many as there are labels, as mteb's clustering
    with one set (mini-batches of 512, one seed).
    """
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.metrics import v_measure_score

    clusters = MiniBatchKMeans(len(set(labels)), batch_size=512, n_init="auto", random_state=0).fit_predict(vectors)
    return float(v_measure_score(labels, clusters))


def _of_query(places: Sequence[int], worth: Mapping[int, int]) -> tuple[float, float, float]:
    relevant = {place: value for place, value in worth.items() if value > 0}
    if not relevant:
        return 0.0, 0.0, 0.0
    gains = [relevant.get(place, 0) for place in places]
    ideal = _discounted(sorted(relevant.values(), reverse=True)[:NDCG_DEPTH])
    hits = [position for position, gain in enumerate(gains[:MAP_DEPTH], 1) if gain]
    precisions = sum(number / position for number, position in enumerate(hits, 1))
    recalled = sum(gain > 0 for gain in gains[:RECALL_DEPTH])
    return _discounted(gains[:NDCG_DEPTH]) / ideal, recalled / len(relevant), precisions / len(relevant)


def _discounted(gains: Sequence[int]) -> float:
    return float(sum(gain / np.log2(position + 1) for position, gain in enumerate(gains, 1)))


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    mean_ranks: npt.NDArray[np.float64] = ends - (counts - 1) / 2
    return mean_ranks[inverse]
