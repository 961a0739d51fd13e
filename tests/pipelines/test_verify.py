"""Whether OUT is as its manifest says, on an OUT that is written here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.verify import damage_elsewhere, main, shard_faults, verify
from schemas.errors import ConfigError, DamageError, OutputError
from schemas.manifest import Manifest, ShardRecord, StageCounts
from schemas.rows import REJECTIONS
from tests.schemas.records import record
from transforms.flow.files import parquet_bytes, publish, sha256
from transforms.flow.rejections import write_rejections

PATH = "finetune/sts/toy/part-00000-of-00001.parquet"


def _out(out: Path) -> Path:
    """An OUT with one shard of two rows, three rejected rows and an unusable passage."""
    shard = parquet_bytes(pa.table({"id": ["1", "2"]}))
    publish(f"{out}/{PATH}", shard)
    reasons = [("prepare", "TOO_SHORT"), ("prepare", "TIE"), ("mine", "INCONSISTENT")]
    for rows, below in ((reasons[:2], ""), (reasons[2:], ""), (reasons[:1], "corpus/")):
        list(
            write_rejections(
                f"{out}/rejections", pa.Table.from_pylist([_rejected(*row) for row in rows], REJECTIONS), below
            )
        )
    stages = {
        "prepare": StageCounts(read=6, kept=3, merged=1, rejected={"TOO_SHORT": 1, "TIE": 1}),
        "embed": StageCounts(read=3, kept=3),
        "mine": StageCounts(read=3, kept=2, rejected={"INCONSISTENT": 1}),
        "pack": StageCounts(read=2, kept=2),
    }
    toy = record("toy", stages, [ShardRecord(path=PATH, rows=2, sha256=sha256(shard))])
    manifest = Manifest(config={}, code="c", libraries={}, datasets=[toy])
    (out / "manifest.json").write_text(manifest.model_dump_json())
    return out


def _rejected(stage: str, reason: str) -> dict[str, Any]:
    return {"dataset": "toy", "stage": stage, "reason": reason, "detail": "", "provenance": "f#0"}


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _rejection(out: Path, place: str = "") -> Path:
    return min((out / "rejections" / "toy" / place).glob("*.parquet"))


def _count(out: Path, stage: str, name: str, value: Any) -> None:
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["datasets"][0]["stages"][stage][name] = value
    (out / "manifest.json").write_text(json.dumps(manifest))


def test_a_sound_out_has_no_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = _out(tmp_path)
    (out / "rejections" / "toy" / "notes.parquet").write_text("somebody's own")
    assert verify(str(out)) == []
    assert main([str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: 1 shards and all rejections are as the manifest says\n"


DAMAGES: list[tuple[Callable[[Path], object], str, str]] = [
    (lambda out: _flip(out / PATH), PATH, "holds other bytes"),
    (lambda out: (out / PATH).write_bytes(b""), PATH, "holds other bytes"),
    (lambda out: (out / PATH).unlink(), PATH, "is gone"),
    (lambda out: _flip(_rejection(out)), "rejections/toy/", "holds other bytes"),
    (lambda out: _flip(_rejection(out, "corpus")), "rejections/toy/corpus/", "holds other bytes"),
    (lambda out: _rejection(out).unlink(), "rejections/toy", "rows that "),
    (lambda out: _count(out, "mine", "kept", 1), "manifest.json", "does not balance: toy, mine: read 3 = kept 1"),
    (lambda out: _count(out, "prepare", "merged", 2), "manifest.json", "does not balance: toy, prepare"),
    (lambda out: _count(out, "prepare", "rejected", {"TOO_SHORT": 2}), "rejections/toy", "the manifest counts 2"),
    (lambda out: (_count(out, "pack", "read", 1), _count(out, "pack", "kept", 1)), "manifest.json", "shards hold 2"),
    (lambda out: (_count(out, "embed", "read", 4), _count(out, "embed", "kept", 4)), "manifest.json", "embed read 4"),
]


@pytest.mark.parametrize(("damage", "path", "what"), DAMAGES)
def test_what_is_not_as_the_manifest_says_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], object], path: str, what: str
) -> None:
    out = _out(tmp_path)
    damage(out)
    findings = verify(str(out))
    assert any(finding.path.startswith(path) and what in finding.what for finding in findings), findings
    assert main([str(out)]) == DamageError.exit_code
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(finding) for finding in findings]
    assert f"{len(findings)} things in {out} are not as its manifest says" in said.err


def test_where_there_is_no_manifest_nothing_can_be_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no manifest\.json: give the folder that a run was given as OUT"):
        verify(str(tmp_path))
    assert shard_faults(str(tmp_path)) == {}
    (tmp_path / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(OutputError, match="is not a manifest that this version can read"):
        verify(str(tmp_path))


def test_a_run_says_what_is_damaged_and_not_its_own() -> None:
    faults = {PATH: "is gone", PATH.replace("toy", "other"): "is gone"}
    assert damage_elsewhere(faults, {"toy", "other"}) == []
    (line,) = damage_elsewhere(faults, {"toy"})
    assert line == (
        "damaged in OUT: finetune/sts/other/part-00000-of-00001.parquet is gone; not of this run: "
        "CATEGORY=other puts them back"
    )
