"""Loading entries: every bundled one loads, and a mistake is reported where it stands, with what is allowed."""

import json
from pathlib import Path

import pytest
import yaml

from catalog.loading import BUNDLED, FOLDERS, load_catalog, load_entry
from schemas.catalog import Adapter, CatalogEntry, Stage
from schemas.errors import CatalogError

ENTRY = """\
name: toy
title: Toy
stage: finetune
task_type: classification
languages: [en]
source:
  hub: org/toy
  configs: [default]
adapter: labeled
columns:
  text: text
  label: label
"""


def _write(folder: Path, text: str = ENTRY, name: str = "toy.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _bundled() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (BUNDLED / folder).glob("*.yaml"))


def test_every_bundled_entry_loads_under_the_name_of_its_file() -> None:
    entries = load_catalog()
    assert sorted(entries) == sorted(path.stem for path in _bundled())
    assert {located.entry.adapter for located in entries.values()} == set(Adapter)


@pytest.mark.parametrize("path", _bundled(), ids=lambda path: path.stem)
def test_a_bundled_entry_lies_in_the_folder_of_its_stage_and_has_an_instruction(path: Path) -> None:
    entry = load_entry(path).entry
    assert path.parent.name in (entry.stage.value, "extra")
    assert entry.instruction is not None or entry.stage is Stage.PRETRAIN


def test_a_bundled_entry_is_shown_by_its_path_below_the_project() -> None:
    located = load_entry(BUNDLED / "finetune" / "banking77.yaml")
    lines = (BUNDLED / "finetune" / "banking77.yaml").read_text(encoding="utf-8").splitlines()
    line = 1 + next(number for number, text in enumerate(lines) if text.startswith("  text:"))
    assert located.where("columns", "text") == f"catalog/finetune/banking77.yaml:{line}"


def test_the_line_of_every_key_is_kept_in_lists_and_mappings_too(tmp_path: Path) -> None:
    text = ENTRY.replace("  label: label\n", "  label: label\n  extra:\n    - one\n    - two\n")
    located = load_entry(_write(tmp_path, text))
    shown = [("name",), ("source", "hub"), ("source", "configs", "0"), ("columns", "text"), ("columns", "extra", "1")]
    assert [located.where(*key).rpartition(":")[2] for key in shown] == ["1", "7", "8", "11", "15"]
    assert located.file == f"{tmp_path}/toy.yaml"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("title: Toy", "titel: Toy"), ["toy.yaml:2: titel: unknown key; known here: ", "title", "(got 'Toy')"]),
        (("title: Toy\n", ""), ["toy.yaml:1: title: Field required"]),
        (("  hub: org/toy", "  hubb: org/toy"), ["toy.yaml:7: source.hubb: unknown key; known here: ", "hub", "split"]),
        (("stage: finetune", "stage: fine"), ["toy.yaml:3: stage: ", "'pretrain' or 'finetune'", "(got 'fine')"]),
        (("classification", "labels"), ["toy.yaml:4: task_type: ", "'bitext_mining'", "(got 'labels')"]),
        (("[en]", "[]"), ["toy.yaml:5: languages: ", "at least 1 item"]),
        (("[en]", "en"), ["toy.yaml:5: languages: ", "(got 'en')"]),
        (("[default]", "[7]"), ["toy.yaml:8: source.configs.0: ", "valid string", "(got 7)"]),
        (
            ("  label: label\n", ""),
            ["toy.yaml:", "adapter labeled needs columns ['label', 'text']", "missing: ['label']"],
        ),
        (
            ("  label: label", "  lable: label"),
            ["toy.yaml:", "unknown: ['lable']", "may have ['extra', 'id', 'language']"],
        ),
        (("adapter: labeled", "adapter: labelled"), ["toy.yaml:9: adapter: ", "'labeled'", "(got 'labelled')"]),
        (("name: toy", "name: Toy Data"), ["toy.yaml:1: name: ", "pattern", "(got 'Toy Data')"]),
        (("columns:\n", "rows: -5\ncolumns:\n"), ["toy.yaml:10: rows: ", "greater than 0", "(got -5)"]),
        (("columns:\n", "options: {min_score: 2}\ncolumns:\n"), ["toy.yaml:", "knows the options", "['min_score']"]),
        (("columns:\n", "options: {size: 2}\ncolumns:\n"), ["toy.yaml:10: options.size: unknown key; known here: "]),
        (("columns:\n  text: text\n  label: label\n", "columns: text\n"), ["toy.yaml:10: columns: ", "dictionary"]),
    ],
)
def test_a_mistake_is_reported_with_file_line_key_and_what_is_allowed(
    tmp_path: Path, change: tuple[str, str], expected: list[str]
) -> None:
    assert change[0] in ENTRY
    path = _write(tmp_path, ENTRY.replace(*change))
    with pytest.raises(CatalogError) as caught:
        load_entry(path)
    assert all(part in caught.value.message for part in expected), caught.value.message
    assert caught.value.message.startswith(str(path))


