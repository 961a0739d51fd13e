import re

import pytest

from schemas.catalog import CatalogEntry, LocatedEntry
from schemas.errors import CatalogError
from transforms.sources.layout import Wanted, absent_line, files_of, find_files, glob_pattern, holdings, wanted_of

COLUMNS = {"query": "q", "positive": "p"}
BEIR = {
    "corpus": {"config": "corpus", "split": "corpus", "id": "_id", "text": "text"},
    "queries": {"config": "queries", "split": "queries", "id": "_id", "text": "text"},
    "qrels": {"config": "default", "split": "train", "query_id": "q", "corpus_id": "c", "score": "s"},
}


def located(columns: object = COLUMNS, adapter: str = "pair", note: str = "", **source: object) -> LocatedEntry:
    entry = CatalogEntry(
        name="toy",
        title="Toy",
        stage="finetune",
        task_type="retrieval",
        languages=("en",),
        source={"hub": "org/toy", **source},
        adapter=adapter,
        columns=columns,
        note=note,
    )
    return LocatedEntry(
        entry=entry, file="catalog/toy.yaml", lines={"source": 6, "source.split": 9, "columns.qrels": 20}
    )


def wanted(config: str = "default", split: str = "train", role: str = "rows", files: str | None = None) -> Wanted:
    return Wanted(role=role, config=config, split=split, files=files, where="catalog/toy.yaml:9")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("want", "path"),
    [
        (wanted("en"), "en/train-00000-of-00001.parquet"),
        (wanted("en"), "en/train-anything.jsonl.gz"),
        (wanted("en"), "en/train.csv"),
        (wanted("en"), "en/train/0000.parquet"),
        (wanted(), "default/train-00000-of-00002.tsv.zst"),
        (wanted(), "train.jsonl"),
        (wanted(), "train-00000-of-00001-a09b74b3ef9c3b56.parquet"),
        (wanted(), "data/train-00000-of-00001.parquet"),
        (wanted(), "train/a.txt"),
        (wanted("corpus", "corpus"), "corpus.jsonl"),
        (wanted("corpus", "corpus"), "corpus/corpus-00000-of-00001.parquet"),
        (wanted(role="qrels"), "qrels/train.tsv"),
    ],
)
def test_where_a_split_may_lie(want: Wanted, path: str) -> None:
    others = ["README.md", "en/test.parquet", "de/train.csv.bak", "default/training.parquet", ".cache/train.jsonl"]
    assert find_files(want, [*others, path]) == [path]


@pytest.mark.parametrize(
    ("want", "path"),
    [
        (wanted("en"), "train.jsonl"),
        (wanted("en"), "de/train.jsonl"),
        (wanted(), "default/validation-00000-of-00001.parquet"),
        (wanted(split="train"), "default/train_small-00000-of-00001.parquet"),
        (wanted(), "default/train-00000-of-00001.zip"),
        (wanted(), ".cache/default/train.jsonl"),
        (wanted(), "default/.train-part.jsonl"),
        (wanted(), "qrels/train.tsv"),
    ],
)
def test_where_it_does_not(want: Wanted, path: str) -> None:
    assert find_files(want, [path]) == []


def test_all_files_of_a_split_in_order_and_in_one_format() -> None:
    paths = ["en/train-b.jsonl", "en/train-a.jsonl.gz", "en/train.csv", "train-c.jsonl"]
    assert find_files(wanted("en"), paths) == ["en/train-a.jsonl.gz", "en/train-b.jsonl"]
    assert find_files(wanted("en"), [*paths, "en/train/9.parquet"]) == ["en/train/9.parquet"]


def test_the_configurations_own_folder_goes_before_all_others() -> None:
    paths = ["train.parquet", "data/train.parquet", "default/train.csv"]
    assert find_files(wanted(), paths) == ["default/train.csv"]
    assert find_files(wanted(), paths[:2]) == ["train.parquet"]


