"""The DoFns equal the functions they wrap, whatever the number of shards and ranges."""

from dataclasses import replace

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

import transforms.flow.batches  # noqa: F401  registers the coder of batches
from mining.beam import MAX_BYTES, MAX_ROWS, ChooseExamples, SearchShard, query_ranges, small_batches
from mining.candidates import merge_candidates, search_shard
from mining.examples import apply_policies
from mining.policies import MiningParams
from tests.mining.tables import make_corpus, make_queries

PARAMS = MiningParams(top_k=20, rank_range=(5, 10), labelled_rank_range=(0, 10), num_negatives=3, consistency_rank=15)
TEXTS = [f"text {number}" for number in range(80)]
CORPUS = make_corpus(TEXTS, [("x", "y", "z")[number % 3] for number in range(80)])
QUERIES = make_queries(
    TEXTS[:20], [[TEXTS[n + 1]] if n % 2 else [] for n in range(20)], labels=[None if n % 2 else "x" for n in range(20)]
).append_column("dataset", pa.array(["one"] * 20))


def whole() -> pa.Table:
    ranked = merge_candidates(search_shard(QUERIES, CORPUS, PARAMS), PARAMS.top_k)
    return apply_policies(QUERIES, ranked, PARAMS).sort_by("id")


def shard_elements(num_shards: int) -> list[tuple[str, pa.RecordBatch]]:
    """Queries for every shard, passages for the shard of their hash, in small batches, as a pipeline sends them."""
    elements = []
    shards = pa.array([hash_[0] % num_shards for hash_ in CORPUS["text_hash"].to_pylist()])
    for shard in range(num_shards):
        for table in (QUERIES, CORPUS.filter(pc.equal(shards, shard))):
            elements += [(f"one\t{shard}", batch) for batch in table.combine_chunks().to_batches(max_chunksize=7)]
    return elements


def grouped(elements: list[tuple[str, pa.RecordBatch]]) -> list[tuple[str, list[pa.RecordBatch]]]:
    keys = sorted({key for key, _ in elements})
    return [(key, [batch for other, batch in elements if other == key]) for key in keys]


@pytest.mark.parametrize(("num_shards", "num_ranges"), [(1, 1), (3, 1), (1, 4), (3, 4)])
def test_dofns_give_what_the_functions_give(num_shards, num_ranges):
    search, choose = SearchShard(PARAMS, {"one": num_ranges}), ChooseExamples(PARAMS)
    found = [element for keyed in grouped(shard_elements(num_shards)) for element in search.process(keyed)]
    mined = [element for keyed in grouped(found) for element in choose.process(keyed)]
    assert {key for key, _ in mined} == {f"one\t{number}" for number in range(num_ranges)}
    assert pa.Table.from_batches([batch for _, batch in mined]).sort_by("id").equals(whole())


def test_the_pipeline_gives_what_the_functions_give():
    def check(mined: list[tuple[str, pa.RecordBatch]]) -> None:
        assert pa.Table.from_batches([batch for _, batch in mined]).sort_by("id").equals(whole())

    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        mined = (
            pipeline
            | beam.Create(shard_elements(2), reshuffle=False).with_output_types(tuple[str, pa.RecordBatch])
            | "By shard" >> beam.GroupByKey()
            | beam.ParDo(SearchShard(PARAMS, {"one": 2}))
            | "By range" >> beam.GroupByKey()
            | beam.ParDo(ChooseExamples(PARAMS))
        )
        assert_that(mined, check)


def test_outputs_are_typed_so_that_the_batch_coder_is_used():
    for dofn in (SearchShard(PARAMS, {}), ChooseExamples(PARAMS)):
        hint = dofn.get_type_hints().simple_output_type("process")
        assert hint == beam.typehints.KV[str, pa.RecordBatch]


def test_rows_of_unjudged_datasets_pass_without_the_consistency_filter():
    found = list(SearchShard(PARAMS, {"one": 1}).process(grouped(shard_elements(1))[0]))
    (keyed,) = grouped(found)
    judged, unjudged = (
        pa.Table.from_batches([batch for _, batch in ChooseExamples(PARAMS, names).process(keyed)])[
            "reason"
        ].to_pylist()
        for names in (frozenset(), frozenset({"one"}))
    )
    assert "INCONSISTENT" in judged
    assert set(unjudged) == {None}


def test_a_dataset_without_passages_passes_its_queries_on():
    search = SearchShard(PARAMS, {"one": 1})
    elements = list(search.process(("one\t0", QUERIES.combine_chunks().to_batches())))
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


def test_a_dataset_that_the_teacher_cannot_judge_loses_no_row_to_its_ranks():
    strict = replace(PARAMS, consistency_rank=0)
    found = [
        element for keyed in grouped(shard_elements(1)) for element in SearchShard(strict, {"one": 1}).process(keyed)
    ]

    def reasons(choose: ChooseExamples) -> set[str | None]:
        mined = [batch for keyed in grouped(found) for _, batch in choose.process(keyed)]
        return {reason for batch in mined for reason in batch.column("reason").to_pylist()}

    assert "INCONSISTENT" in reasons(ChooseExamples(strict))
    assert "INCONSISTENT" not in reasons(ChooseExamples(strict, frozenset({"one"})))
    assert "INCONSISTENT" in reasons(ChooseExamples(strict, frozenset({"another"})))
