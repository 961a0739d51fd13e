"""The graphs of the stages: as large for a hundred datasets as for three, and no batch is ever pickled.

A batch crosses from one worker to another where it is grouped, flattened, reshuffled or taken as a side input. What
is consumed there must have a coder that is ours or Beam's own for numbers and texts; everything that Beam does not
know, it pickles, and a pickled slice drags its whole buffer along.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.coders import coders
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from mining.beam import MiningSpec
from mining.teacher import TeacherParams
from pipelines import embed, mine, pack, prepare
from pipelines.steps import STEPS, branch_label, step_of
from pipelines.wiring import batches
from tests.transforms.examples.adapters.helpers import locate
from transforms.cleaning.params import CleanParams
from transforms.duplicates.exact import RemoveExactDuplicates
from transforms.duplicates.near import FindNearDuplicates, NearSpec
from transforms.duplicates.params import Components, NearDuplicateParams
from transforms.duplicates.published import PublishedPart, shard_parts
from transforms.duplicates.scopes import DedupScope
from transforms.examples.read_rows import ReadSpec
from transforms.flow.batches import RecordBatchCoder
from transforms.keeping.decisions import ApplySpec
from transforms.leaks.evaluation_passages import PassageSpec
from transforms.shards.writing import PackSpec, ShardPlace
from transforms.sources.units import Unit
from transforms.text.part_texts import Prompts
from transforms.vectors.embedding import TextSpec, part_element
from transforms.vectors.mining_input import PoolSpec
from transforms.vectors.near_passages import NearPassageSpec, removed_element

Build = Callable[[beam.Pipeline], None]

_PLAIN = (coders.VarIntCoder, coders.StrUtf8Coder, coders.BytesCoder, RecordBatchCoder)
_URN = "beam:transform:{}:v1"
#: Beam's own composites: what goes in and comes out of them counts, not how Beam does it inside.
_WHOLE = (_URN.format("reshuffle"), _URN.format("combine_per_key"))
_BOUNDARIES = (*_WHOLE, _URN.format("group_by_key"), _URN.format("flatten"))


def _names(number: int) -> list[str]:
    return [f"d{i:03}" for i in range(number)]


def _prepare(
    number: int, corpora: int | None = None, components: Components = "one_worker", published: int = 0
) -> Build:
    """The prepare stage for so many datasets, evaluation corpora in so many units (as many, if not given), and so many
    published shards.
    """
    names = _names(number)
    entries = [locate("pair", {"query": "q", "positive": "p"}, name=name) for name in names]
    units = [
        Unit(dataset=name, config="default", role="rows", path=f"/{name}.jsonl", file=f"{name}.jsonl", format="jsonl")
        for name in names
    ]
    scopes = {name: DedupScope() for name in names}
    job = prepare.PrepareJob(
        units=[unit.to_json() for unit in units],
        read=ReadSpec(
            entries={entry.entry.name: entry.model_dump_json(exclude_unset=True) for entry in entries},
            folder="/none",
            progress=None,
            clean=dict.fromkeys(names, CleanParams()),
            num_partitions=number,
            limit=10,
        ),
        exact=RemoveExactDuplicates(folder="/none", scopes=scopes, num_partitions=number),
        near=FindNearDuplicates(
            NearSpec(
                folder="/none", scopes=scopes, params=NearDuplicateParams(components=components), num_partitions=number
            )
        ),
        apply=ApplySpec(folder="/none", progress=None, caps=dict.fromkeys(names, 5), num_partitions=number),
        final_check=None,
        passages=PassageSpec(units=[unit.to_json() for unit in units[:corpora]], folder="/none", num_partitions=number),
        facts={"stage": "prepare"},
        published={number: part for n in range(published) for number, part in _shard(n).items()},
    )
    return lambda pipeline: prepare.build(pipeline, job)


def _shard(number: int) -> dict[int, PublishedPart]:
    return shard_parts("/none", str(number), 9, dataset="d000", scope=DedupScope(), place="p", by_names=False)


def _texts(number: int) -> TextSpec:
    return TextSpec(
        kept="/none",
        corpus="/none",
        mined=frozenset(_names(number)),
        prompts=Prompts(queries=dict.fromkeys(_names(number), "q: "), passages={}),
        store="/none",
        dims=4,
        num_store_partitions=2,
        progress=None,
    )


def _parts(number: int) -> list[str]:
    return [part_element("kept", part) for part in range(number)]


def _embed_job(number: int, accelerator: str | None = None) -> embed.EmbedJob:
    return embed.EmbedJob(
        parts=_parts(number),
        datasets=_names(number),
        texts=_texts(number),
        encode=embed.Encode(name="minilm", path="minilm", params=TeacherParams(), digest="0"),
        folder="/none",
        facts={"stage": "embed"},
        accelerator=accelerator,
    )


def _embed(number: int, accelerator: str | None = None) -> Build:
    return partial(embed.build, job=_embed_job(number, accelerator))


def _mine_job(number: int, accelerator: str | None = None) -> mine.MineJob:
    shares = dict.fromkeys(_names(number), 2)
    return mine.MineJob(
        parts=_parts(number),
        removed=[removed_element(f"{name}/0.parquet") for name in _names(number)],
        datasets=_names(number),
        pools=PoolSpec(texts=_texts(number), num_shards=shares, folder="/none"),
        near=NearPassageSpec(texts=_texts(number)),
        mining=MiningSpec(num_ranges=shares),
        facts={"stage": "mine"},
        accelerator=accelerator,
    )


def _mine(number: int, accelerator: str | None = None) -> Build:
    return partial(mine.build, job=_mine_job(number, accelerator))


def _labels(teachers: int) -> list[str]:
    return [branch_label(n, teachers, f"language {n}") for n in range(1, teachers + 1)]


def _embed_branches(number: int, teachers: int = 2) -> Build:
    return partial(embed.build_branches, jobs=dict.fromkeys(_labels(teachers), _embed_job(number)))


def _mine_branches(number: int, teachers: int = 2) -> Build:
    return partial(mine.build_branches, jobs=dict.fromkeys(_labels(teachers), _mine_job(number)))


def _pack(number: int, pieces: int = 1) -> Build:
    place = ShardPlace(stage="finetune", task_type="sts", instruction=None, num_shards=3, num_pieces=pieces)
    spec = PackSpec(
        mined="/none",
        kept="/none",
        corpus="/none",
        folder="/none",
        places=dict.fromkeys(_names(number), place),
        progress=None,
    )
    parts = [str(part) for part in range(number)]
    job = pack.PackJob(parts=parts, datasets=_names(number), pack=spec, facts={"stage": "pack"})
    return lambda pipeline: pack.build(pipeline, job)


STAGES = {
    "prepare": _prepare,
    "prepare in rounds": partial(_prepare, components="rounds"),
    "prepare beside published rows": partial(_prepare, published=2),
    "embed": _embed,
    "embed by several teachers": _embed_branches,
    "mine": _mine,
    "mine by several teachers": _mine_branches,
    "pack": _pack,
    "pack in pieces": partial(_pack, pieces=2),
}


def _graph(build: Build) -> tuple[beam_runner_api_pb2.Components, Any]:
    """A pipeline's components as a runner gets them, and what makes coders of their ids."""
    pipeline = beam.Pipeline(runner=FnApiRunner())
    build(pipeline)
    proto, context = pipeline.to_runner_api(return_context=True)
    return proto.components, context


