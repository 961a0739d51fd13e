"""The benchmark of leaks: what it plants, what it takes for ordinary, and the whole of it on rows of the sample."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import _planted, _stage, leaks
from transforms.text.matching import matching_form

ENGLISH = "Which river flows through the old harbour of Antwerp in 1583?"
CHINESE = "长江大桥的第一期工程是在哪一年正式完工的？"
OTHERS = ["How long does it take to charge an electric ferry?", "Who designed the lighthouse at the northern ridge?"]


def query(text: str = ENGLISH, language: str = "en") -> _planted.Query:
    """An evaluation query among others."""
    return _planted.Query(text, language, OTHERS if language == "en" else ["请问北京大学的历任校长都是谁啊？"])


@pytest.mark.parametrize(
    "kind", ["verbatim", "upper, lower, swapped case", "other punctuation and spaces", "full width"]
)
def test_the_form_for_matching_of_these_copies_is_the_same(kind: str) -> None:
    for seed in range(20):
        copy = _planted.PLANTED[kind](query(), random.Random(seed))
        assert copy is not None
        assert matching_form(copy) == matching_form(ENGLISH)


@pytest.mark.parametrize(
    ("kind", "words"),
    [("a typing error", 0), ("a small word more", 1), ("a small word less", -1), ("two words exchanged", 0)],
)
def test_light_edits_change_one_place(kind: str, words: int) -> None:
    for seed in range(20):
        copy = _planted.PLANTED[kind](query(), random.Random(seed))
        assert copy is not None
        assert len(copy.split()) == len(ENGLISH.split()) + words
        changed = set(copy.split()) ^ set(ENGLISH.split())
        assert len(changed) <= 2


@pytest.mark.parametrize("kind", ["a word split", "two words joined"])
def test_only_a_space_is_put_in_or_left_out(kind: str) -> None:
    copy = _planted.PLANTED[kind](query(), random.Random(0))
    assert copy is not None
    assert copy.replace(" ", "") == ENGLISH.replace(" ", "")
    assert abs(len(copy.split()) - len(ENGLISH.split())) == 1


@pytest.mark.parametrize("kind", list(_planted.ORDINARY))
def test_ordinary_rows_are_other_texts(kind: str) -> None:
    for text, language in ((ENGLISH, "en"), (CHINESE, "zh")):
        row = _planted.ORDINARY[kind](query(text, language), random.Random(1))
        assert row is None or matching_form(text) not in matching_form(row)
        assert row is not None or (kind, language) == ("another number", "zh")


def test_chinese_is_edited_between_characters_and_never_inside_a_number() -> None:
    own = query("在1994年IBM公司是谁", "zh")
    assert own.words == ["在", "1994", "年", "IBM", "公", "司", "是", "谁"]
    for kind in ("a typing error", "a small word more"):
        for seed in range(20):
            copy = _planted.PLANTED[kind](own, random.Random(seed))
            assert copy is not None
            assert "1994" in copy
            assert "IBM" in copy
    assert _planted.PLANTED["two words exchanged"](own, random.Random(0)) is None


def test_queries_are_sorted_by_the_language_in_the_name_of_their_set() -> None:
    sets = {"x-de": pa.array(["Wer war das?", "Wer"]), "scifact": pa.array([ENGLISH]), "y": pa.array([ENGLISH, "Who?"])}
    assert leaks.by_language(sets) == {"de": ["Wer war das?"], "en": [ENGLISH]}


def test_genuine_rows_share_a_run_and_do_not_hold_the_query(tmp_path: Path) -> None:
    texts = [
        "which river flows through the old town",
        f"Tell me: {ENGLISH.lower()}",
        "Which river flows through Antwerp?",
        "a row of nothing",
    ]
    rows = pa.table({"query": texts, "positives": [["flows, through the old harbour"], [], [], [OTHERS[0]]]})
    pq.write_table(rows, tmp_path / "rows.parquet")
    found = dict(leaks.genuine(tmp_path, {"en": [ENGLISH, OTHERS[0]], "zh": [CHINESE]}, wanted=10))
    assert {language: sorted(own) for language, own in found.items()} == {
        "en": ["flows, through the old harbour", "which river flows through the old town"],
        "zh": [],
    }
    assert len(dict(leaks.genuine(tmp_path, {"en": [ENGLISH]}, wanted=1))["en"]) == 1


def test_notes_count_all_lines_together() -> None:
    planted = [leaks.Line("verbatim", "en", 90, 90), leaks.Line("a typing error", "en", 10, 8)]
    (note,) = leaks.notes_on(planted, [leaks.Line("another number", "en", 50, 2)])
    assert "Of 100 copies 0.9800 are found (recall); of 100 rows that were found 0.9800 are copies" in note
    assert "Of 50 ordinary rows 0.9600 are kept." in note


def test_a_folder_without_sets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no <set>/queries\.parquet below"):
        leaks.read_sets(tmp_path)


@pytest.mark.slow
def test_the_sample_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_here(module: str, *arguments: str) -> dict[str, Any]:
        assert module == "benchmarks._stage"
        return _stage.main(arguments)

    monkeypatch.setattr(leaks, "run_module", run_here)
    for name, texts in (("a", [ENGLISH, *OTHERS]), ("b-zh", [CHINESE])):
        (tmp_path / "eval" / name).mkdir(parents=True)
        pq.write_table(
            pa.table({"_id": list(map(str, texts)), "text": texts}), tmp_path / "eval" / name / "queries.parquet"
        )
    document = tmp_path / "measured.md"
    document.write_text("<!-- bench:leaks -->\n<!-- /bench -->\n", "utf-8")
    flags = [f"--evaluation={tmp_path / 'eval'}", "--category=waimai", f"--folder={tmp_path}", f"--write={document}"]
    assert leaks.main(flags) == 0
    out = capsys.readouterr().out
    assert "| verbatim | en | 3 | 1.0000 |" in out
    assert "| verbatim | zh | 1 | 1.0000 |" in out
    assert "Evaluation sets: a (3), b-zh (1)." in out
    assert document.read_text("utf-8").count("| verbatim | en |") == 1
