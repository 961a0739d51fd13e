"""The configuration as it is shown: it reads back as the same, and every parameter of the code is in it."""

import dataclasses
import importlib
import json
import pkgutil
from pathlib import Path

import pytest
import yaml

import mining
import transforms
from catalog import load_catalog
from pipelines.configuration.command import BEGIN, END, main
from pipelines.configuration.keys import keys_of, kind_in_words
from pipelines.configuration.layers import PRESETS, load
from pipelines.configuration.model import CurationConfig, DatasetConfig
from pipelines.configuration.overrides import effective
from pipelines.configuration.show import as_file, as_table, json_schema

ROOT = Path(__file__).parents[3]
SETTINGS = ["mining.num_negatives=9", "datasets.fever.mining.rank_range=[30, 100]", "datasets.task:sts.cap=7"]


def test_what_is_shown_is_a_file_that_gives_the_same(tmp_path: Path) -> None:
    configuration = load(None, SETTINGS, {"limit": "5", "teacher": "org/model"})
    path = tmp_path / "shown.yaml"
    path.write_text(as_file(configuration), "utf-8")
    again = load(str(path), [], {})
    assert again.config == configuration.config
    entries = load_catalog()
    found, before = effective(again, entries), effective(configuration, entries)
    assert {name: each.config for name, each in found.items()} == {name: each.config for name, each in before.items()}


def test_every_value_is_shown_with_its_origin_and_its_meaning() -> None:
    shown = as_file(load(None, SETTINGS, {"limit": "5"})).splitlines()
    values = [line for line in shown if ": " in line.partition("#")[0]]
    assert all("  # " in line for line in values)
    (negatives,) = (line for line in shown if line.startswith("  num_negatives"))
    assert "# --set mining.num_negatives; " in negatives
    (limit,) = (line for line in shown if line.startswith("limit"))
    assert limit.split("  # ")[1].startswith("--limit; rows per dataset")


def _parameter_classes() -> set[type]:
    """Every ``*Params`` dataclass of the steps."""
    found = set()
    for package in (transforms, mining):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(info.name)
            found |= {
                value
                for name, value in vars(module).items()
                if name.endswith("Params") and dataclasses.is_dataclass(value) and value.__module__ == info.name
            }
    return found


def test_every_parameter_of_the_code_is_a_key() -> None:
    leaves = {key.path: key for key in keys_of(CurationConfig).leaves()}
    sections = set()

    def walk(key: object) -> None:
        for child in key.children.values():  # type: ignore[attr-defined]
            sections.add(child.kind)
            walk(child)

    walk(keys_of(CurationConfig))
    reached = {base for kind in sections if isinstance(kind, type) for base in kind.__mro__}
    assert _parameter_classes() - reached == set()
    assert len(leaves) > 60


def test_every_key_has_a_meaning() -> None:
    for model in (CurationConfig, DatasetConfig):
        assert [".".join(key.path) for key in keys_of(model).leaves() if not key.description] == []


def test_the_documents_table_is_that_of_the_models() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0].strip() == as_table().strip(), (
        "kalm config --write=docs/configuration.md renews it"
    )


def test_the_schema_accepts_what_is_shown_and_refuses_unknown_keys(capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    assert main(["--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema == json.loads(json.dumps(json_schema()))
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(yaml.safe_load(as_file(load(None, SETTINGS, {}))))
    for wrong in ({"mning": {}}, {"mining": {"num_negative": 1}}, {"datasets": {"fever": {"capp": 1}}}):
        assert not validator.is_valid(wrong)


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_preset_says_what_it_is_and_fits_the_catalog(path: Path) -> None:
    assert path.read_text("utf-8").startswith("# ")
    effective(load(str(path), [], {}), load_catalog())


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (int, "whole number"),
        (float | None, "number or null"),
        (tuple[int, int], "[whole number, whole number]"),
        (tuple[str, ...], "list of text"),
        (dict[str, float], "mapping to number"),
    ],
)
def test_types_in_words(kind: object, words: str) -> None:
    assert kind_in_words(kind) == words


def test_a_dataset_is_shown_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dataset=fever", "--set=datasets.fever.cap=11"]) == 0
    shown = capsys.readouterr().out
    assert yaml.safe_load(shown)["datasets"]["fever"]["cap"] == 11
    assert main(["--dataset=fevr"]) == 2