def test_every_mistake_of_an_entry_is_reported_at_once(tmp_path: Path) -> None:
    path = _write(tmp_path, ENTRY.replace("title: Toy", "titel: Toy").replace("[en]", "[]"))
    with pytest.raises(CatalogError) as caught:
        load_entry(path)
    places = sorted(line.partition(": ")[0].rpartition(":")[2] for line in caught.value.message.splitlines())
    assert places == ["1", "2", "5"]


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words\n", "# nothing\n"])
def test_a_document_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CatalogError, match=r"toy.yaml: an entry is a mapping of keys"):
        load_entry(_write(tmp_path, text))


@pytest.mark.parametrize("text", ["name: [toy\n", "name: toy\n\tstage: x\n", "name: 'toy\n", "? [a, b]\n: c\n"])
def test_what_is_not_yaml_is_refused_with_the_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(CatalogError, match=r"toy.yaml:\d+: not a YAML document: "):
        load_entry(_write(tmp_path, text))


def test_what_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_bytes(ENTRY.replace("Toy", "Töy").encode("latin-1"))
    with pytest.raises(CatalogError, match=r"toy\.yaml: not a YAML document: 'utf-8' codec can't decode"):
        load_entry(path)


@pytest.mark.parametrize(
    ("added", "expected"),
    [("7: seven\n", "13: 7"), ("config_languages: {bokmål: nb, no: nn}\n", "13: no")],
)
def test_a_key_that_yaml_takes_for_no_word_is_refused(tmp_path: Path, added: str, expected: str) -> None:
    with pytest.raises(CatalogError) as caught:
        load_entry(_write(tmp_path, ENTRY + added))
    assert caught.value.message.startswith(f"{tmp_path}/toy.yaml:{expected}")
    assert caught.value.message.endswith("a key is a word, and YAML reads another thing; quote it")


def test_a_tag_that_would_run_code_is_refused(tmp_path: Path) -> None:
    text = ENTRY.replace("title: Toy", "title: !!python/object/apply:os.getcwd []")
    with pytest.raises(CatalogError, match="not a YAML document: could not determine a constructor"):
        load_entry(_write(tmp_path, text))


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ("title: Another\n", "13: title: this key stands twice, at line 2 already"),
        ("options: {records: x, records: y}\n", "13: records: this key stands twice, at line 13 already"),
        ("label_names:\n  - {a: b,\n     a: b}\n", "15: a: this key stands twice, at line 14 already"),
    ],
)
def test_a_key_that_stands_twice_is_refused(tmp_path: Path, added: str, expected: str) -> None:
    with pytest.raises(CatalogError) as caught:
        load_entry(_write(tmp_path, ENTRY + added))
    assert caught.value.message == f"{tmp_path}/toy.yaml:{expected}"


