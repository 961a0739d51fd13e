"""The report: true to shards and rejections, the same for the same OUT, and in a browser nothing but a page."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.command import main
from pipelines.publish import publish_run
from pipelines.reports.documents import write_documents
from pipelines.reports.report import MAX_BYTES, REPORT, _with, page, report, write_report
from pipelines.reports.report_facts import facts
from pipelines.reports.report_samples import CLIP, lengths
from pipelines.verify import verify
from schemas.manifest import AboutRecord, AbsentRecord, AlarmRecord, DocumentRecord, Manifest, MiningCounts, StageCounts
from schemas.rows import REJECTIONS
from tests.browser import CHROMIUM, Page, chromium
from tests.trainer import curated
from transforms.flow.rejections import write_rejections

#: Each would be seen if any part of the page took a text for markup or for a script.
HOSTILE = (
    "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 2'><!--<script> "
    "\u2028 &lt;b&gt; ${window.ran = 3} <a href='javascript:window.ran = 4'>x</a> ]]> <style>body{display:none}</style>"
)
ROWS = 60


def _rejected(number: int, reason: str, **facts: Any) -> dict[str, Any]:
    row = {"dataset": "moons", "stage": "prepare", "reason": reason, "detail": f"as {HOSTILE}", "id": f"r{number:03}"}
    return row | {"provenance": f"{HOSTILE}#{number}", "query": "q", "positives": ["p"], "negatives": []} | facts


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An OUT of one dataset with sixty rows, whose every text is hostile, and one that lost all."""
    folder = tmp_path / "out"
    rows = [curated.row(f"{number:03} {HOSTILE}", 2) | {"id": f"k{number:03}"} for number in range(ROWS)]
    rows[7] |= {"label": HOSTILE, "query": "the seventh query", "negative_ranks": [-1, 250]}
    shard = curated.write_shard(folder, "finetune/retrieval/moons/part-00000-of-00001.parquet", rows)
    lost = [
        *(_rejected(number, "TOO_SHORT") for number in range(50)),
        _rejected(90, "NEAR_DUPLICATE", kept_id="k007", query="the seventh quest", positives=["one word other"]),
        _rejected(91, "MALFORMED_ROW", id=None, query=None, positives=None, negatives=None, raw=HOSTILE),
    ]
    list(write_rejections(f"{folder}/rejections", pa.Table.from_pylist(lost, REJECTIONS)))
    counts = {"TOO_SHORT": 50, "NEAR_DUPLICATE": 1, "MALFORMED_ROW": 1}
    read = ROWS + 2 + 52
    mined = StageCounts(
        read=ROWS, kept=ROWS, mining=MiningCounts(rows=ROWS, mined=120, positive_score=1, negative_score=1)
    )
    moons = curated.record(
        "moons",
        [shard],
        stages={"prepare": StageCounts(read=read, merged=2, kept=ROWS, rejected=counts), "mine": mined}
        | {name: StageCounts(read=ROWS, kept=ROWS) for name in ("embed", "pack")},
        about=AboutRecord(title=HOSTILE, licence=HOSTILE, languages=["en"]),
        alarms=[AlarmRecord(alarm="LOST", stage="prepare", reason="TOO_SHORT", rows=50, of=read, example=HOSTILE)],
    )
    manifest = curated.manifest_of(moons, curated.record("rivers", []))
    manifest.absent.append(AbsentRecord(name="suns", detail=HOSTILE))
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return folder


def _manifest(out: Path) -> Manifest:
    return Manifest.model_validate_json((out / "manifest.json").read_bytes())


def test_numbers_are_those_of_the_files(out: Path) -> None:
    found = facts(str(out), _manifest(out), 5)
    lost = {"TOO_SHORT": 50, "MALFORMED_ROW": 1, "NEAR_DUPLICATE": 1}
    assert dict(found["funnel"]) == {"read": 114, "merged": 2, "kept": 60} | lost
    assert [what for what, _ in found["funnel"]] == ["read", "merged", *lost, "kept"]
    moons, rivers = found["datasets"]
    assert [row["id"] for row in moons["kept_rows"]] == [f"k{n:03}" for n in range(5)]
    assert [row["reason"] for row in moons["rejected_rows"]] == ["MALFORMED_ROW", "NEAR_DUPLICATE", *["TOO_SHORT"] * 5]
    assert moons["rejected_rows"][1]["kept"]["query"] == "the seventh query"
    assert moons["negatives"] == [(2, ROWS)]
    assert moons["labels"] == [(HOSTILE, 1)]
    assert sum(moons["query_lengths"][1]) == ROWS
    assert sum(moons["query_lengths"][0]) == ROWS + 51  # one rejection has no query
    assert [sum(side) for side in moons["positive_lengths"]] == [ROWS + 51, ROWS]  # nor positives
    assert moons["by_language"] == [("en", ROWS + 52, ROWS)]
    assert [sum(side) for side in moons["scores"]] == [ROWS, 2 * ROWS]
    assert moons["scores"][0].index(ROWS) == 38  # from 0.9, in steps of 0.05 from -1
    assert sum(moons["ranks"]) == 2 * ROWS - 1
    assert moons["ranks"][-1] == 1
    assert (rivers["kept"], rivers["rejected_rows"], rivers["lost"]) == (0, [], 0.0)
    assert all(len(text) <= CLIP + 1 for row in moons["kept_rows"] for text, _ in row["negatives"])


