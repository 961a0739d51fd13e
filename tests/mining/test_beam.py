"""The DoFns equal the functions they wrap, whatever the number of shards and ranges."""

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

import transforms.flow.batches  # noqa: F401  registers the coder of batches
from mining.beam import MAX_BYTES, MAX_ROWS, ChooseExamples, MiningSpec, SearchShard, query_ranges, small_batches
from mining.candidates import score_named
from mining.choosing import CROSS_ENCODER
from mining.mine import mine_dataset
from mining.params import MiningParams
from mining.rescoring import CrossCheck
from tests.mining.tables import make_corpus, make_queries

PARAMS = MiningParams(rank_range=(5, 10), labelled_rank_range=(0, 10), num_negatives=3, consistency_rank=15)
TEXTS = [f"text {number}" for number in range(80)]
LANGUAGES = [("en", "ja")[number % 4 == 0] for number in range(80)]
CORPUS = make_corpus(
    TEXTS,
    [("x", "y", "z")[number % 3] for number in range(80)],
    [f"c{number % 70}" for number in range(80)],
    languages=LANGUAGES,
)
QUERIES = make_queries(
    TEXTS[:20],
    [[TEXTS[n + 1]] if n % 2 else [] for n in range(20)],
    [[TEXTS[40 + n], TEXTS[60]] for n in range(20)],
    [None if n % 2 else "x" for n in range(20)],
    languages=LANGUAGES[:20],
).append_column("dataset", pa.array(["one"] * 20))


def spec(num_ranges: int, params: MiningParams = PARAMS, **more: Any) -> MiningSpec:
    return MiningSpec(num_ranges={"one": num_ranges}, params={"one": params}, **more)


def whole(params: MiningParams = PARAMS, **more: Any) -> pa.Table:
    return mine_dataset(QUERIES, CORPUS, params, **more).sort_by("id")


def shard_elements(num_shards: int) -> list[tuple[str, pa.RecordBatch]]:
    """Queries for every shard, passages for the shard of their cluster, in small batches, as a pipeline sends them."""
    elements = []
    shards = pa.array([hash_[0] % num_shards for hash_ in CORPUS["cluster"].to_pylist()])
    scored = score_named(QUERIES, CORPUS)
    for shard in range(num_shards):
        for table in (scored, CORPUS.filter(pc.equal(shards, shard))):
            elements += [(f"one\t{shard}", batch) for batch in table.combine_chunks().to_batches(max_chunksize=7)]
    return elements


def test_a_process_holds_one_shard_at_a_time_whatever_its_threads() -> None:
    search = SearchShard(spec(2))
    first, second = (search.process(keyed) for keyed in grouped(shard_elements(2)))
    next(first)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(lambda: len(list(second)))
        assert wait([waiting], timeout=0.5).done == set()
        assert list(first)
        assert waiting.result(timeout=60) > 0


def grouped(elements: list[tuple[str, pa.RecordBatch]]) -> list[tuple[str, list[pa.RecordBatch]]]:
    keys = sorted({key for key, _ in elements})
    return [(key, [batch for other, batch in elements if other == key]) for key in keys]


def mined_by_dofns(spec_: MiningSpec, num_shards: int) -> list[tuple[str, pa.RecordBatch]]:
    found = [element for keyed in grouped(shard_elements(num_shards)) for element in SearchShard(spec_).process(keyed)]
    assert not any(isinstance(element, beam.pvalue.TaggedOutput) for element in found)
    return [element for keyed in grouped(found) for element in ChooseExamples(spec_).process(keyed)]


def as_table(mined: list[tuple[str, pa.RecordBatch]]) -> pa.Table:
    return pa.Table.from_batches([batch for _, batch in mined]).sort_by("id")


@pytest.mark.parametrize(("num_shards", "num_ranges"), [(1, 1), (3, 1), (1, 4), (3, 4)])
def test_dofns_give_what_the_functions_give(num_shards, num_ranges):
    mined = mined_by_dofns(spec(num_ranges), num_shards)
    assert {key for key, _ in mined} == {f"one\t{number}" for number in range(num_ranges)}
    assert as_table(mined).equals(whole())


@pytest.mark.parametrize("num_shards", [1, 3])
@pytest.mark.parametrize(
    "changes",
    [
        {"balance_classes": True},
        {"sampling": "top", "rank_range": (0, 3), "max_relative_score": 0.5},
        {"consistency_rank": 0},
        {"num_negatives": 5, "max_score": -0.3},
        {"num_negatives": 5, "max_score": -0.3, "random_fill": True},
        {"num_negatives": 5, "min_score": 0.3, "random_fill": True},
    ],
)
def test_shards_change_nothing_whatever_the_rules(num_shards, changes):
    params = replace(PARAMS, **changes)
    found = as_table(mined_by_dofns(spec(2, params, symmetric=frozenset({"one"})), num_shards))
    assert found.equals(whole(params, symmetric=True))


def test_the_pipeline_gives_what_the_functions_give():
    def check(mined: list[tuple[str, pa.RecordBatch]]) -> None:
        assert as_table(mined).equals(whole())

    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        mined = (
            pipeline
            | beam.Create(shard_elements(2), reshuffle=False).with_output_types(tuple[str, pa.RecordBatch])
            | "By shard" >> beam.GroupByKey()
            | beam.ParDo(SearchShard(spec(2))).with_output_types(tuple[str, pa.RecordBatch])
            | "By range" >> beam.GroupByKey()
            | beam.ParDo(ChooseExamples(spec(2)))
        )
        assert_that(mined, check)