def test_entries_of_a_folder_add_to_the_catalog_and_override_it(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    _write(tmp_path)
    _write(tmp_path / "deeper", ENTRY.replace("name: toy", "name: banking77"), "mine.yaml")
    entries = load_catalog(str(tmp_path))
    assert set(entries) == {*load_catalog(), "toy"}
    assert entries["banking77"].entry.title == "Toy"
    assert entries["banking77"].file == f"{tmp_path}/deeper/mine.yaml"


def test_evaluation_sets_of_a_folder_are_no_entries(tmp_path: Path) -> None:
    (tmp_path / "evaluation" / "more").mkdir(parents=True)
    _write(tmp_path / "evaluation" / "more", "benchmark: toy\n", "bench.yaml")
    assert load_catalog(str(tmp_path)) == load_catalog()
    _write(tmp_path)
    assert load_catalog(str(tmp_path)).keys() == {*load_catalog(), "toy"}


def test_a_benchmark_among_entries_is_refused_with_the_place_where_it_belongs(tmp_path: Path) -> None:
    _write(tmp_path, "title: Toy\nbenchmark: toy\n")
    with pytest.raises(CatalogError, match=r"toy.yaml:2: benchmark: .* evaluation sets .* put it below evaluation/ in"):
        load_catalog(str(tmp_path))


def test_two_entries_of_one_name_in_a_folder_are_refused(tmp_path: Path) -> None:
    _write(tmp_path, name="a.yaml")
    _write(tmp_path, name="b.yaml")
    with pytest.raises(CatalogError, match=r"b.yaml:1: the name 'toy' is already taken by .*a.yaml"):
        load_catalog(str(tmp_path))


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_entries_is_refused(tmp_path: Path, there: bool) -> None:
    folder = tmp_path if there else tmp_path / "none"
    with pytest.raises(CatalogError, match=r"holds no \*.yaml file; give a folder of catalog entries"):
        load_catalog(str(folder))


def test_what_is_written_of_an_entry_is_read_again(tmp_path: Path) -> None:
    for located in load_catalog().values():
        value = located.entry.model_dump(mode="json", exclude_unset=True)
        path = _write(tmp_path, yaml.safe_dump(value, allow_unicode=True), f"{located.entry.name}.yaml")
        assert load_entry(path).entry == CatalogEntry.model_validate(value) == located.entry


OUTSIDE = [
    "../../other",
    "/etc/passwd",
    "..",
    ".",
    "",
    "~",
    "~/x",
    "a/../b",
    "a/./b",
    "a//b",
    "a/b/c",
    "-a/b",
    "a.",
    "a\\b",
]


@pytest.mark.parametrize("value", [*OUTSIDE, "https://x.org/a", "a/" + "b" * 97])
def test_a_hub_id_is_no_other_path(tmp_path: Path, value: str) -> None:
    path = _write(tmp_path, ENTRY.replace("hub: org/toy", f"hub: '{value}'"))
    with pytest.raises(CatalogError, match=r"toy\.yaml:7: source\.hub: .*must be a dataset's id, owner/name or name"):
        load_entry(path)


@pytest.mark.parametrize("value", ["org/toy", "toy", "_x/y_", "a.b/c-d.e", "org/" + "b" * 96])
def test_a_hub_id_may_be_what_the_hub_takes(tmp_path: Path, value: str) -> None:
    assert load_entry(_write(tmp_path, ENTRY.replace("hub: org/toy", f"hub: {value}"))).entry.folder == value


@pytest.mark.parametrize("value", ["../x", "/x", "a/b", "..", ".", "", "~", "a\\b", "x" * 129, "a\tb"])
@pytest.mark.parametrize("key", ["configs", "split"])
def test_a_configuration_and_a_split_are_one_name(tmp_path: Path, key: str, value: str) -> None:
    given = json.dumps([value] if key == "configs" else value)
    path = _write(tmp_path, ENTRY.replace("  configs: [default]", f"  {key}: {given}"))
    with pytest.raises(CatalogError, match=rf"toy\.yaml:8: source\.{key}.*must be one name of at most 128"):
        load_entry(path)


def test_an_entry_without_configurations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"toy\.yaml:8: source\.configs: .*at least 1 item"):
        load_entry(_write(tmp_path, ENTRY.replace("[default]", "[]")))


@pytest.mark.parametrize("value", ["../x/*.jsonl", "/x/*.jsonl", "a/../../x", "~/x", "", "a//b", "./x", "a\\b"])
def test_a_glob_stays_below_the_folder_of_its_dataset(tmp_path: Path, value: str) -> None:
    path = _write(tmp_path, ENTRY.replace("  configs: [default]", f"  files: '{value}'"))
    with pytest.raises(CatalogError, match=r"toy\.yaml:8: source\.files: .*must be a glob below the dataset's folder"):
        load_entry(path)


@pytest.mark.parametrize("value", ["../x", "a b", "", "/main", "a//b"])
def test_a_revision_is_a_branch_a_tag_or_a_commit(tmp_path: Path, value: str) -> None:
    path = _write(tmp_path, ENTRY.replace("  configs: [default]", f"  revision: '{value}'"))
    with pytest.raises(CatalogError, match=r"toy\.yaml:8: source\.revision: .*must be a branch, tag or commit"):
        load_entry(path)


def test_a_name_that_no_file_could_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"toy\.yaml:1: name: .*at most 128 characters"):
        load_entry(_write(tmp_path, ENTRY.replace("name: toy", f"name: {'x' * 256}")))
    assert load_entry(_write(tmp_path, ENTRY.replace("name: toy", f"name: {'x' * 128}")))


