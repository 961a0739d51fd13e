import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.utils import close_session

from schemas.errors import SourceError
from tests.hub_server import Fault, HubServer
from tests.transforms.sources.readers.files import compress
from tests.transforms.sources.test_layout import BEIR, located
from transforms.flow.params import RetryParams
from transforms.sources import hub as hub_module
from transforms.sources.hub import CONVERTED, HubSource, choose_groups
from transforms.sources.params import HubParams, ReadingParams
from transforms.sources.planning import Plan
from transforms.sources.readers import read_unit
from transforms.sources.units import Unit

QUICK = ReadingParams(hub=HubParams(retry=RetryParams(attempts=3, first_wait=0)))
TOKEN = "hf_not_a_real_token_0123456789"


def parquet(rows: int, group: int = 100, name: str = "row") -> bytes:
    table = pa.table({"q": [f"{name} {n}" for n in range(rows)], "noise": [f"{n:0200d}" for n in range(rows)]})
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=group, compression="none", use_dictionary=False)
    return sink.getvalue()


def lines(rows: int, name: str = "row") -> bytes:
    return b"".join(json.dumps({"q": f"{name} {n}"}).encode() + b"\n" for n in range(rows))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub of our own, without pauses between attempts."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with HubServer(page_size=3) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        close_session()
        yield server
        close_session()


def plan(limit: int | None = None, reading: ReadingParams = QUICK, **source: Any) -> Plan:
    return HubSource(limit=limit, reading=reading).plan(located(**source))


def texts(units: tuple[Unit, ...]) -> list[str]:
    return [row["q"] for unit in units for raw in read_unit(unit, {"q": "?"}) for row in raw.rows.to_pylist()]


def test_own_files_are_read_at_the_commit_that_the_branch_had(hub: HubServer) -> None:
    commit = hub.add("org/toy", {"README.md": b"#", "data/train-00000-of-00001.parquet": parquet(250)})
    found = plan()
    hub.add("org/toy", {"data/train-00000-of-00001.parquet": parquet(10, name="newer")})
    assert found.revision == commit
    assert [unit.file for unit in found.units] == ["datasets/org/toy/data/train-00000-of-00001.parquet"]
    assert texts(found.units) == [f"row {n}" for n in range(250)]
    assert plan(revision=commit).units == found.units
    assert plan().revision != commit


def test_the_digest_changes_with_the_content_alone(hub: HubServer) -> None:
    digests = []
    for data in (lines(3), lines(4), lines(3), lines(3000), lines(3001), lines(3000)):
        hub.add("org/toy", {"train.jsonl": data, "note.md": bytes(len(digests))})
        digests.append(plan().digests["datasets/org/toy/train.jsonl"])
    assert digests[0] == digests[2] != digests[1]
    assert digests[3] == digests[5] != digests[4]


def test_only_wanted_columns_and_row_groups_are_fetched(hub: HubServer) -> None:
    data = parquet(5000, group=1000)
    hub.add("org/toy", {"train.parquet": data})
    (whole,) = plan().units
    hub.requests.clear()
    some = Unit.from_json(whole.to_json().replace("[0, 1, 2, 3, 4]", "[1, 3]"))
    assert texts((some,)) == [f"row {n}" for n in range(5000) if n // 1000 in (1, 3)]
    assert hub.bytes_asked("train.parquet") / 2 < len(data) / 5  # each range is asked twice: a redirect, then the store


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".csv"])
def test_files_without_row_groups_are_streamed(hub: HubServer, ending: str) -> None:
    data = b"q\n" + b"".join(b"row %d\n" % n for n in range(2000)) if ending == ".csv" else lines(2000)
    compression = {".gz": "gzip", ".zst": "zstd"}.get(ending[6:])
    hub.add("org/toy", {f"en/train{ending}": compress(data, compression)})  # type: ignore[arg-type]
    found = plan(configs=("en",))
    hub.faults += [Fault("cut"), Fault("status", status=503)]
    assert texts(found.units) == [f"row {n}" for n in range(2000)]
    assert not hub.faults


