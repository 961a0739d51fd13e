"""Mining as its documents say it, in plain Python over texts: the oracle of the compiled search and choice."""

from typing import Any

import numpy as np
import pyarrow as pa

from mining import policies
from mining.fixed_point import unpack_vectors
from mining.params import MiningParams

Row = dict[str, Any]


def plain_examples(queries: pa.Table, corpus: pa.Table, params: MiningParams) -> list[Row]:
    """Positives, negatives and ranks of each row, or the reason why it is rejected."""
    texts = {row["text_hash"]: row for row in _with_vectors(corpus)}
    rows = [row | {"cluster": row["cluster"] or row["query_hash"]} for row in _with_vectors(queries)]
    for text in texts.values():
        text["cluster"] = text["cluster"] or text["text_hash"]
        text["near"] = text["near"] or text["cluster"]
    relevant: dict[bytes, set[bytes]] = {}
    for row in rows:
        relevant.setdefault(row["cluster"], set()).update(row["positives"])
    return [_example(row, texts, relevant[row["cluster"]], params) for row in rows]


def _with_vectors(table: pa.Table) -> list[Row]:
    vectors = unpack_vectors(table["vector"]).astype(np.int64)
    return [row | {"vector": vector} for row, vector in zip(table.to_pylist(), vectors, strict=True)]


def _labels(row: Row) -> frozenset[str]:
    return frozenset([row["label"], *row["other_labels"]]) - {None}


def _spellings(texts: dict[bytes, Row]) -> list[Row]:
    """One text of each near-duplicate's cluster, the one with the smallest hash, with the labels of all."""
    clusters: dict[bytes, list[Row]] = {}
    for hash_ in sorted(texts):
        clusters.setdefault(texts[hash_]["near"], []).append(texts[hash_])
    return [group[0] | {"labels": frozenset().union(*map(_labels, group))} for group in clusters.values()]


def _example(row: Row, texts: dict[bytes, Row], relevant: set[bytes], params: MiningParams) -> Row:
    out = {row["cluster"], *(texts[hash_]["cluster"] for hash_ in relevant)}
    own, by_class = _labels(row), not row["positives"]
    scored = sorted(
        ((-int(text["vector"] @ row["vector"]), text["text_hash"], text) for text in _spellings(texts)),
        key=lambda entry: entry[:2],
    )
    near = [(-score, text) for score, _, text in scored if text["cluster"] not in out]
    pool = [(score, text) for score, text in near if not (by_class and text["labels"] & own)]
    mates = [text for _, text in near if by_class and text["labels"] & own]
    positives = _positives(row, texts, np.array([score for score, _ in pool], np.int64), params)
    copies = {texts[hash_]["vector"].tobytes() for hash_ in relevant} | {row["vector"].tobytes()}
    edited = {text["near"] for text in texts.values() if text["cluster"] in out}
    if by_class:
        positives = _mates(row, mates, own, copies, params)
    if not positives:
        return {"reason": "LONELY_LABEL" if by_class else "INCONSISTENT"}
    given = _given(row, texts, out, params)
    named = {texts[hash_]["near"] for hash_ in row["negatives"]} | edited
    whole = pool
    pool, ranks = _ranks(row, pool, texts, copies, named, given, own, params)
    mined = [pool[rank][1]["text_hash"] for rank in ranks]
    drawn = []
    if params.random_fill:
        unlabelled = [text for _, text in whole if not text["labels"] & own]
        others = [text for text in unlabelled if text["near"] not in named and text["vector"].tobytes() not in copies]
        drawn = _random(row, others, mined, params.num_negatives - len(given) - len(mined), params)
    return {
        "reason": None,
        "positive_hashes": positives,
        "negative_hashes": [*given, *mined, *drawn],
        "negative_ranks": [-1] * len(given) + ranks + [-2] * len(drawn),
        "missing": params.num_negatives - len(given) - len(ranks) - len(drawn),
    }


def _random(row: Row, others: list[Row], mined: list[bytes], num: int, params: MiningParams) -> list[bytes]:
    hashes = [text["text_hash"] for text in others]
    allowed = np.array([hash_ not in mined for hash_ in hashes], dtype=bool)
    keys = policies.draw_keys(row["id"], hashes, params.seed)
    return [hashes[place] for place in policies.choose_random(allowed, num, keys)]


