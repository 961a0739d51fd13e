"""The benchmark of the language check, whole, on a few rows of the sample."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import _stage, language
from schemas.languages import declared_languages

ENGLISH = "The harbour master counts the boats every evening before the lamps are lit, number {}."
GERMAN = "Der Hafenmeister zählt jeden Abend die Boote, bevor die Lampen angezündet werden, Nummer {}."


def test_planted_texts_are_counted_for_each_ordered_pair() -> None:
    texts = {"en": [ENGLISH.format(n) for n in range(4)], "de": [GERMAN.format(n) for n in range(3)], "yo": []}
    pairs = language.planted(texts, least=3)
    assert {(p.foreign, p.declared): (p.texts, p.found, p.is_known) for p in pairs} == {
        ("en", "de"): (4, 1.0, True),
        ("en", "yo"): (4, 1.0, False),
        ("de", "en"): (3, 1.0, True),
        ("de", "yo"): (3, 1.0, False),
    }
    assert {p.foreign for p in language.planted(texts, least=4)} == {"en"}


def test_the_peer_takes_what_it_cannot_tell_for_foreign() -> None:
    assert not language.naive(GERMAN, declared_languages(("de",)))
    assert language.naive(GERMAN, declared_languages(("en",)))
    assert language.naive("12 345", declared_languages(("de",)))


def test_lost_rows_are_given_worst_dataset_first(tmp_path: Path) -> None:
    said = [("a", "WRONG_LANGUAGE", "x"), ("b", "WRONG_LANGUAGE", "y"), ("b", "WRONG_LANGUAGE", "x"), ("c", "TIE", "z")]
    columns = {"dataset": [n for n, _, _ in said], "reason": [r for _, r, _ in said], "detail": [d for _, _, d in said]}
    pq.write_table(pa.table(columns | {"query": ["q"] * 4, "positives": [["p"]] * 4}), tmp_path / "rows.parquet")
    found = [(row["dataset"], row["detail"]) for row in language.lost_rows(str(tmp_path))]
    assert found == [("b", "x"), ("b", "y"), ("a", "x")]


@pytest.mark.slow
def test_datasets_of_the_sample_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_here(module: str, *arguments: str) -> dict[str, Any]:
        assert module == "benchmarks._stage"
        return _stage.main(arguments)

    monkeypatch.setattr(language, "run_module", run_here)
    document = tmp_path / "measured.md"
    document.write_text("<!-- bench:language -->\n<!-- /bench -->\n", "utf-8")
    flags = ["--category=all-nli,waimai", "--limit=60", "--texts=5", "--sample=5", f"--folder={tmp_path}"]
    assert language.main([*flags, f"--write={document}", f"--rows={tmp_path / 'rows.jsonl'}"]) == 0
    assert all('"dataset"' in line for line in (tmp_path / "rows.jsonl").read_text("utf-8").splitlines())
    out = capsys.readouterr().out
    assert "| all-nli | 60 |" in out
    assert "| waimai | 60 |" in out
    assert document.read_text("utf-8").count("| waimai |") == 1