BEIR = """\
name: toy
title: Toy
stage: finetune
task_type: retrieval
languages: [en]
source:
  hub: org/toy
adapter: beir
columns:
  corpus: {id: _id, text: [title, text]}
  queries: {id: _id, text: text}
  qrels: {query_id: query-id, corpus_id: corpus-id, score: score}
"""


def test_a_beir_entry_has_a_mapping_for_each_role(tmp_path: Path) -> None:
    places = BEIR.replace("{id: _id, text: text}", "{id: _id, text: text, config: queries, files: 'queries.jsonl'}")
    for text in (BEIR, places, BEIR.replace(", score: score", "")):
        assert load_entry(_write(tmp_path, text)).entry.columns["qrels"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "query_id: query-id, corpus_id",
            "query: query-id, corpus",
            [
                "12: columns.qrels: ",
                "['corpus_id', 'query_id'] here",
                "missing: ['corpus_id', 'query_id'], unknown: ['corpus', 'query']",
            ],
        ),
        (
            "{id: _id, text: text}",
            "{_id: _id, text: text}",
            ["11: columns.queries: ", "missing: ['id'], unknown: ['_id']"],
        ),
        (
            "{id: _id, text: [title, text]}",
            "corpus.jsonl",
            ["10: columns.corpus: ", "needs a mapping with the keys ['id', 'text']"],
        ),
        ("{id: _id, text: text}", "{id: _id, text: ''}", ["11: columns.queries.text: ", "must name a column"]),
        ("[title, text]", "[]", ["10: columns.corpus.text: ", "must name a column"]),
        ("[title, text]", "[title, 3]", ["10: columns.corpus.text.1: ", "a path is a text such as", "not 3"]),
        ("text: text}", "text: text, files: ../x}", ["11: columns.queries.files: ", "must be a glob below"]),
        ("text: text}", "text: text, split: a/b}", ["11: columns.queries.split: ", "must be one name"]),
        ("text: text}", "text: text, config: [a]}", ["11: columns.queries.config: "]),
        ("  queries: {id: _id, text: text}\n", "", ["9: columns: ", "missing: ['queries']"]),
    ],
)
def test_a_wrong_key_of_a_beir_role_is_told_with_those_it_wants(
    tmp_path: Path, old: str, new: str, expected: list[str]
) -> None:
    assert old in BEIR
    path = _write(tmp_path, BEIR.replace(old, new))
    with pytest.raises(CatalogError) as caught:
        load_entry(path)
    assert caught.value.message.startswith(f"{path}:{expected[0]}")
    assert all(part in caught.value.message for part in expected[1:]), caught.value.message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (ENTRY + "label_names: &a [x, y]\nnote: *a\n", 14),
        (ENTRY + "note: &a [*a]\n", 13),
        (
            "a: &a [x,x]\n"
            + "".join(f"a{i}: &a{i} [*a{i - 1 if i else ''},*a{i - 1 if i else ''}]\n" for i in range(40)),
            2,
        ),
    ],
)
def test_aliases_are_refused_before_they_multiply(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(CatalogError, match=rf"toy\.yaml:{line}: \*a\w*: aliases are not read in a catalog"):
        load_entry(_write(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    ["note: " + "[" * 20_000, "note: " + "{a: " * 20_000, "note:\n" + "- " * 20_000, "note: " + "[" * 40 + "]" * 40],
)
def test_deep_nesting_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(CatalogError, match=r"toy\.yaml:1[34]: lists and mappings stand in each other 33 deep"):
        load_entry(_write(tmp_path, ENTRY + text))


@pytest.mark.parametrize("value", ["2001-13-45", "9" * 5000, "!!float x", "!!int ''", "!!bool x", "!!timestamp x"])
def test_a_value_that_yaml_itself_cannot_read_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(CatalogError, match=r"toy\.yaml: not a YAML document: "):
        load_entry(_write(tmp_path, ENTRY.replace("title: Toy", f"title: {value}")))


def test_what_is_no_file_or_far_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").mkdir()
    with pytest.raises(CatalogError, match=r"toy\.yaml: cannot be read: Is a directory"):
        load_catalog(str(tmp_path))
    (tmp_path / "toy.yaml").rmdir()
    with pytest.raises(CatalogError, match=r"toy\.yaml: a file of 1,200,\d+ bytes is no entry"):
        load_entry(_write(tmp_path, ENTRY + "# " + "x" * 1_200_000))