def _inside(components: beam_runner_api_pb2.Components) -> set[str]:
    """Transforms below one of Beam's own composites."""
    found: set[str] = set()
    below = [sub for t in components.transforms.values() if t.spec.urn in _WHOLE for sub in t.subtransforms]
    while below:
        name = below.pop()
        found.add(name)
        below += components.transforms[name].subtransforms
    return found


def crossings(components: beam_runner_api_pb2.Components) -> Iterator[tuple[str, str]]:
    """``(label of the transform, PCollection)`` of everything that is consumed across a boundary."""
    inside = _inside(components)
    for name, transform in components.transforms.items():
        if name in inside:
            continue
        if transform.spec.urn in _BOUNDARIES:
            yield from ((transform.unique_name, pcollection) for pcollection in transform.inputs.values())
        if transform.spec.urn == _URN.format("pardo"):
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
            yield from ((transform.unique_name, transform.inputs[side]) for side in payload.side_inputs)


def is_plain(coder: coders.Coder) -> bool:
    """Whether nothing is pickled: numbers, texts, bytes and batches, alone or in tuples."""
    if isinstance(coder, coders.TupleCoder):
        return all(is_plain(part) for part in coder.coders())
    return isinstance(coder, _PLAIN)


def pickled(build: Build) -> list[str]:
    """``transform: coder`` of each boundary that something crosses in pickled form."""
    components, context = _graph(build)
    crossing = [(label, components.pcollections[name].coder_id) for label, name in crossings(components)]
    decoded = [(label, context.coders.get_by_id(coder)) for label, coder in crossing]
    assert decoded, "the walk must find the boundaries of a graph"
    return [f"{label}: {coder}" for label, coder in decoded if not is_plain(coder)]


