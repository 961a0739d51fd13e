"""Croissant metadata: valid by the format's own library, which reads the rows by it; renewed by runs; deterministic."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.command import main
from pipelines.publish import read_manifest
from pipelines.reports.croissant import CROISSANT, croissant
from pipelines.reports.documents import write_documents
from pipelines.verify import verify
from schemas.manifest import AboutRecord, Manifest
from schemas.rows import SHARD
from tests.trainer import curated

mlc = pytest.importorskip("mlcroissant", reason="of the extra croissant")

#: What mlcroissant and rdflib beneath it do is deprecated by rdflib and pandas.
pytestmark = [
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated"),
    pytest.mark.filterwarnings("ignore:The inplace keyword"),
]

HOSTILE = AboutRecord(
    title='A "quoted" <b>\n{title}', hub="some/moons", languages=["zh-Hant", "en"], licence="cc-by-4.0"
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Two datasets, one of two shards, one whose name is that of a configuration of several."""
    folder = tmp_path / "out"
    records = []
    for name, numbers in (("moons", (3, 2)), ("default", (4,))):
        shards = [
            curated.write_shard(
                folder,
                f"finetune/retrieval/{name}/part-{i:05d}-of-{len(numbers):05d}.parquet",
                [curated.row(f"{name} {i} {n}", 2) for n in range(number)],
            )
            for i, number in enumerate(numbers)
        ]
        records.append(curated.record(name, shards, revision="abc", about=HOSTILE if name == "moons" else None))
    (folder / "manifest.json").write_text(curated.manifest_of(*records).model_dump_json())
    return folder


def _manifest(out: Path) -> Manifest:
    manifest = read_manifest(str(out))
    assert manifest is not None
    return manifest


def test_the_library_validates_it_and_reads_every_row_by_it(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["croissant", str(out)]) == 0
    assert capsys.readouterr().out.strip() == f"{out}/{CROISSANT}"
    dataset = mlc.Dataset(jsonld=out / CROISSANT)
    assert not dataset.metadata.ctx.issues.errors
    for name, rows in (("moons", 5), ("dataset-default", 4)):
        found = list(dataset.records(name))
        assert len(found) == rows
        assert set(found[0]) == {f"{name}/{field}" for field in SHARD.names}
        queries = sorted(row[f"{name}/query"].decode() for row in found)
        assert queries[0].startswith("moon" if name == "moons" else "default")
        assert found[0][f"{name}/negatives"][0].decode().endswith("n0")


def test_it_states_digests_licences_and_sources(out: Path) -> None:
    value = json.loads(croissant(_manifest(out)))
    digests = {each["contentUrl"]: each["sha256"] for each in value["distribution"] if "sha256" in each}
    shards = [shard for record in _manifest(out).datasets for shard in record.shards]
    assert digests == {shard.path: shard.sha256 for shard in shards}
    assert value["license"] == ["cc-by-4.0", "not stated"]
    assert "https://huggingface.co/datasets/some/moons" in value["citeAs"]
    assert "revision abc" in value["citeAs"]
    assert str(out) not in json.dumps(value)


def test_equal_manifests_give_equal_bytes_in_other_processes(out: Path) -> None:
    script = (
        "import sys; from pipelines.publish import read_manifest; from pipelines.reports.croissant import croissant; "
        "sys.stdout.buffer.write(croissant(read_manifest(sys.argv[1])))"
    )
    runs = [subprocess.run([sys.executable, "-c", script, str(out)], capture_output=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout == croissant(_manifest(out))


def test_the_manifest_names_it_and_a_run_renews_it(out: Path) -> None:
    assert [d.path for d in write_documents(str(out), _manifest(out))] == ["README.md", "report.html"]
    assert main(["croissant", str(out)]) == 0
    assert CROISSANT in [document.path for document in _manifest(out).documents]
    assert not [found for found in verify(str(out)) if found.path == CROISSANT]
    fewer = _manifest(out).model_copy(update={"datasets": _manifest(out).datasets[:1]})
    assert [d.path for d in write_documents(str(out), fewer)] == ["README.md", "report.html", CROISSANT]
    assert (out / CROISSANT).read_bytes() == croissant(fewer)


def test_nothing_to_describe_and_no_library_are_said(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "manifest.json").write_text(curated.manifest_of().model_dump_json())
    assert main(["croissant", str(tmp_path / "empty")]) == 2
    assert "no dataset of the manifest has rows" in capsys.readouterr().err
    assert main(["croissant", str(tmp_path / "none")]) == 2
    monkeypatch.setitem(sys.modules, "mlcroissant", None)
    assert main(["croissant", str(out)]) == 2
    assert "mlcroissant is not installed" in capsys.readouterr().err
