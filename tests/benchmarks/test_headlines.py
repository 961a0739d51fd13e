"""The README's numbers are those of docs/measured.md."""

from pathlib import Path

import pytest

from benchmarks._report import block
from benchmarks.headlines import HEADER, curation, headlines, main

ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "docs" / "measured.md"


def test_the_readme_says_what_was_measured() -> None:
    written = block((ROOT / "README.md").read_text("utf-8"), "headlines")
    assert written == headlines(MEASURED.read_text("utf-8")), "python -m benchmarks.headlines --write=README.md"


def test_the_readme_says_what_each_step_is_worth() -> None:
    written = block((ROOT / "README.md").read_text("utf-8"), "curation")
    assert written == curation(MEASURED.read_text("utf-8")), "python -m benchmarks.headlines --write=README.md"
    assert [line.split(" | ")[0] for line in written.splitlines()[2:5]] == ["| untrained", "| raw rows", "| + cleaning"]


def test_a_column_of_the_arms_that_is_missing_is_told() -> None:
    with pytest.raises(ValueError, match="no column 'mean of unseen': measure again"):
        curation(MEASURED.read_text("utf-8").replace("mean of unseen", "mean"))


def test_the_table_is_small_and_whole() -> None:
    header, _, *rows = [line.strip("| ").split(" | ") for line in headlines(MEASURED.read_text("utf-8")).splitlines()]
    assert tuple(header) == HEADER
    assert 3 <= len(rows) <= 8
    assert all("**" in row[1] for row in rows)


def test_a_number_that_changes_there_changes_here(tmp_path: Path) -> None:
    measured, readme = tmp_path / "measured.md", tmp_path / "README.md"
    measured.write_text(MEASURED.read_text("utf-8").replace("langdetect alone: ", "langdetect alone: 9"), "utf-8")
    readme.write_text("<!-- bench:headlines -->\n<!-- /bench -->\n<!-- bench:curation -->\n<!-- /bench -->\n", "utf-8")
    assert main([f"--measured={measured}", f"--write={readme}"]) == 0
    assert "langdetect 9" in readme.read_text("utf-8")


@pytest.mark.parametrize(("gone", "told"), [("| **prepare** |", r"\*\*prepare\*\*"), ("are found (recall)", "recall")])
def test_what_the_blocks_do_not_say_is_told(gone: str, told: str) -> None:
    with pytest.raises(ValueError, match=f"{told}.*measure again, or mend this script"):
        headlines(MEASURED.read_text("utf-8").replace(gone, ""))


def test_a_block_that_is_missing_is_told() -> None:
    with pytest.raises(ValueError, match="must hold <!-- bench:dedup --> once"):
        headlines("")
