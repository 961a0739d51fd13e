"""YAML files: the values that PyYAML gives, each key's line, and what is refused as it is met."""

from pathlib import Path

import pytest
import yaml

from catalog.loading import BUNDLED
from catalog.yaml_files import read_document
from schemas.errors import CatalogError


def _written(folder: Path, text: str) -> Path:
    path = folder / "toy.yaml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: [1.5, ~, yes, 'no', \"x\\ty\", 2001-12-14, 0x1F, .inf]\n",
        "a: |\n  two\n  lines\nb: >-\n  one\n  line\nc: {d: {}, e: []}\n",
        "a: !!str 7\nb: !!float 7\nc: ! 7\nd: !!map {e: !!seq [f]}\n",
        "a:\nb: &unused text\n",
        "---\na: 1\n...\n",
    ],
)
def test_values_are_those_of_pyyaml(tmp_path: Path, text: str) -> None:
    assert read_document(_written(tmp_path, text), "").value == yaml.safe_load(text)


def test_all_bundled_files_are_read_as_pyyaml_reads_them() -> None:
    paths = sorted(BUNDLED.glob("*/*.yaml"))
    assert len(paths) > 100
    for path in paths:
        assert read_document(path, "").value == yaml.safe_load(path.read_text("utf-8")), path


def test_each_key_and_each_item_has_its_line(tmp_path: Path) -> None:
    document = read_document(_written(tmp_path, "a: 1\nsets:\n- name: x\n- {name: y,\n   more: z}\n"), "")
    assert document.lines == {
        "a": 1, "sets": 2, "sets.0": 3, "sets.0.name": 3, "sets.1": 4, "sets.1.name": 4, "sets.1.more": 5
    }  # fmt: skip
    assert document.where("sets.1.more") == f"{tmp_path}/toy.yaml:5"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a {b: 1}\nc:\n  <<: *a\n", "toy.yaml:3: <<: a key is a word, and YAML reads another thing"),
        ("1: a\n", "toy.yaml:1: 1: a key is a word, and YAML reads another thing; quote it"),
        ("? [a]\n: b\n", "toy.yaml:1: not a YAML document: .*found a key that is no word"),
        ("a: 1\n---\nb: 2\n", "toy.yaml:2: not a YAML document: .*but found another document"),
        ("a: !!set {b, c}\n", "toy.yaml:1: not a YAML document: could not determine a constructor for the tag"),
        ("a: *b\n", r"toy.yaml:1: \*b: aliases are not read"),
        ("", "toy.yaml: RULE, and nothing is here"),
        ("# nothing\n", "toy.yaml: RULE, and nothing is here"),
        ("words\n", "toy.yaml: RULE, not str"),
    ],
)
def test_what_is_no_plain_mapping_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(CatalogError, match=f"(?s){said}"):
        read_document(_written(tmp_path, text), "RULE")
