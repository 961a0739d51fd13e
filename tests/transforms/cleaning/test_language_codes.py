import re
from importlib.resources import files

import pytest

from schemas.languages import canonical
from transforms.cleaning.language_codes import (
    KNOWN_TO_LANGDETECT,
    OVERLOOKED,
    own_script,
    script_language,
)


def test_known_languages_are_those_of_langdetect() -> None:
    profiles = [path.name for path in files("langdetect").joinpath("profiles").iterdir() if "." not in path.name]
    assert {canonical(name) for name in profiles if not name.startswith("__")} == KNOWN_TO_LANGDETECT


@pytest.mark.parametrize(
    ("language", "inside", "outside"),
    [
        ("zh", "桥𠀀", "のa"),
        ("ja", "のカ", "桥"),
        ("ko", "광", "桥"),
        ("el", "γ", "g"),
        ("th", "ส", "s"),
        ("am", "አ", "a"),
    ],
)
def test_scripts_of_one_language(language: str, inside: str, outside: str) -> None:
    assert re.findall(f"[{own_script(language)}]", inside + outside) == list(inside)


def test_shared_scripts_tell_nothing() -> None:
    assert [own_script(language) for language in ("en", "ru", "ar", "hi", "yo")] == [None] * 5


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", ""),
        ("harbour", ""),
        ("港口", "zh"),
        ("港口のパン", "ja"),
        ("港口의 빵", "ko"),
        ("γ harbour", ""),
        ("λιμάνι (harbour)", "el"),
        ("ναι γεια ሰላም", "el"),
    ],
)
def test_language_of_a_script(text: str, language: str) -> None:
    assert script_language(text, 0.2) == language


def test_least_share_of_a_script() -> None:
    assert [script_language("港口 harb", least) for least in (0.0, 0.28, 0.29, 1.0)] == ["zh", "zh", "", ""]


def test_what_is_overlooked_is_known() -> None:
    assert {*OVERLOOKED, *OVERLOOKED.values()} <= KNOWN_TO_LANGDETECT