def _scores_of(row: Row, texts: dict[bytes, Row]) -> np.ndarray:
    return np.array([int(texts[hash_]["vector"] @ row["vector"]) for hash_ in row["positives"]], np.int64)


def _positives(row: Row, texts: dict[bytes, Row], pool_scores: np.ndarray, params: MiningParams) -> list[bytes]:
    scores = _scores_of(row, texts)
    kept = np.flatnonzero(policies.consistent(scores, pool_scores, params.consistency_rank))
    if params.positive_order == "score":
        kept = kept[np.argsort(-scores[kept], kind="stable")]
    return [row["positives"][place] for place in kept]


def _mates(row: Row, mates: list[Row], own: frozenset[str], copies: set[bytes], params: MiningParams) -> list[bytes]:
    def rank(text: Row) -> int:
        if text["vector"].tobytes() in copies:
            return (1 << 20) + 1
        return (1 << 20) - (1 << 20) * len(own & text["labels"]) // len(own | text["labels"])

    same = [text for text in mates if text["labels"] == own and rank(text) == 0][: params.class_pool]
    other = [text for text in mates if text["labels"] != own or rank(text)][: params.class_pool]
    hashes = [text["text_hash"] for text in same + other]
    keys = policies.draw_keys(row["id"], hashes, params.seed)
    ranks = np.array([rank(text) for text in same + other], np.int64)
    return [hashes[place] for place in policies.choose_positives(ranks, keys, params.num_positives)]


def _given(row: Row, texts: dict[bytes, Row], out: set[bytes], params: MiningParams) -> list[bytes]:
    own = {row["cluster"], *(texts[hash_]["cluster"] for hash_ in row["positives"])}
    allowed = []
    for hash_ in row["negatives"]:
        allowed.append(texts[hash_]["cluster"] not in own)
        own.add(texts[hash_]["cluster"])
    scores = np.array([int(texts[hash_]["vector"] @ row["vector"]) for hash_ in row["negatives"]], np.int64)
    keys = policies.draw_keys(row["id"], row["negatives"], params.seed)
    places = policies.choose_given(scores, np.array(allowed, bool), params.given_limit, params.given_choice, keys)
    return [row["negatives"][place] for place in places]


def _ranks(
    row: Row,
    pool: list[tuple[int, Row]],
    texts: dict[bytes, Row],
    copies: set[bytes],
    named: set[bytes],
    given: list[bytes],
    own: frozenset[str],
    params: MiningParams,
) -> tuple[list[tuple[int, Row]], list[int]]:
    """The pool as far as its ranks are counted, and the ranks of mined negatives in it."""
    ceiling, floor = policies.ceiling(_scores_of(row, texts), params), policies.floor(params)
    allowed = [
        text["near"] not in named
        and text["vector"].tobytes() not in copies
        and not text["labels"] & own
        and floor <= score <= ceiling
        for score, text in pool
    ]
    # Of passages that rules refuse, ranks count so many as the deepest range is deep.
    depth = max(params.rank_range[1], (params.consistency_rank or 0) + 1, params.labelled_rank_range[1])
    depth = max(depth, params.balance_depth if params.balance_classes else 0)
    counted = np.array(allowed, dtype=bool) | (np.cumsum(~np.array(allowed, dtype=bool)) <= depth)
    pool = [entry for entry, kept in zip(pool, counted, strict=True) if kept]
    eligible = np.array(allowed, dtype=bool)[counted]
    wanted = params.num_negatives - len(given)
    if not row["positives"] and params.balance_classes:
        free = np.flatnonzero(eligible)
        classes = [min(pool[rank][1]["labels"], default="") for rank in free]
        codes = np.array([sorted(set(classes)).index(name) for name in classes], np.int64)
        return pool, free[policies.balanced(codes, wanted)].tolist()
    rank_range = params.rank_range if row["positives"] else params.labelled_rank_range
    start, end = policies.window(len(pool), rank_range, params.num_negatives)
    keys = policies.draw_keys(row["id"], [text["text_hash"] for _, text in pool[start:end]], params.seed)
    if params.sampling == "top":
        keys = np.arange(len(keys), dtype=np.uint64)
    return pool, policies.choose_negatives(eligible, (start, end), wanted, keys).tolist()