def test_what_has_no_own_files_is_read_from_the_conversion(hub: HubServer) -> None:
    own = hub.add("org/toy", {"toy.py": b"script", "en/train.jsonl": lines(2, "own")})
    assert "config de, split train" in plan(configs=("en", "de")).absent[0]
    converted = {f"{config}/train/{n:04}.parquet": parquet(5, name=f"{config}{n}") for config in "xy" for n in (0, 1)}
    commit = hub.add("org/toy", {**converted, "de/train/0000.parquet": parquet(3, name="de")}, branch=CONVERTED)
    found = plan(configs=("en", "de"))
    assert (found.absent, found.revision) == ((), f"{own}+{commit}")
    assert texts(found.units) == ["own 0", "own 1", "de 0", "de 1", "de 2"]
    found = plan(configs=("x", "y"))
    assert found.revision == commit
    assert len(texts(found.units)) == 20
    assert found.units[0].file == "datasets/org/toy/x/train/0000.parquet"


def test_what_is_nowhere_is_told_with_what_there_is(hub: HubServer) -> None:
    hub.add("org/toy", {"en/train.jsonl": lines(2)})
    hub.add("org/toy", {"de/partial-train/0000.parquet": parquet(2)}, branch=CONVERTED)
    (line,) = plan(configs=("fr",)).absent
    assert line == (
        "catalog/toy.yaml:9: no files of config fr, split train; "
        "hf://datasets/org/toy holds de/partial-train/0000, en/train"
    )
    assert plan(configs=("fr",)).units == ()
    assert HubSource(reading=QUICK).plan(located(BEIR, "beir")).units == ()


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ({"hub": "org/none"}, ("toy.yaml:6", "/datasets/org/none does not exist, or is private", "HF_TOKEN")),
        ({"revision": "v9"}, ("org/toy has no revision v9", "source.revision")),
        ({"hub": "org/gated"}, ("org/gated is gated: accept its terms on http", "set HF_TOKEN")),
        ({"hub": "org/private"}, ("is private", "HF_TOKEN")),
        ({"hub": None, "access": "manual"}, ("no dataset of the hub (access: manual; ask", "SOURCE")),
    ],
)
def test_what_cannot_be_had_is_absent_with_what_to_do(
    hub: HubServer, source: dict[str, Any], parts: tuple[str, ...]
) -> None:
    hub.add("org/toy", {"train.jsonl": lines(2)})
    hub.add("org/gated", {"train.jsonl": lines(2)}, gated=True, token=TOKEN)
    hub.add("org/private", {"train.jsonl": lines(2)}, token=TOKEN)
    found = HubSource(reading=QUICK).plan(located(note="ask the authors", **source))
    assert found.units == ()
    for part in parts:
        assert part in found.absent[0]