def test_a_glob_goes_before_the_layout_and_falls_back_to_it() -> None:
    paths = ["raw/en.jsonl.gz", "raw/de.jsonl.gz", "en/train.parquet"]
    assert find_files(wanted("en", files="raw/{config}.jsonl*"), paths) == ["raw/en.jsonl.gz"]
    assert find_files(wanted("en", files="missing/*.jsonl"), paths) == ["en/train.parquet"]
    assert find_files(wanted("en", files="*.jsonl.gz"), paths) == ["raw/de.jsonl.gz", "raw/en.jsonl.gz"]


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("*.csv", ["a.csv", "x/y/a.csv"], ["a.csv.gz"]),
        ("data/*.csv", ["data/a.csv"], ["data/x/a.csv", "x/data/a.csv"]),
        ("**/a.csv", ["a.csv", "x/y/a.csv"], ["b.csv", "x/ba.csv"]),
        ("x/**", ["x/a", "x/y/a"], ["y/x/a"]),
        ("a?.[1]+x.csv", ["ab.[1]+x.csv"], ["a/.[1]+x.csv", "ab.1x.csv"]),
    ],
)
def test_globs(glob: str, yes: list[str], no: list[str]) -> None:
    pattern = glob_pattern(glob)
    assert all(pattern.fullmatch(path) for path in yes)
    assert not any(pattern.fullmatch(path) for path in no)


def test_a_configuration_may_be_a_glob() -> None:
    paths = ["en-triplet/train.parquet", "de-triplet/train.parquet", "de-pair/train.parquet", "x-triplet/dev.parquet"]
    found = files_of(wanted("*-triplet"), paths)
    assert [(each.config, path) for each, path in found] == [
        ("de-triplet", "de-triplet/train.parquet"),
        ("en-triplet", "en-triplet/train.parquet"),
    ]
    assert files_of(wanted("*-quadruplet"), paths) == []


def test_entries_want_their_split_of_each_configuration() -> None:
    entry = located(configs=("en", "de"), split="test")
    assert wanted_of(entry) == [wanted("en", "test"), wanted("de", "test")]
    with_files = located(configs=("en", "de"), files="{config}.csv")
    assert [each.files for each in wanted_of(with_files)] == ["{config}.csv"] * 2
    with pytest.raises(CatalogError, match=re.escape("catalog/toy.yaml:6: source.files 'all.csv' gives all 2")):
        wanted_of(located(configs=("en", "de"), files="all.csv"))


def test_beir_wants_three_roles() -> None:
    roles = wanted_of(located(BEIR, "beir"))
    assert [(each.role, each.config, each.split) for each in roles] == [
        ("corpus", "corpus", "corpus"),
        ("queries", "queries", "queries"),
        ("qrels", "default", "train"),
    ]
    assert roles[2].where == "catalog/toy.yaml:20"
    by_files = {role: {"files": f"*{role}*", "id": "i", "text": "t"} for role in BEIR}
    by_files["qrels"] = {"files": "*pairs*", "query_id": "q", "corpus_id": "c"}
    found = [
        find_files(each, ["a-corpus.csv", "queries.csv", "x/pairs.csv"])
        for each in wanted_of(located(by_files, "beir"))
    ]
    assert found == [["a-corpus.csv"], ["queries.csv"], ["x/pairs.csv"]]


def test_what_a_folder_holds_is_said_shortly() -> None:
    paths = ["en/train-00000-of-00002.parquet", "en/train-00001-of-00002.parquet", "qrels/dev.tsv", "README.md"]
    assert holdings(paths) == "en/train (2), qrels/dev"
    assert holdings(["README.md"]).startswith("no data files, only .md (1); files are read that end in .parquet, ")
    assert holdings([f"c{number:02}/train.csv" for number in range(20)]).endswith("c11/train and 8 more")


def test_an_absent_configuration_is_told_with_its_line_what_is_there_and_how_to_get_it() -> None:
    entry = located(access="manual", note="ask the authors; try org/other")
    line = absent_line(entry, wanted("en"), ["de/train.csv"], "sample/datasets/org/toy")
    assert line == (
        "catalog/toy.yaml:9: no files of config en, split train; sample/datasets/org/toy holds de/train"
        " (access: manual; ask the authors; try org/other)"
    )
    assert "access" not in absent_line(located(note="a note"), wanted(), [], "x")


def test_a_missing_split_says_how_to_get_it_and_what_stands_in_for_it_whatever_its_access() -> None:
    told = {"obtain": "sign the form", "substitute": "org/other"}
    manual = absent_line(located(access="manual", note="long documents", **told), wanted(), [], "x")
    assert manual.endswith(" (access: manual; sign the form; substitute: org/other)")
    scripted = absent_line(located(note="long documents", **told), wanted(), [], "x")
    assert scripted.endswith("no data files (sign the form; substitute: org/other)")
