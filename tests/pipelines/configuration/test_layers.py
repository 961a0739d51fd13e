"""Where values come from, and what is said of a mistake: one line each, with the place where it stands."""

from pathlib import Path

import pytest

from pipelines.configuration.layers import PRESETS, load, merged
from schemas.errors import ConfigError


def _file(folder: Path, text: str) -> str:
    path = folder / "curation.yaml"
    path.write_text(text, "utf-8")
    return str(path)


def _mistakes(folder: Path, text: str, *settings: str) -> list[str]:
    name = _file(folder, text)
    with pytest.raises(ConfigError) as caught:
        load(name, settings, {})
    assert caught.value.exit_code == 2
    return [line.replace(name, "curation.yaml") for line in caught.value.message.split("\n")]


def test_each_layer_holds_over_the_one_before(tmp_path: Path) -> None:
    name = _file(tmp_path, "limit: 3\nmining:\n  num_negatives: 5\n  seed: 1\n")
    found = load(name, ["mining.num_negatives=6", "limit=4"], {"limit": "5", "seed": "2"})
    assert found.config.limit == 5
    assert (found.config.mining.num_negatives, found.config.mining.seed) == (6, 2)
    assert found.config.mining.class_pool == 200
    assert found.origin(("limit",)) == "--limit"
    assert found.origin(("mining", "num_negatives")) == "--set mining.num_negatives"
    assert found.origin(("mining", "seed")) == "--seed"
    assert found.origin(("mining", "class_pool")) == "default"


def test_a_value_of_the_file_is_known_by_its_line(tmp_path: Path) -> None:
    name = _file(tmp_path, "# mine\nmining:\n  num_negatives: 5\n")
    assert load(name, [], {}).origin(("mining", "num_negatives")) == f"{name}:3"


def test_flags_that_stand_for_other_keys(tmp_path: Path) -> None:
    config = load(None, [], {"teacher": "org/model", "teacher_languages": "zh"}).config
    assert (config.teacher.name, config.teacher.languages) == ("org/model", "zh")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("mning: {}\n", "curation.yaml:1: mning: unknown key; did you mean mining? Known here: category, "),
        ("limit: 1\nmining:\n  num_negative: 1\n", "curation.yaml:3: mining.num_negative: unknown key; did you mean "),
        ("near: 5\n", "curation.yaml:1: near: a section with the keys "),
        ("mining:\n  num_negatives: many\n", "curation.yaml:2: mining.num_negatives: Input should be a valid integer"),
        ("mining:\n  rank_range: [5, 3]\n", "curation.yaml:2: mining: rank_range=(5, 3) must be (start, end)"),
        ("mining:\n  max_score: .nan\n", "curation.yaml:2: mining.max_score: nan is no number to compare with"),
        ("out: here\n", "curation.yaml:1: out: is a place and changes no result, so it is a flag: --out"),
        ("limit: 5\nlimit: 6\n", "curation.yaml:2: limit: this key stands twice, at line 1 already"),
        ("datasets: [fever]\n", "curation.yaml:1: datasets: a mapping from names, globs, task:.. or stage:.. "),
        ("datasets:\n  fever: 7\n", "curation.yaml:2: datasets.fever: a mapping of keys ("),
        (
            "datasets:\n  fever:\n    mining: {num_negativs: 1}\n",
            "curation.yaml:3: datasets.fever.mining.num_negativs: unknown key; did you mean mining.num_negatives",
        ),
        (
            "datasets:\n  fever:\n    near: {}\n",
            "curation.yaml:3: datasets.fever.near: near holds for the whole run, not for a dataset",
        ),
        ("a: [\n", "curation.yaml:2: not a YAML document: "),
        ("- a\n", "curation.yaml: a configuration is a mapping of keys (category, clean, mining, ...), not list"),
    ],
)
def test_a_mistake_is_one_line_that_says_where_it_stands(tmp_path: Path, text: str, line: str) -> None:
    (found,) = _mistakes(tmp_path, text)
    assert found.startswith(line)


def test_every_mistake_gets_a_line_of_its_own(tmp_path: Path) -> None:
    lines = _mistakes(tmp_path, "mning: {}\nmining:\n  num_negative: 1\n", "limt=3")
    assert [line.split(": ")[:2] for line in lines] == [
        ["curation.yaml:1", "mning"],
        ["curation.yaml:3", "mining.num_negative"],
        ["--set limt", "limt"],
    ]


@pytest.mark.parametrize(("setting", "message"), [("limit", "key.path=value"), ("a..b=1", "key.path"), ("a=[", "YAML")])
def test_a_setting_is_a_path_and_a_yaml_value(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(None, [setting], {})


def test_values_of_settings_are_yaml() -> None:
    config = load(None, ["mining.rank_range=[30, 100]", "mining.max_relative_score=null", "category=sts"], {}).config
    assert config.mining.rank_range == (30, 100)
    assert config.mining.max_relative_score is None
    assert config.category == "sts"


def test_a_configuration_that_is_not_there_names_the_presets() -> None:
    with pytest.raises(ConfigError, match=r"no configuration 'klm'.*a preset: kalm, nv-retriever, strict, top"):
        load("klm", [], {})


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_preset_is_found_by_its_name_and_by_its_path(path: Path) -> None:
    assert load(path.stem, [], {}).config == load(str(path), [], {}).config


def test_merging_goes_into_mappings() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"c": 4}}) == {"a": {"b": 1, "c": 4}, "d": 3}
