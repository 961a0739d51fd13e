"""Mining as a whole against what its documents say, and what holds whatever the dataset."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mining import mine as mine_module
from mining.mine import mine_dataset
from mining.params import MiningParams
from pipelines.configuration.layers import PRESETS, load
from tests.mining.plain import plain_examples
from tests.mining.tables import hashes, make_corpus, make_queries, vectors_of

PARAMS = MiningParams(
    rank_range=(3, 8), labelled_rank_range=(0, 8), num_negatives=3, consistency_rank=6, max_relative_score=None
)
NAMES = (None, "x", "y", "z")


@st.composite
def datasets(draw: st.DrawFn) -> tuple[pa.Table, pa.Table]:
    """A few dozen texts, some of them spellings of others or with equal vectors, and rows of every kind."""
    num, edited = draw(st.integers(3, 40)), draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    texts = [f"text {number}" for number in range(num)]
    seen = [texts[number if rng.random() < 0.8 else rng.integers(num)] for number in range(num)]
    labels = [NAMES[number] for number in rng.integers(0, 4, num)]
    others = [[str(name) for name in rng.choice(["x", "y", "w"], rng.integers(0, 2))] for _ in texts]
    clusters = [f"c{rng.integers(num)}" if rng.random() < 0.3 else None for _ in texts]
    # Spellings of a text have the same near-duplicates.
    nears = [f"c{int(name[1:]) % 3}" if name else None for name in clusters]
    corpus = make_corpus(texts, labels, clusters, others, vectors=vectors_of(seen), nears=nears if edited else None)
    rows = draw(st.integers(1, 8))

    def some(most: int) -> list[str]:
        return [str(text) for text in rng.choice(texts, min(num, rng.integers(0, most + 1)), replace=False)]

    positives = [some(2) for _ in range(rows)]
    queries = make_queries(
        [str(text) for text in rng.choice(texts, rows)],
        positives,
        [some(4) for _ in range(rows)],
        ["xyz"[rng.integers(3)] if not own or rng.random() < 0.3 else None for own in positives],
        [[str(name) for name in rng.choice(["x", "w"], rng.integers(0, 2))] for _ in range(rows)],
        [f"q{rng.integers(3)}" if rng.random() < 0.5 else None for _ in range(rows)],
    )
    return queries, corpus


@st.composite
def params(draw: st.DrawFn) -> MiningParams:
    """Parameters of every kind."""
    start, width, num = draw(st.integers(0, 5)), draw(st.integers(4, 8)), draw(st.integers(0, 4))
    return MiningParams(
        num_negatives=num,
        rank_range=(start, start + width),
        labelled_rank_range=(0, draw(st.integers(4, 9))),
        sampling=draw(st.sampled_from(["draw", "top"])),
        consistency_rank=draw(st.none() | st.integers(0, 12)),
        num_positives=draw(st.integers(1, 2)),
        class_pool=draw(st.integers(1, 6)),
        positive_order=draw(st.sampled_from(["score", "given"])),
        max_relative_score=draw(st.sampled_from([None, 0.5, 0.95])),
        relative_to=draw(st.sampled_from(["best", "first", "least"])),
        min_margin=draw(st.sampled_from([None, 0.1])),
        max_score=draw(st.sampled_from([None, 0.4])),
        min_score=draw(st.sampled_from([None, -0.2])),
        random_fill=draw(st.booleans()),
        max_given=draw(st.sampled_from([None, 1])),
        given_choice=draw(st.sampled_from(["first", "hardest", "draw"])),
        balance_classes=draw(st.booleans()),
        balance_depth=40,
        seed=draw(st.integers(0, 3)),
    )


@settings(deadline=None, max_examples=150)
@given(datasets(), params())
def test_every_row_gets_what_the_rules_say(dataset, chosen):
    queries, corpus = dataset
    mined = mine_dataset(queries, corpus, chosen).to_pylist()
    for row, expected in zip(mined, plain_examples(queries, corpus, chosen), strict=True):
        assert {name: row[name] for name in expected} == expected


@settings(deadline=None, max_examples=25)
@given(datasets(), st.data())
def test_the_order_of_rows_and_passages_changes_nothing(dataset, data):
    def shuffled(table: pa.Table) -> pa.Table:
        return table.take(pa.array(data.draw(st.permutations(range(len(table))))))

    queries, corpus = dataset
    first = mine_dataset(queries, corpus, PARAMS).sort_by("id")
    assert first.equals(mine_dataset(shuffled(queries), shuffled(corpus), PARAMS).sort_by("id"))


def test_blocks_of_queries_change_nothing(monkeypatch):
    texts = [f"text {number}" for number in range(30)]
    queries = make_queries(texts, [[texts[number - 1]] for number in range(30)])
    whole = mine_dataset(queries, make_corpus(texts), PARAMS)
    monkeypatch.setattr(mine_module, "QUERY_BLOCK", 7)
    assert mine_dataset(queries, make_corpus(texts), PARAMS).equals(whole)


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS.glob("*.yaml")))
def test_presets_mine_by_their_parameters(preset):
    texts = [f"text {number}" for number in range(200)]
    queries = make_queries(texts[:9], [[texts[number + 1]] for number in range(9)])
    chosen = load(preset, [], {}).config.mining
    mined = mine_dataset(queries, make_corpus(texts), chosen).to_pylist()
    for row, expected in zip(mined, plain_examples(queries, make_corpus(texts), chosen), strict=True):
        assert {name: row[name] for name in expected} == expected


def test_the_seed_changes_the_draw():
    texts = [f"text {number}" for number in range(60)]
    queries = make_queries(texts, [[texts[number - 1]] for number in range(60)])
    both = [MiningParams(**vars(PARAMS) | {"consistency_rank": None, "seed": seed}) for seed in (0, 1)]
    first, second = (mine_dataset(queries, make_corpus(texts), each)["negative_hashes"] for each in both)
    assert first != second


def test_one_class_and_texts_that_are_all_alike_leave_nothing_to_mine():
    texts = [f"text {number}" for number in range(20)]
    one_class = mine_dataset(make_queries(texts, labels=["x"] * 20), make_corpus(texts, ["x"] * 20), PARAMS)
    assert set(one_class["missing"].to_pylist()) == {3}
    alike = make_corpus(texts, vectors=vectors_of(["same"] * 20))
    row = mine_dataset(make_queries(["q"], [["text 0"]]), alike, PARAMS)
    assert (row["missing"].to_pylist(), row["reason"].to_pylist()) == ([3], [None])


def test_what_cannot_be_mined_is_refused():
    texts = [f"text {number}" for number in range(5)]
    corpus, queries = make_corpus(texts), make_queries(["text 0", "text 1"], [["text 2"], ["text 3"]])
    with pytest.raises(ValueError, match="4 rows have only 2 distinct ids"):
        mine_dataset(pa.concat_tables([queries, queries]), corpus, PARAMS)
    with pytest.raises(ValueError, match=f"text {hashes(['elsewhere'])[0].hex()}"):
        mine_dataset(make_queries(["text 0"], [["elsewhere"]]), corpus, PARAMS)
    with pytest.raises(ValueError, match="neither positives nor a label"):
        mine_dataset(make_queries(["text 0"]), corpus, PARAMS)
    with pytest.raises(ValueError, match=r"lacks the columns \['positives'\]"):
        mine_dataset(queries.drop_columns(["positives"]), corpus, PARAMS)
    assert len(mine_dataset(queries.slice(0, 0), corpus, PARAMS)) == 0
