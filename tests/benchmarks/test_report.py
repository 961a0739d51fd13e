"""Measurements as Markdown, and the block of a document that they fill."""

from pathlib import Path

import pytest

from benchmarks._report import fill, machine, table, versions


def test_a_table_has_a_rule_below_its_header_and_one_line_for_each_row() -> None:
    assert table(("stage", "seconds"), [("embed", "1.0"), ("mine", "2.0")]).splitlines() == [
        "| stage | seconds |",
        "| --- | ---: |",
        "| embed | 1.0 |",
        "| mine | 2.0 |",
    ]


def test_the_machine_is_told_by_cores_memory_and_load() -> None:
    words = machine()
    assert int(words.split()[0]) >= 1
    assert " GiB, load " in words


def test_versions_leave_out_what_is_not_installed() -> None:
    told = versions(["pyarrow", "no-such-library"])
    assert "pyarrow " in told
    assert "no-such-library" not in told


def test_filling_a_block_keeps_what_is_around_it_and_can_be_done_again(tmp_path: Path) -> None:
    document = tmp_path / "measured.md"
    document.write_text(
        "before\n<!-- bench:a -->\nold\n<!-- /bench -->\nbetween <!-- bench:b -->x<!-- /bench -->\n", "utf-8"
    )
    for text in ("new\nlines", "newer"):
        fill(document, "a", text)
        assert document.read_text("utf-8") == (
            f"before\n<!-- bench:a -->\n{text}\n<!-- /bench -->\nbetween <!-- bench:b -->x<!-- /bench -->\n"
        )


@pytest.mark.parametrize("text", ["", "<!-- bench:a -->", "<!-- bench:a --><!-- bench:a --><!-- /bench -->"])
def test_a_document_without_the_block_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    document = tmp_path / "measured.md"
    document.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"must hold <!-- bench:a --> once"):
        fill(document, "a", "new")
    assert document.read_text("utf-8") == text