def test_a_dataset_s_own_parameters_hold_and_others_get_the_default():
    default = replace(PARAMS, num_negatives=1)
    spec_ = MiningSpec(num_ranges={"one": 1}, default=default, params={"two": PARAMS})
    assert as_table(mined_by_dofns(spec_, 1)).equals(whole(default))


def test_rows_in_a_language_that_the_teacher_does_not_know_lose_nothing_to_its_ranks():
    strict = replace(PARAMS, consistency_rank=0)
    for languages, lost in ((None, {"en", "ja"}), (frozenset({"en"}), {"en"}), (frozenset({"fr"}), set())):
        mined = as_table(mined_by_dofns(spec(1, strict, languages=languages), 2))
        assert mined.equals(whole(strict, languages=languages))
        spoken = dict(zip(QUERIES["id"].to_pylist(), LANGUAGES, strict=False))
        found = {spoken[row["id"]] for row in mined.to_pylist() if row["reason"] == "INCONSISTENT"}
        assert found <= lost
        assert bool(found) == bool(lost)


@pytest.mark.parametrize("num_shards", [1, 3])
def test_each_shard_tells_how_many_rows_it_was_searched_for(num_shards):
    heard = []
    search = SearchShard(spec(1), heard.append)
    for keyed in grouped(shard_elements(num_shards)):
        list(search.process(keyed))
    assert sum(heard) == num_shards * len(QUERIES)


@pytest.mark.parametrize("num_ranges", [1, 3])
def test_a_range_hears_once_of_each_passage_of_a_shard(num_ranges: int) -> None:
    (keyed,) = grouped(shard_elements(1))
    sent: dict[str, list[int]] = {}
    for element in SearchShard(spec(num_ranges)).process(keyed):
        if isinstance(element, tuple) and "position" in element[1].schema.names:
            sent.setdefault(element[0], []).extend(element[1]["position"].to_pylist())
    assert len(sent) == num_ranges
    assert max(map(len, sent.values())) > 20
    assert all(len(positions) == len(set(positions)) for positions in sent.values())


def test_labels_in_several_spellings_are_counted():
    rows = make_queries(["a", "b", "c"], labels=["Yes", "yes", "no"])
    batches = score_named(rows, make_corpus(["a"])).to_batches()
    tagged = [e for e in SearchShard(spec(1)).process(("one\t0", batches)) if isinstance(e, beam.pvalue.TaggedOutput)]
    assert [(element.tag, element.value) for element in tagged] == [
        ("counts", ('one\tmining\talike:["Yes", "yes"]', 2))
    ]


def test_lists_of_other_rows_are_refused():
    search = SearchShard(spec(1))
    found = list(search.process(grouped(shard_elements(1))[0]))
    rows = [(key, batch.slice(1) if "query_hash" in batch.schema.names else batch) for key, batch in found]
    with pytest.raises(ValueError, match="belong to queries that are not here"):
        list(ChooseExamples(spec(1)).process(grouped(rows)[0]))


def test_a_dataset_without_passages_passes_its_queries_on():
    search = SearchShard(spec(1))
    elements = list(search.process(("one\t0", score_named(QUERIES, CORPUS).combine_chunks().to_batches())))
    assert [batch.num_rows for _, batch in elements] == [20]
    assert "vector" not in elements[0][1].schema.names


def test_ranges_cut_the_ids_evenly_and_in_their_order():
    ids = pa.chunked_array([pa.array([bytes([first]) * 16 for first in range(256)], pa.binary(16))])
    assert query_ranges(ids, 4).tolist() == [first // 64 for first in range(256)]
    assert set(query_ranges(ids, 1).tolist()) == {0}


def test_batches_stay_small_and_own_their_buffers():
    rows = pa.table({"text": ["x" * 1000] * 20_000})
    batches = list(small_batches(rows))
    assert pa.Table.from_batches(batches).equals(rows)
    assert all(batch.num_rows <= MAX_ROWS and batch.get_total_buffer_size() <= 1.1 * MAX_BYTES for batch in batches)
    assert list(small_batches(rows.slice(0, 0))) == []


@pytest.mark.parametrize(("num_shards", "num_ranges"), [(1, 1), (3, 4)])
def test_a_cross_encoder_refuses_the_same_in_shards_and_ranges(num_shards: int, num_ranges: int) -> None:
    asked = []

    def texts(addresses: pa.StructArray) -> list[str]:
        return [f"{each['field']} {each['row']}" for each in addresses.to_pylist()]

    def score(pairs: list[tuple[str, str]]) -> Any:
        asked.extend(pairs)
        return np.array([int(passage.split()[1]) % 7 / 7 for _, passage in pairs], np.float32)

    params = replace(PARAMS, cross_encoder="given", max_cross_score=0.3, consistency_rank=None)
    check = CrossCheck(score=score, texts=texts)
    found = as_table(mined_by_dofns(spec(num_ranges, params, checks={"one": check}), num_shards))
    assert found.equals(whole(params, check=check))
    assert sum(each[CROSS_ENCODER] for each in found["refused"].to_pylist()) > 10
    assert asked
    assert {query.split()[0] for query, _ in asked} == {"query"}