def test_lengths_are_counted_by_powers_of_two() -> None:
    counts = lengths(pa.array(["", "a", "ab", "abc", "x" * 4, "é" * 1023, "é" * 1024, "x" * 10**6, None])).tolist()
    assert counts[:3] == [3, 2, 1]
    assert (counts[9], counts[10], counts[16]) == (1, 1, 1)


def test_what_cannot_be_read_is_told_and_stops_nothing(out: Path) -> None:
    (out / "finetune/retrieval/moons/part-00000-of-00001.parquet").write_bytes(b"")
    next((out / "rejections" / "moons").glob("*")).write_bytes(b"PAR1")
    moons = facts(str(out), _manifest(out), 5)["datasets"][0]
    assert (moons["unreadable"], moons["kept_rows"], moons["rejected_rows"]) == (2, [], [])


def test_large_reports_show_fewer_rows(out: Path) -> None:
    found = facts(str(out), _manifest(out), 40)
    assert [len(_with(found, n)["datasets"][0]["kept_rows"]) for n in (40, 3, 0)] == [40, 3, 0]
    assert len(_with(found, 3)["datasets"][0]["rejected_rows"]) == 5
    assert len(page(_with(found, 0))) < len(page(found)) < MAX_BYTES


def test_the_same_out_has_the_same_report_that_no_text_can_end(out: Path) -> None:
    data = report(str(out), _manifest(out))
    assert data == report(str(out), _manifest(out))
    assert data.count(b"<script") == 2
    assert data.count(b"</script>") == 2
    assert data.count(b"<style") == 1
    inner = data.partition(b'id="data">')[2].partition(b"</script>")[0]
    assert json.loads(inner)["datasets"][0]["licence"] == HOSTILE
    assert str(out).encode() not in data


def test_a_run_writes_it_once_and_verify_compares_it(tmp_path: Path) -> None:
    out, bare = str(tmp_path), curated.manifest_of()
    stages: dict[str, Any] = {stage: {"files": {}} for stage in ("prepare", "embed", "mine", "pack")}
    publish_run(out, bare, {}, stages, documents=write_documents)
    written = (tmp_path / REPORT).stat().st_mtime_ns
    publish_run(out, bare, {}, stages, documents=write_documents)
    assert (tmp_path / REPORT).stat().st_mtime_ns == written
    with (tmp_path / REPORT).open("ab") as file:
        file.write(b" ")
    (finding,) = verify(out)
    assert finding.path == REPORT
    assert main(["report", out]) == 0
    assert verify(out) == []


def test_the_command_writes_elsewhere_and_leaves_a_persons_page_alone(out: Path, tmp_path: Path) -> None:
    assert main(["report", str(out), f"--write={tmp_path / 'r.html'}"]) == 0
    assert (tmp_path / "r.html").read_bytes() == report(str(out), _manifest(out))
    assert _manifest(out).documents == []
    assert main(["report", str(out)]) == 0
    assert [type(document) for document in _manifest(out).documents] == [DocumentRecord]
    (out / REPORT).write_text("<p>mine</p>")
    assert write_report(str(out), _manifest(out)) == []
    assert (out / REPORT).read_text() == "<p>mine</p>"


@pytest.fixture
def other(out: Path, tmp_path: Path) -> str:
    """The manifest that was kept of another run: of other code, with fewer rows read, and without ``rivers``."""
    before = _manifest(out).model_copy(update={"code": HOSTILE})
    before.datasets.pop()
    before.datasets[0].stages["prepare"].read -= 1
    path = tmp_path / "kept.json"
    path.write_text(before.model_dump_json())
    return str(path)