def _num_keyed_batches(build: Build) -> int:
    components, context = _graph(build)
    found = [context.coders.get_by_id(components.pcollections[name].coder_id) for _, name in crossings(components)]
    return sum(isinstance(c, coders.TupleCoder) and isinstance(c.coders()[-1], RecordBatchCoder) for c in found)


@pytest.mark.parametrize("stage", STAGES)
def test_the_graph_does_not_grow_with_the_catalog(stage: str) -> None:
    few, many = (_graph(STAGES[stage](number))[0] for number in (3, 100))
    assert len(few.transforms) == len(many.transforms) > 10
    assert len(few.pcollections) == len(many.pcollections)


def test_the_graph_does_not_grow_with_the_evaluation_sets() -> None:
    none, one, many = (_graph(_prepare(100, corpora))[0] for corpora in (0, 1, 100))
    assert len(none.transforms) == len(one.transforms) == len(many.transforms)
    assert len(none.pcollections) == len(one.pcollections) == len(many.pcollections)


def test_published_rows_add_two_steps_however_many_they_are_and_none_where_there_are_none() -> None:
    none, one, many = (_graph(_prepare(3, published=number))[0].transforms for number in (0, 2, 100))
    assert len(one) == len(many)
    new = {transform.unique_name.partition("/")[0] for transform in one.values()}
    assert new - {transform.unique_name.partition("/")[0] for transform in none.values()} == {
        "Published",
        "With published",
    }


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_pickled_on_its_way_between_workers(stage: str) -> None:
    assert pickled(STAGES[stage](3)) == []


@pytest.mark.parametrize(
    ("stage", "least"),
    [("prepare", 20), ("prepare in rounds", 36), ("embed", 1), ("mine", 10), ("pack", 5), ("pack in pieces", 6)],
)
def test_batches_are_what_travels(stage: str, least: int) -> None:
    assert _num_keyed_batches(STAGES[stage](3)) >= least


def _make_batches(number: int) -> Iterator[Any]:
    yield number, pa.RecordBatch.from_pydict({"n": [number]})


class _Tagged(beam.DoFn):
    def process(self, number: int) -> Iterator[Any]:
        for keyed in _make_batches(number):
            yield beam.pvalue.TaggedOutput("batches", keyed)


def _numbers(pipeline: beam.Pipeline) -> beam.PCollection[int]:
    return pipeline | beam.Create([1, 2], reshuffle=False).with_output_types(int)


def _untyped_group(pipeline: beam.Pipeline) -> None:
    _numbers(pipeline) | beam.FlatMap(_make_batches).with_output_types(tuple[int, Any]) | "Here" >> beam.GroupByKey()


