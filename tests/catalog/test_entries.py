"""The bundled entries: all datasets of the paper's catalog, each with what it takes to get and to read it."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from catalog.loading import BUNDLED, load_catalog, load_entry
from schemas.catalog import Adapter, LocatedEntry
from transforms.examples.adapters import source_columns
from transforms.sources.layout import files_of, wanted_of
from transforms.sources.opening import open_source

CATALOG = Path(__file__).parents[1] / "data" / "catalog.tsv"
PAPER = sorted(path for folder in ("pretrain", "finetune") for path in (BUNDLED / folder).glob("*.yaml"))
#: What no machine fetches: the entry says what a person must do, and what can be used instead.
BY_HAND = ("git", "http_file", "manual", "manual_or_hf_copy")


@pytest.fixture(params=PAPER, ids=lambda path: path.stem)
def located(request: pytest.FixtureRequest) -> LocatedEntry:
    return load_entry(request.param)


def test_the_134_datasets_of_the_paper_have_an_entry_each_with_their_stage_and_task_type() -> None:
    with CATALOG.open(encoding="utf-8", newline="") as file:
        listed = {(row["name"], row["stage"], row["task_type"]) for row in csv.DictReader(file, delimiter="\t")}
    entries = [load_entry(path).entry for path in PAPER]
    assert {(entry.name, entry.stage.value, entry.task_type.value) for entry in entries} == listed
    assert len(entries) == 134


def test_nothing_that_upstream_must_name_is_left_as_a_placeholder(located: LocatedEntry) -> None:
    source = located.entry.source
    for wanted in wanted_of(located):
        assert re.fullmatch(r"[\w.*-]+", wanted.config), wanted
    assert not re.search(r"[<>]|\{(?!config\}|split\})", source.files or "")
    assert source.hub is None or re.fullmatch(r"[\w.-]+/[\w.-]+", source.hub)
    assert source.revision is None or re.fullmatch(r"[0-9a-f]{40}|refs/convert/parquet", source.revision)


def test_every_path_of_the_columns_can_be_read(located: LocatedEntry) -> None:
    for wanted in wanted_of(located):
        columns = source_columns(located, wanted.role, wanted.config)
        assert columns or located.entry.columns["text"] == "line"
        for column, where in columns.items():
            assert re.fullmatch(rf"{located.file}:\d+", where), column


def test_a_language_of_a_configuration_is_one_of_the_entry_and_every_configuration_has_one(
    located: LocatedEntry,
) -> None:
    entry = located.entry
    assert set(entry.config_languages.values()) <= set(entry.languages)
    if entry.config_languages:
        assert set(entry.config_languages) == set(entry.source.configs)
        assert set(entry.config_languages.values()) == set(entry.languages)


def test_what_no_machine_fetches_says_what_to_do_and_what_else_there_is(located: LocatedEntry) -> None:
    source = located.entry.source
    if source.access in BY_HAND or source.hub is None:
        assert source.access in BY_HAND
        assert source.obtain
        assert f"<SOURCE>/datasets/{located.entry.folder}" in source.obtain
        assert source.substitute


def test_a_dataset_that_must_be_fetched_by_hand_is_absent_with_both(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    newsroom = load_catalog()["newsroom"]
    (line,) = open_source(str(tmp_path)).plan(newsroom).absent
    assert line.startswith("catalog/pretrain/newsroom.yaml:")
    assert "fill in the form" in line
    assert "substitute: abisee/cnn_dailymail" in line


def test_thresholds_lie_in_the_range_of_the_scores(located: LocatedEntry) -> None:
    entry = located.entry
    if entry.adapter is not Adapter.SCORED_PAIR:
        return
    for config in entry.source.configs:
        low, high = _of(entry.score_range, config)
        assert low <= _of(entry.options.negative_max, config) < _of(entry.options.positive_min, config) <= high


def _of(value: Any, config: str) -> Any:
    return value.get(config, value.get("*")) if isinstance(value, dict) else value


@pytest.mark.parametrize(
    ("name", "read", "left"),
    [
        ("amazon-reviews", ["raw/review_categories/Books.jsonl"], ["raw/meta_categories/meta_Books.jsonl"]),
        ("cc-news-multilingual", ["zh/part.0.parquet"], ["am/part.0.parquet"]),
        ("mldr", ["mldr-v1.0-ko/train.jsonl.gz"], ["mldr-v1.0-ko/test.jsonl.gz"]),
        ("reddit", ["reddit_title_text_2014.jsonl.gz"], ["reddit_title_text_2021.jsonl.gz"]),
        ("stackexchange", ["law.stackexchange.com.jsonl.gz"], ["physics.stackexchange.com.jsonl.gz"]),
        ("arxiv", ["train_7.jsonl.gz"], ["test_7.jsonl.gz"]),
        ("fever", ["corpus.jsonl", "qrels/train.jsonl", "queries.jsonl"], ["qrels/test.jsonl"]),
        ("reddit-clustering", ["data/reddit/train/askscience.txt"], ["data/reddit/dev/askscience.txt"]),
        ("ccovid-news", ["NCPPolicies_context.tsv", "NCPPolicies_train.tsv"], ["NCPPolicies_test.tsv"]),
        ("nli-zh", ["LCQMC/train/0000.parquet"], ["LCQMC/test/0000.parquet"]),
    ],
)
def test_upstreams_own_names_of_files_are_found(name: str, read: list[str], left: list[str]) -> None:
    found = {file for wanted in wanted_of(load_catalog()[name]) for _, file in files_of(wanted, read + left)}
    assert sorted(found) == read