def test_against_another_run_it_says_what_differs(out: Path, tmp_path: Path, other: str) -> None:
    assert _data(report(str(out), _manifest(out)))["difference"] is None
    assert main(["report", str(out), f"--against={other}", f"--write={tmp_path / 'r.html'}"]) == 0
    found = _data((tmp_path / "r.html").read_bytes())["difference"]
    assert (found["left"], found["right"], found["same"]) == ([], ["rivers"], 0)
    assert found["why"] == [f"code: {HOSTILE} -> {_manifest(out).code}"]
    assert [change["dataset"] for change in found["changed"]] == ["moons"]
    assert main(["report", str(out), f"--against={tmp_path / 'none.json'}"]) == 2


def _data(html: bytes) -> Any:
    return json.loads(html.decode().partition('id="data">')[2].partition("</script>")[0])


def test_in_a_browser_it_says_what_differs(out: Path, tmp_path: Path, other: str) -> None:
    with _shown(report(str(out), _manifest(out), other), tmp_path) as opened:
        assert opened.run("document.documentElement.scrollWidth") == 390
        assert opened.run("document.querySelectorAll('main img, main a, main script').length") == 0
        told = opened.run("document.getElementById('difference').textContent")
        assert "0 datasets are the same to the byte, 1 differ." in told
        assert "Only here: rivers" in told
        assert f"code: {HOSTILE}" in told
        assert (
            opened.run("document.querySelector('#difference tbody td:last-child').textContent")
            == "what differs for all"
        )
        assert opened.run("document.querySelector('nav a').getAttribute('href')") == "#difference"


@pytest.fixture
def shown(out: Path, tmp_path: Path) -> Iterator[Page]:
    with _shown(report(str(out), _manifest(out)), tmp_path) as opened:
        yield opened


@contextmanager
def _shown(data: bytes, tmp_path: Path) -> Iterator[Page]:
    """A report in a browser, on a phone; it must ask for nothing and run nothing of the data."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on PATH (Debian: apt-get install chromium)")
    (tmp_path / "r.html").write_bytes(data)
    with chromium(tmp_path / "profile") as opened:
        opened.send("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
        opened.open(tmp_path / "r.html")
        yield opened
        requests = [event["request"]["url"] for event in opened.happened("Network.requestWillBeSent")]
        assert requests in ([(tmp_path / "r.html").as_uri()], [(tmp_path / "r.html").as_uri(), "data:,"])
        assert opened.happened("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded") == []
        assert opened.happened("Page.javascriptDialogOpening") == []
        assert opened.run("window.ran") is None


def _type(place: str, value: str) -> str:
    """A script that types into a field as a person would."""
    event = "new Event(f.tagName === 'SELECT' ? 'change' : 'input')"
    return (
        f"(() => {{ const f = document.querySelector({place!r}); f.value = {value!r}; f.dispatchEvent({event}); }})()"
    )


def test_in_a_browser_it_sorts_searches_and_runs_nothing_of_the_data(shown: Page) -> None:
    assert shown.run("document.documentElement.scrollWidth") == 390  # a phone: nothing is wider than the screen
    assert shown.run("document.querySelectorAll('main img, main a, main script, main style').length") == 0
    assert "</script><script>window.ran" in shown.run("document.querySelector('.alarm').textContent")
    cells = "[...document.querySelectorAll('#reasons tbody tr')].map((row) => row.children[3].textContent)"
    head = "document.querySelectorAll('#reasons th button')[3]"
    assert shown.run(cells) == ["50", "1", "1"]
    shown.run(f"{head}.focus()")
    shown.press("Enter", "Enter")  # the keyboard alone: largest first, then smallest first
    assert shown.run(cells) == ["1", "1", "50"]
    assert shown.run(f"{head}.parentElement.getAttribute('aria-sort')") == "ascending"
    shown.run(_type("#reasons input", "near_dup"))
    assert shown.run(cells) == ["1"]

    found = "document.getElementById('found').textContent"
    assert shown.run(found) == "82 of 82 examples, 20 shown"
    shown.run(_type("#search", "THE SEVENTH"))
    assert shown.run(found) == "2 of 82 examples, 2 shown"
    assert shown.run("document.querySelectorAll('#examples .pair').length") == 1
    assert shown.run("[...document.querySelectorAll('#examples .pair mark')].map((m) => m.textContent)[0]") == "quest"
    shown.run(_type("#search", ""))
    shown.run(_type("#browser label:nth-of-type(2) select", "MALFORMED_ROW"))
    assert HOSTILE in shown.run("document.getElementById('examples').textContent")
    shown.press("Tab")
    assert shown.run("document.activeElement.tagName") != "BODY"