def _untyped_reshuffle(pipeline: beam.Pipeline) -> None:
    _numbers(pipeline) | beam.FlatMap(_make_batches).with_output_types(Any) | "Here" >> beam.Reshuffle()


def _untyped_flatten(pipeline: beam.Pipeline) -> None:
    tagged = _numbers(pipeline) | beam.ParDo(_Tagged()).with_outputs("batches", main="none")
    (tagged["batches"], tagged["none"]) | "Here" >> beam.Flatten()


def _untyped_side_input(pipeline: beam.Pipeline) -> None:
    side = _numbers(pipeline) | beam.FlatMap(_make_batches).with_output_types(tuple[int, Any])
    numbers = pipeline | "More" >> beam.Create([3], reshuffle=False).with_output_types(int)
    numbers | "Here" >> beam.Map(lambda number, _: number, beam.pvalue.AsDict(side))


def _cogrouped(pipeline: beam.Pipeline) -> None:
    numbers = _numbers(pipeline)
    keyed = numbers | beam.FlatMap(_make_batches).with_output_types(tuple[int, pa.RecordBatch])
    other = numbers | beam.Map(lambda number: (number, number)).with_output_types(tuple[int, int])
    {"batches": keyed, "numbers": other} | "Here" >> beam.CoGroupByKey()


@pytest.mark.parametrize(
    "build", [_untyped_group, _untyped_reshuffle, _untyped_flatten, _untyped_side_input, _cogrouped]
)
def test_the_walk_finds_a_batch_that_would_be_pickled(build: Build) -> None:
    found = pickled(build)
    assert found
    assert all("Here" in line for line in found)


def test_a_tagged_output_that_is_given_its_type_is_not_pickled() -> None:
    def build(pipeline: beam.Pipeline) -> None:
        tagged = _numbers(pipeline) | beam.ParDo(_Tagged()).with_outputs("batches", main="none")
        batches(tagged["batches"]) | "Here" >> beam.GroupByKey()

    assert pickled(build) == []
    assert _num_keyed_batches(build) == 1


@pytest.mark.parametrize("stage", STEPS)
def test_every_step_that_is_shown_stands_in_the_graph(stage: str) -> None:
    forms = [_graph(STAGES[name](2))[0] for name in (stage, f"{stage} in pieces") if name in STAGES]
    labels = {transform.unique_name for components in forms for transform in components.transforms.values()}
    assert [step.label for step in STEPS[stage] if step.label not in labels] == []


@pytest.mark.parametrize("stage", ["embed", "mine"])
def test_with_several_teachers_each_has_the_steps_of_one(stage: str) -> None:
    one, several = (_graph(STAGES[name](2))[0] for name in (stage, f"{stage} by several teachers"))
    labels = {transform.unique_name for transform in several.transforms.values()}
    for label in _labels(2):
        for step in STEPS[stage]:
            assert (step.label if step.label == "Manifest" else f"{label}/{step.label}") in labels
            assert step_of(stage, [f"{label}/{step.label}"]) == step_of(stage, [step.label])
    texts = {transform.unique_name for transform in one.transforms.values()}
    assert {label.split("/", 1)[1] for label in labels if label.startswith("Teacher 1 of 2, language 1/")} >= {
        label for label in texts if label.split("/")[0] in {step.label for step in STEPS[stage]} - {"Manifest"}
    }


def test_what_one_teacher_reads_never_meets_what_another_does() -> None:
    """Between the steps of two teachers nothing is joined but counts and names of files."""
    for stage in ("embed", "mine"):
        components, _ = _graph(STAGES[f"{stage} by several teachers"](2))
        producers = {
            name: transform.unique_name
            for transform in components.transforms.values()
            for name in transform.outputs.values()
            if not transform.subtransforms
        }
        for transform in components.transforms.values():
            branch = transform.unique_name.split("/")[0]
            if branch.startswith("Teacher"):
                made = {producers[name].split("/")[0] for name in transform.inputs.values() if name in producers}
                assert made <= {branch}, transform.unique_name
