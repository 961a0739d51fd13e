"""Comparing runs: everything that differs is said once, each cause is named, and none is made up."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from html import unescape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.command import main
from pipelines.reports.diff import compare
from pipelines.reports.difference import Change, difference, flat, lines
from schemas.errors import ConfigError
from schemas.manifest import EvaluationSetRecord, LanguageTeacherRecord, Manifest, StageCounts, TeacherRecord
from schemas.rows import REJECTIONS
from tests.browser import CHROMIUM, chromium
from tests.trainer import curated
from transforms.flow.rejections import write_rejections

PATH = "finetune/retrieval/moons/part-00000-of-00001.parquet"
Rows = Sequence[curated.Row]


def _row(number: int, **changes: Any) -> curated.Row:
    return curated.row(f"moon {number}", 2) | {"id": f"{number:032x}"} | changes


ROWS = [_row(number) for number in range(6)]


def _manifest(folder: Path, rows: Rows = ROWS, rejected: dict[str, int] | None = None) -> Manifest:
    lost = rejected or {"TOO_SHORT": 2}
    kept = len(rows)
    prepare = StageCounts(read=kept + sum(lost.values()), kept=kept, rejected=lost)
    stages = {"prepare": prepare, **{name: StageCounts(read=kept, kept=kept) for name in ("embed", "mine", "pack")}}
    shard = curated.write_shard(folder, PATH, rows)
    moons = curated.record("moons", [shard], stages=stages, config={"mining": {"seed": 0}}, revision="1" * 40)
    return Manifest(
        config={"limit": None, "out": str(folder), "near": {"jaccard": 0.8}},
        code="kalm 1",
        libraries={"pyarrow": "25.0"},
        teacher=TeacherRecord(name="minilm", digest="d", dims=384),
        datasets=[moons],
        evaluation_sets=[EvaluationSetRecord(name="scifact", source="s", queries=3)],
    )


def _write(folder: Path, rows: Rows = ROWS, rejected: dict[str, int] | None = None) -> Path:
    folder.mkdir()
    manifest = _manifest(folder, rows, rejected)
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return folder


def _other_shards(manifest: Manifest) -> None:
    manifest.datasets[0].shards[0].sha256 = "0" * 64


CAUSES: list[tuple[Callable[[Manifest], object], str]] = [
    (lambda m: setattr(m, "code", "kalm 2"), "code: kalm 1 -> kalm 2"),
    (lambda m: m.libraries.update(pyarrow="26.0"), "library pyarrow: 25.0 -> 26.0"),
    (lambda m: m.libraries.update(torch="3"), "library torch: none -> 3"),
    (lambda m: setattr(m.teacher, "digest", "e"), "teacher digest: d -> e"),
    (lambda m: m.config["near"].update(jaccard=0.9), "configuration near.jaccard: 0.8 -> 0.9"),
    (lambda m: m.evaluation_sets.clear(), "evaluation set scifact: [None, 3, 0] -> none"),
    (lambda m: setattr(m.datasets[0], "revision", "2" * 40), f"its revision: {'1' * 40} -> {'2' * 40}"),
    (lambda m: m.datasets[0].config["mining"].update(seed=1), "configuration mining.seed: 0 -> 1"),
    (lambda m: setattr(m.datasets[0], "limited", 10), "its limited: none -> 10"),
    (lambda m: setattr(m.datasets[0], "source", "hub"), "its source: sample -> hub"),
]


@pytest.mark.parametrize(("change", "cause"), CAUSES, ids=[cause.partition(":")[0] for _, cause in CAUSES])
def test_each_cause_is_named_alone(tmp_path: Path, change: Callable[[Manifest], object], cause: str) -> None:
    before, after = _manifest(tmp_path), _manifest(tmp_path)
    change(after)
    _other_shards(after)
    (changed,) = difference(before, after).changed
    assert changed.why == [cause]
    assert changed.what == ["shards: rows 6 -> 6, other bytes"]


def test_equal_runs_elsewhere_are_the_same(tmp_path: Path) -> None:
    found = compare(str(_write(tmp_path / "a")), str(_write(tmp_path / "b")))
    assert (found.left, found.right, found.same, found.changed, found.why) == ([], [], 1, [], [])
    assert list(lines(found)) == ["1 datasets are the same to the byte, 0 differ"]


def test_other_source_data_is_the_cause_where_nothing_recorded_is(tmp_path: Path) -> None:
    other = [*ROWS[1:], _row(9, query="a new moon")]
    found = compare(str(_write(tmp_path / "a")), str(_write(tmp_path / "b", other)))
    (changed,) = found.changed
    assert [why.partition(":")[0] for why in changed.why] == ["the data at the source"]
    assert changed.what == [
        "shards: rows 6 -> 6, other bytes",
        "rows: 1 gone, 1 new, 0 with other positives or negatives",
        f"gone: {0:032x}: 'moon 0 q'",
        f"new: {9:032x}: 'a new moon'",
    ]


def test_other_vectors_are_the_cause_where_the_same_rows_came_to_mining(tmp_path: Path) -> None:
    other = [*ROWS[:4], _row(4, negative_ids=["x", "y"])]
    left, right = _write(tmp_path / "a"), _write(tmp_path / "b", other)
    manifest = _manifest(right, other)
    manifest.datasets[0].stages = _manifest(left).datasets[0].stages | {
        "mine": StageCounts(read=6, kept=5, rejected={"INCONSISTENT": 1}),
        "pack": StageCounts(read=5, kept=5),
    }
    (right / "manifest.json").write_text(manifest.model_dump_json())
    lost = {"dataset": "moons", "stage": "mine", "reason": "INCONSISTENT", "detail": "", "provenance": "f#0"}
    list(write_rejections(f"{right}/rejections", pa.Table.from_pylist([lost | {"id": f"{5:032x}"}], REJECTIONS)))
    (changed,) = compare(str(left), str(right)).changed
    assert [why.partition(" (")[0] for why in changed.why] == ["the teacher's vectors"]
    assert "mine INCONSISTENT 0 -> 1 (+1)" in changed.what
    assert "rows: 1 gone, 0 new, 1 with other positives or negatives" in changed.what


def test_counts_are_told_by_stage_and_reason(tmp_path: Path) -> None:
    before, after = _manifest(tmp_path), _manifest(tmp_path, rejected={"TOO_SHORT": 1, "TIE": 4})
    (changed,) = difference(before, after).changed
    assert changed.what == ["prepare read 8 -> 11 (+3)", "prepare TIE 0 -> 4 (+4)", "prepare TOO_SHORT 2 -> 1 (-1)"]


def test_datasets_of_one_side_alone_are_named(tmp_path: Path) -> None:
    before, after = _manifest(tmp_path), _manifest(tmp_path)
    after.datasets[0].name = "rivers"
    found = difference(before, after)
    assert (found.left, found.right) == (["moons"], ["rivers"])
    assert list(lines(found))[:2] == ["only in the first: moons", "only in the second: rivers"]


def test_causes_for_all_are_said_once(tmp_path: Path) -> None:
    before, after = _manifest(tmp_path), _manifest(tmp_path)
    after.code = "kalm 2"
    _other_shards(after)
    said = list(lines(difference(before, after)))
    assert [line for line in said if "kalm 2" in line] == ["differs for all: code: kalm 1 -> kalm 2"]
    assert said[-1] == "  because of what differs for all"


def test_manifests_alone_are_compared_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left, right = _write(tmp_path / "a"), _write(tmp_path / "b", ROWS[:5])
    kept = tmp_path / "kept.json"
    kept.write_text((left / "manifest.json").read_text())
    assert main(["diff", str(kept), str(right / "manifest.json")]) == 0
    shown = capsys.readouterr().out
    assert "  shards: rows 6 -> 5, other bytes" in shown
    assert "rows: " not in shown.replace("shards: rows", "")
    assert main(["diff", str(left), str(right), f"--write={tmp_path / 'd.txt'}"]) == 0
    assert "rows: 1 gone, 0 new" in (tmp_path / "d.txt").read_text()
    assert main(["diff", str(left), str(right), "--exit_code"]) == 8
    assert "1 datasets differ" in capsys.readouterr().err
    assert main(["diff", str(left), str(kept), "--exit_code"]) == 0


def test_what_is_no_manifest_is_refused(tmp_path: Path) -> None:
    left = _write(tmp_path / "a")
    with pytest.raises(ConfigError, match=r"holds no manifest\.json"):
        compare(str(left), str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="there is no manifest"):
        compare(str(left), str(tmp_path / "nothing.json"))
    for text in (json.dumps({"a": 1}), "{broken", ""):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(ConfigError, match="is not a manifest that this version can read"):
            compare(str(left), str(tmp_path / "x.json"))


def test_damaged_shards_are_compared_by_what_the_manifests_say(tmp_path: Path) -> None:
    left, right = _write(tmp_path / "a"), _write(tmp_path / "b", ROWS[:5])
    (right / PATH).write_bytes(b"")
    (changed,) = compare(str(left), str(right)).changed
    assert isinstance(changed, Change)
    assert not any(line.startswith("rows:") for line in changed.what)


def test_flat_joins_keys_and_keeps_empty_mappings() -> None:
    assert flat({"a": {"b": 1, "c": {}}, "d": [2]}) == {"a.b": 1, "a.c": {}, "d": [2]}


HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(2)>&\"'"


def _page(tmp_path: Path) -> Path:
    left, right = _write(tmp_path / "left"), _write(tmp_path / "right", [_row(0, query=HOSTILE), *ROWS[2:]])
    kept = json.loads((right / "manifest.json").read_text())
    kept["code"] = HOSTILE
    kept["datasets"].append(kept["datasets"][0] | {"name": "new", "shards": []})
    (right / "manifest.json").write_text(json.dumps(kept))
    assert main(["diff", str(left), str(right), f"--html={tmp_path}/diff.html"]) == 0
    return tmp_path / "diff.html"


def test_the_page_says_what_the_text_says_and_escapes_all_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = _page(tmp_path).read_text("utf-8")
    said = [line.strip().removeprefix("because of ") for line in capsys.readouterr().out.splitlines()]
    body = unescape(page)
    for line in said:
        line = line.removeprefix("differs for all: ").removeprefix("only in the second: ")
        if line and line != "what differs for all" and not line.endswith(("differ", "moons:")):
            assert line in body, line
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("</style>") == 1
    assert "script-src" not in page
    assert "default-src 'none'" in page
    (digest,) = re.findall(r"style-src '(sha256-[^']+)'", page)
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert digest == "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


def test_the_same_difference_gives_the_same_page(tmp_path: Path) -> None:
    first = _page(tmp_path).read_bytes()
    assert main(["diff", f"{tmp_path}/left", f"{tmp_path}/right", f"--html={tmp_path}/again.html"]) == 0
    assert (tmp_path / "again.html").read_bytes() == first


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH (apt-get install chromium)")
def test_a_browser_runs_nothing_of_the_page_and_asks_for_nothing(tmp_path: Path) -> None:
    path = _page(tmp_path)
    with chromium(tmp_path / "profile") as page:
        page.open(path)
        assert page.run("document.querySelectorAll('script, img').length") == 0
        assert page.run("document.querySelectorAll('section').length") >= 3
        assert page.run("getComputedStyle(document.querySelector('article')).borderTopStyle") == "solid"
        asked = [event["request"]["url"] for event in page.happened("Network.requestWillBeSent")]
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
        assert page.happened("Log.entryAdded", "Runtime.exceptionThrown", "Page.javascriptDialogOpening") == []


def test_rows_that_were_re_admitted_are_told_with_their_cause(tmp_path: Path) -> None:
    left, right = _manifest(tmp_path / "left"), _manifest(tmp_path / "right")
    right.datasets[0].stages["prepare"].readmitted = {"TOO_SHORT": 2}
    right.datasets[0].readmit = "2 ids, digest 00"
    right.config["readmit"] = "/somewhere/list"
    (change,) = difference(left, right).changed
    assert "prepare re-admitted TOO_SHORT 0 -> 2 (+2)" in change.what
    assert change.why == ["its readmit: none -> 2 ids, digest 00"]


def test_another_teacher_of_one_language_is_named_with_it(tmp_path: Path) -> None:
    left, right = (_manifest(tmp_path) for _ in range(2))
    for manifest, digest in ((left, "c"), (right, "d")):
        manifest.teacher = None
        manifest.teachers = [
            LanguageTeacherRecord(name="a", digest="b", dims=8, others=True),
            LanguageTeacherRecord(name="zh", digest=digest, dims=8, languages=["zh"]),
        ]
    assert difference(left, right).why == ["teacher of zh digest: c -> d"]
