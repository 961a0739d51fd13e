"""The model of cost: what its quantities are, and that costs grow as they must."""

from dataclasses import replace

import pytest

from pipelines.costs.cluster import Cluster, plan_run, plan_stage, ranges, totals, worker_memory
from pipelines.costs.measured import measured, parse, text_of
from pipelines.costs.model import STAGES, Cost, Datasets, Measured, Work, cost, quantities, total
from pipelines.ranges import num_partitions

ONE = Datasets(rows=1000, text_bytes=100)


def made(**terms: dict[str, float]) -> Measured:
    """Coefficients of prepare and embed by resource, all others 0."""
    resources = {name: {stage: {} for stage in STAGES} for name in _RESOURCES}
    for name, found in terms.items():
        resources[name] = dict.fromkeys(STAGES, found)
    return Measured(
        **resources,
        process=0.0,
        tokens_per_second={"minilm": 100.0},
        efficiency=dict.fromkeys(STAGES, 0.5),
        flink={stage: {"cpu": 2.0, "run": 10.0} for stage in STAGES},
        kept=0.9,
        texts=2.0,
        tokens_per_byte=0.25,
        where={"machine": "", "rows": ""},
    )


_RESOURCES = ("cpu_seconds", "memory_bytes", "shuffle_bytes", "disk_bytes", "index_bytes")


def test_quantities_are_those_of_the_formulas() -> None:
    work = Work(
        datasets=[replace(ONE, number=3), Datasets(rows=500, text_bytes=40, mined=False)], kept=0.5, texts=1.5, dims=8
    )
    found = quantities("mine", work)
    assert found["row"] == 3 * 500 + 250
    assert found["byte"] == 3 * 500 * 100 + 250 * 40
    assert found["mined"] == 1500
    assert found["text"] == 2250
    assert found["component"] == 2250 * 8
    assert found["text_byte"] == 1500 * 100
    assert found["product"] == 3 * 500 * 500 * 8  # a dataset's rows meet its own passages alone
    assert found["shard"] == 2 * 8 * 500
    assert found["rounds"] == 0
    assert quantities("prepare", work)["row"] == 3500
    assert quantities("prepare", replace(work, in_rounds=True))["rounds"] == 3500


def test_the_product_is_that_of_every_row_with_every_passage() -> None:
    """Counted pair by pair."""
    work = Work(datasets=[Datasets(rows=7, text_bytes=1, number=2)], dims=3)
    pairs = [(row, passage) for _ in range(2) for row in range(7) for passage in range(7)]
    assert quantities("mine", work)["product"] == len(pairs) * 3


def test_pretraining_rows_are_neither_embedded_nor_mined() -> None:
    found = quantities("embed", Work(datasets=[replace(ONE, mined=False)]))
    names = ("text", "component", "text_byte", "product", "mined", "teacher", "shard")
    assert [found[name] for name in names] == [0] * 7


def test_a_shard_holds_no_more_than_its_passages() -> None:
    work = Work(datasets=[Datasets(rows=10_000, text_bytes=1)], dims=4, shard=600)
    assert quantities("mine", work)["shard"] == 2 * 4 * 600


def test_an_unknown_quantity_is_an_error() -> None:
    with pytest.raises(KeyError, match="rowz"):
        total({"rowz": 1.0}, quantities("pack", Work(datasets=[ONE])))


def test_time_follows_workers_cores_and_efficiency() -> None:
    work, coefficients = Work(datasets=[replace(ONE, rows=1_000_000)]), made(cpu_seconds={"row": 1e-3})
    one = Cluster(workers=1, cores=2, tokens_per_second=100.0)
    alone = plan_stage("prepare", work, one, coefficients)
    assert alone.cpu_seconds == pytest.approx(1000)
    assert alone.seconds == pytest.approx(1000 / (2 * 0.5))
    spread = plan_stage("prepare", work, replace(one, workers=4, flink=True), coefficients)
    assert spread.cpu_seconds == pytest.approx(2000 + 4 * 10)  # Flink's factor, and the start of each worker
    assert spread.seconds == pytest.approx(2000 / (8 * 0.5) + 10 / (2 * 0.5))
    assert plan_stage("prepare", work, replace(one, speed=2.0), coefficients).seconds == pytest.approx(500)


def test_more_cores_than_ranges_gain_nothing() -> None:
    work, coefficients = Work(datasets=[replace(ONE, rows=300_000)]), made(cpu_seconds={"row": 1e-3})
    most = num_partitions(300_000, 50_000)
    assert ranges(work) == most
    enough = Cluster(workers=most, cores=1, flink=True, tokens_per_second=1.0)
    assert plan_stage("pack", work, replace(enough, workers=1000), coefficients).seconds == pytest.approx(
        plan_stage("pack", work, enough, coefficients).seconds
    )


def test_tokens_are_read_by_gpus_where_there_are_any() -> None:
    work, coefficients = Work(datasets=[ONE]), made()
    tokens = 1000 * 100 * 0.25
    cluster = Cluster(cores=1, tokens_per_second=50.0, price_per_cpu_hour=1.0, price_per_gpu_hour=10.0)
    by_core = plan_stage("embed", work, cluster, coefficients)
    assert (by_core.cpu_seconds, by_core.gpu_seconds) == (pytest.approx(tokens / 50), 0)
    by_gpu = plan_stage("embed", work, replace(cluster, gpus=4), coefficients)
    assert (by_gpu.cpu_seconds, by_gpu.gpu_seconds) == (0, pytest.approx(tokens / 50))
    assert by_gpu.seconds == pytest.approx(tokens / 50 / 4)
    assert by_gpu.money == pytest.approx((by_gpu.seconds * 1.0 + by_gpu.gpu_seconds * 10.0) / 3600)


def test_a_worker_holds_its_ranges_and_one_machine_all_rows() -> None:
    work = Work(datasets=[replace(ONE, rows=10_000_000)])
    coefficients = made(memory_bytes={"run": 1e8, "row": 1e3})
    one = Cluster(cores=2, tokens_per_second=1.0)
    assert worker_memory("prepare", work, one, coefficients) == pytest.approx(1e8 + 1e10)
    spread = worker_memory("prepare", work, replace(one, workers=8, flink=True), coefficients)
    assert spread == pytest.approx(1e8 + 1e10 * 2 / num_partitions(10_000_000, 50_000))


def test_totals_are_sums_of_stages() -> None:
    cluster = Cluster(tokens_per_second=1000.0, price_per_cpu_hour=0.1)
    stages = plan_run(Work(datasets=[replace(ONE, rows=100_000)]), cluster, measured())
    assert [each.cost.stage for each in stages] == list(STAGES)
    assert totals(stages)[0] == pytest.approx(sum(each.seconds for each in stages))
    assert totals(stages)[3] == pytest.approx(totals(stages)[0] * 2 * 0.1 / 3600)


def test_coefficients_are_read_as_they_were_written() -> None:
    import yaml

    assert parse(yaml.safe_load(text_of(measured()))) == measured()


@pytest.mark.parametrize("stage", STAGES)
def test_more_rows_cost_more_of_everything(stage: str) -> None:
    small, large = (cost(stage, Work(datasets=[replace(ONE, rows=n)]), measured()) for n in (10_000, 1_000_000))
    assert isinstance(small, Cost)
    assert small.cpu_seconds + small.tokens < large.cpu_seconds + large.tokens
    assert small.memory_bytes <= large.memory_bytes
    assert small.shuffle_bytes <= large.shuffle_bytes