@pytest.mark.parametrize("name", ["org/gated", "org/private"])
def test_the_token_is_honoured_and_never_shown(
    hub: HubServer, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hub.add("org/gated", {"train.parquet": parquet(20)}, gated=True, token=TOKEN)
    hub.add("org/private", {"train.parquet": parquet(20)}, token=TOKEN)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    caplog.set_level(logging.DEBUG)
    hub.faults.append(Fault("status", status=429))
    found = plan(hub=name)
    assert len(texts(found.units)) == 20
    assert hub.authorizations >= {f"Bearer {TOKEN}"}
    hub.faults += [Fault("status", "/resolve/", 500)] * 200
    with pytest.raises(SourceError) as caught:
        texts(found.units)
    assert TOKEN not in caplog.text + caught.value.message + repr(found) + found.units[0].to_json()


@pytest.mark.parametrize("path", ["/revision/", "/tree/", "/resolve/"])
@pytest.mark.parametrize(
    "fault", [Fault("status", status=429), Fault("status", status=503), Fault("cut"), Fault("drop")]
)
def test_a_fault_that_passes_changes_nothing(hub: HubServer, path: str, fault: Fault) -> None:
    hub.add("org/toy", {"train-0.parquet": parquet(250), "train-1.parquet": parquet(50, name="more")})
    hub.faults.append(Fault(fault.kind, path, fault.status))
    found = plan()
    assert not hub.faults
    hub.faults += [Fault(fault.kind, "/resolve/", fault.status), Fault("short")]
    assert texts(found.units) == [f"row {n}" for n in range(250)] + [f"more {n}" for n in range(50)]
    assert not hub.faults


def test_a_fault_that_stays_is_told_with_what_was_tried(hub: HubServer) -> None:
    hub.add("org/toy", {"train.parquet": parquet(250)})
    hub.faults += [Fault("status", "/tree/", 503)] * 100
    with pytest.raises(SourceError) as caught:
        plan()
    for part in (hub.endpoint, "org/toy", "3 times", "HTTP 503", "SOURCE=sample"):
        assert part in caught.value.message


def test_a_hub_that_cannot_be_reached_is_told(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    close_session()
    with pytest.raises(SourceError) as caught:
        plan()
    for part in (
        "http://127.0.0.1:9",
        "org/toy",
        "3 times",
        "SOURCE=sample or a directory in hub layout works offline",
    ):
        assert part in caught.value.message


def test_a_refusal_while_reading_is_told(hub: HubServer) -> None:
    hub.add("org/toy", {"train.jsonl": lines(2000)})
    found = plan()
    hub.datasets["org/toy"].token = TOKEN
    with pytest.raises(SourceError, match=r"datasets/org/toy/train\.jsonl"):
        texts(found.units)


def test_limit_reads_whole_row_groups_chosen_by_hash_whatever_the_order_of_files(hub: HubServer) -> None:
    files = {f"train-{n}.parquet": parquet(1000, group=50, name=f"f{n}") for n in range(4)}
    hub.add("org/toy", files)
    found = plan(limit=170)
    assert sum(unit.rows or 0 for unit in found.units) == 200
    assert {file for unit in found.units for file in [unit.file]} == found.digests.keys()
    rows = texts(found.units)
    assert len(rows) == len(set(rows)) == 200
    assert len({row.split()[0] for row in rows}) > 1
    assert plan(limit=170).units == found.units
    assert len(texts(plan(limit=10**6).units)) == 4000
    sample = ReadingParams(hub=HubParams(sampled_files=1, retry=QUICK.hub.retry))
    few = {unit.file for unit in plan(limit=170, reading=sample).units}
    assert few < {f"datasets/org/toy/{name}" for name in files}


def test_groups_are_taken_in_the_order_of_their_hash() -> None:
    units = [
        Unit(dataset="toy", config="c", role="rows", path=name, file=name, format="parquet", row_groups=())
        for name in ("a", "b", "c")
    ]
    sizes = {unit: [10] * 20 for unit in units}
    small, large = choose_groups(sizes, 95), choose_groups(dict(reversed(sizes.items())), 290)
    assert sum(map(len, small.values())) == 10
    assert all(set(numbers) <= set(large[unit]) for unit, numbers in small.items())
    assert choose_groups(sizes, 0) == {}


def test_limit_takes_the_first_rows_of_files_without_row_groups(hub: HubServer) -> None:
    hub.add("org/toy", {f"train-{n}.jsonl": lines(1000, f"f{n}") for n in range(6)})
    found = plan(limit=30, reading=ReadingParams(hub=HubParams(row_bytes=800, retry=QUICK.hub.retry)))
    assert [unit.rows for unit in found.units] == [30, 30]
    rows = texts(found.units)
    assert len(rows) == 60
    assert all(int(row.split()[1]) < 30 for row in rows)
    assert found.digests.keys() == {unit.file for unit in found.units}


def test_limit_leaves_corpora_whole(hub: HubServer) -> None:
    corpus = b"".join(json.dumps({"_id": str(n), "text": "t"}).encode() + b"\n" for n in range(500))
    hub.add("org/toy", {"corpus.jsonl": corpus, "queries.jsonl": corpus, "qrels/train.tsv": b"q\tc\ts\n1\t1\t1\n"})
    found = HubSource(limit=5, reading=QUICK).plan(located(BEIR, "beir"))
    assert [(unit.role, unit.rows) for unit in found.units] == [("corpus", None), ("queries", None), ("qrels", None)]


@pytest.mark.parametrize("wrong", [{"connections": 0}, {"sampled_files": 0}, {"row_bytes": 0}])
def test_params_refuse_what_cannot_work(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        HubParams(**wrong)  # type: ignore[arg-type]


def test_nothing_is_asked_before_an_entry_is_planned(hub: HubServer) -> None:
    hub_module.HubSource(limit=3)
    assert hub.requests == []
