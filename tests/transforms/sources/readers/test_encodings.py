import codecs
from collections import Counter
from pathlib import Path

import pytest

from tests.transforms.sources.readers.files import read, unit_of
from transforms.sources.readers.encodings import guess_encoding

FRENCH = [f"Où est l’école « Saint-Éloi » numéro {number} ? Elle coûte {number} €." for number in range(40)]
SAMPLES = {
    "cp1252": FRENCH,
    "cp1250": [f"Gdzie jest szkoła numer {number}? Szkoła znajduje się obok ratusza." for number in range(40)],
    "cp1251": [f"Где находится школа номер {number}? Она рядом с мэрией." for number in range(40)],
    "gb18030": [f"学校在哪里 {number}？学校在市政厅旁边，步行五分钟。" for number in range(40)],
    "cp932": [f"学校はどこですか {number}？学校は市役所のとなりにあります。" for number in range(40)],
    "cp949": [f"학교는 어디에 있습니까 {number}? 학교는 시청 옆에 있습니다." for number in range(40)],
    "utf-16-le": [f"Where is school {number}? It is next to the town hall." for number in range(40)],
}
MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
}


def lines(texts: list[str]) -> bytes:
    return "".join(f'{{"text": "{text}"}}\n' for text in texts).encode()


@pytest.mark.parametrize("encoding", sorted(MARKS))
@pytest.mark.parametrize("declared", [None, "cp1252"])
@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_a_byte_order_mark_is_obeyed(tmp_path: Path, encoding: str, declared: str | None, ending: str) -> None:
    path = tmp_path / f"train.{ending}"
    path.write_bytes(MARKS[encoding] + lines(FRENCH).decode().encode(encoding))
    rows, broken = read(unit_of(path), "text", encoding=declared)
    assert [row["text"] for row in rows.values()] == FRENCH
    assert not broken


@pytest.mark.parametrize("encoding", sorted(SAMPLES))
@pytest.mark.parametrize("ending", ["csv", "tsv", "txt", "jsonl"])
def test_a_declared_encoding_is_read_and_an_undeclared_one_is_guessed(
    tmp_path: Path, encoding: str, ending: str
) -> None:
    texts = SAMPLES[encoding]
    path = tmp_path / f"train.{ending}"
    name = "line" if ending == "txt" else "text"
    body = lines(texts).decode() if ending == "jsonl" else "".join(f"{text}\n" for text in texts)
    path.write_bytes((body if ending in ("jsonl", "txt") else f"text\n{body}").encode(encoding))
    if ending == "csv":
        path.write_bytes(path.read_bytes().replace(",".encode(encoding), b""))
    rows, broken = read(unit_of(path), name, encoding=encoding)
    assert len(rows) == len(texts)
    assert [row[name].replace(",", "") for row in rows.values()] == [text.replace(",", "") for text in texts]
    assert not broken
    if encoding.startswith("utf-16") and ending != "jsonl":
        return  # its zeros are characters of UTF-8, and the error of the missing column says no more than that
    notes: Counter[str] = Counter()
    _, broken = read(unit_of(path), name, notes=notes)
    (note,) = notes
    assert f"set source.encoding: {encoding}" in note
    assert notes[note] == len(broken) > 30


def test_a_byte_that_the_encoding_does_not_have_costs_its_row(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes(b"caf\xe9\nbad \x81\nfin\n")
    rows, broken = read(unit_of(tmp_path / "train.txt"), "line", encoding="cp1252")
    assert rows == {0: {"line": "café"}, 2: {"line": "fin"}}
    assert broken == {1: "INVALID_UTF8"}


def test_half_a_character_at_the_end_costs_its_row(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes("one\ntwo\n".encode("utf-16-le") + b"x")
    rows, broken = read(unit_of(tmp_path / "train.txt"), "line", encoding="utf-16-le")
    assert (list(rows.values()), broken) == ([{"line": "one"}, {"line": "two"}], {2: "INVALID_UTF8"})


def test_nothing_is_guessed_of_plain_text() -> None:
    assert guess_encoding(b"plain text, and nothing else") is None
