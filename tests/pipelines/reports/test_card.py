"""The data card: opened by ``datasets`` and the hub's library, true to its manifest, and never over a person's file."""

import json
import re
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
import yaml
from huggingface_hub import DatasetCard

from pipelines.command import main
from pipelines.publish import publish_run
from pipelines.reports.card import CARD, card, write_card
from pipelines.reports.card_header import FEATURES, MARK, config_name, languages, licences, size_category
from pipelines.reports.documents import write_documents
from pipelines.verify import verify
from schemas.manifest import AboutRecord, Manifest, StageCounts
from schemas.rows import REJECTIONS, SHARD
from tests.trainer import curated
from transforms.flow.files import parquet_bytes, publish

HOSTILE = "A | <script>alert(1)</script> `x`\n# [b](javascript:c) *d* ---"
ABOUT = AboutRecord(title=HOSTILE, hub="some/moons", languages=["zh-Hant", "code", "en"], licence="mit | <b>")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Three small datasets on disk, one of them in the pre-training stage, and one that lost all rows."""
    made = {"moons": 3, "default": 2, "rivers": 4}
    records = []
    for name, number in made.items():
        stage = "pretrain" if name == "rivers" else "finetune"
        path = f"{stage}/retrieval/{name}/part-00000-of-00001.parquet"
        shard = curated.write_shard(tmp_path, path, [curated.row(f"{name} {i}", 2) for i in range(number)])
        records.append(curated.record(name, [shard], stage=stage, about=ABOUT if name == "moons" else None))
    lost = curated.record("lost", [], stages={"prepare": StageCounts(read=1, rejected={"TIE": 1})})
    row = {"dataset": "lost", "stage": "prepare", "reason": "TIE", "detail": "", "provenance": "f#0"}
    publish(f"{tmp_path}/rejections/lost/a.parquet", parquet_bytes(_rejections(row)))
    return curated.manifest_of(*records, lost)


def _rejections(row: dict[str, str]) -> pa.Table:
    return pa.Table.from_pylist([row], REJECTIONS)


def _header(text: str) -> dict[str, object]:
    return yaml.safe_load(text.split("---\n")[1])


@pytest.mark.parametrize(
    ("name", "rows"),
    [(None, 9), ("finetune", 5), ("pretrain", 4), ("moons", 3), ("dataset-default", 2), ("rejections", 1)],
)
def test_every_configuration_opens_with_datasets(
    tmp_path: Path, manifest: Manifest, name: str | None, rows: int
) -> None:
    write_card(str(tmp_path), manifest)
    (tmp_path / "manifest.json").write_text(manifest.model_dump_json())
    loaded = datasets.load_dataset(str(tmp_path), name, split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == rows
    assert loaded.column_names == (REJECTIONS if name == "rejections" else SHARD).names


def test_the_hub_library_reads_the_header(manifest: Manifest) -> None:
    facts = DatasetCard(card(manifest)).data.to_dict()
    assert facts["language"] == ["en", "zh"]
    assert facts["license"] == ["unknown"]
    assert facts["size_categories"] == ["n<1K"]
    assert [config["config_name"] for config in facts["configs"]] == [
        *("default", "finetune", "pretrain", "moons", "dataset-default", "rivers", "rejections")
    ]


def test_features_are_those_of_shards() -> None:
    assert datasets.Features._from_yaml_list(json.loads(json.dumps(FEATURES))) == datasets.Features.from_arrow_schema(
        SHARD
    )


def test_texts_of_entries_are_neither_marks_nor_tags(manifest: Manifest) -> None:
    text = card(manifest)
    assert "<script" not in re.sub(r"\\.", "", text)
    (line,) = [line for line in text.splitlines() if line.startswith("| `moons`")]
    assert len(re.findall(r"(?<!\\)\|", line)) == 10
    assert r"mit \| \<b\>" in line
    assert "](javascript" not in re.sub(r"\\.", "", text)


def test_licences_are_the_hubs_or_other() -> None:
    def of(**facts: str) -> list[str]:
        return licences([curated.record("a", [], about=AboutRecord(title="A", **facts))])

    assert of(licence="mit", licence_class="permissive") == ["mit"]
    assert of(licence="mit (not confirmed)", licence_class="permissive") == ["other"]
    assert of(licence="not stated", licence_class="unknown") == ["unknown"]
    assert licences([curated.record("a", [])]) == ["unknown"]
    assert languages([curated.record("a", [])]) == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (151_377, "100K<n<1M"), (10**12, "n>1T")],
)
def test_sizes_are_in_the_hubs_words(rows: int, words: str) -> None:
    assert size_category(rows) == words


def test_equal_data_has_an_equal_card_that_names_no_place(tmp_path: Path, manifest: Manifest) -> None:
    moved = manifest.model_copy(update={"config": {"out": "/elsewhere"}})
    moved.datasets[0].source = str(tmp_path)
    assert card(moved) == card(manifest)
    assert str(tmp_path) not in card(moved)


def test_what_cannot_be_opened_is_not_promised() -> None:
    header = _header(card(curated.manifest_of()))
    assert "configs" not in header
    assert "dataset_info" not in header
    assert config_name("fever") == "fever"


def test_the_manifest_names_the_card_and_verify_compares_it(tmp_path: Path, manifest: Manifest) -> None:
    out = str(tmp_path / "out")
    stages = {stage: {"files": {}} for stage in ("prepare", "embed", "mine", "pack")}
    bare = curated.manifest_of()
    published = publish_run(out, bare, {}, stages, documents=write_documents)
    assert CARD in [document.path for document in published.documents]
    assert verify(out) == []
    before = (tmp_path / "out" / CARD).stat().st_mtime_ns
    assert publish_run(out, bare, {}, stages, documents=write_documents) == published
    assert (tmp_path / "out" / CARD).stat().st_mtime_ns == before
    (tmp_path / "out" / CARD).write_text(f"---\n{MARK}\n---\n")
    (finding,) = verify(out)
    assert str(finding).startswith("README.md holds other bytes")
    publish_run(out, bare, {}, stages, documents=write_documents)
    assert verify(out) == []
    (tmp_path / "out" / CARD).write_bytes(b"")  # cut off: nobody's words are lost
    assert publish_run(out, bare, {}, stages, documents=write_documents) == published


def test_a_persons_readme_is_left_alone(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / CARD).write_text("# Mine\n")
    assert write_card(str(tmp_path), manifest) == []
    assert (tmp_path / CARD).read_text() == "# Mine\n"


def test_the_command_prints_the_card(tmp_path: Path, manifest: Manifest, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.json").write_text(manifest.model_dump_json())
    assert main(["card", str(tmp_path)]) == 0
    assert capsys.readouterr().out == card(manifest)
    assert main(["card", str(tmp_path / "nothing")]) == 2
    assert "holds no manifest.json" in capsys.readouterr().err
