import re
from importlib.resources import files

import pytest

from transforms.cleaning.language_codes import (
    KNOWN_TO_LANGDETECT,
    OVERLOOKED,
    canonical,
    declared_languages,
    own_script,
    script_language,
)


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("en", "en"),
        ("EN-us", "en"),
        ("zh-Hant", "zh"),
        ("zho_Hans", "zh"),
        ("zh-cn", "zh"),
        ("yue", "zh"),
        ("yor_Latn", "yo"),
        ("arb_Arab", "ar"),
        ("arq", "ar"),
        ("pes_Arab", "fa"),
        ("swh_Latn", "sw"),
        ("nb", "no"),
        ("nno_Latn", "no"),
        ("ms", "id"),
        ("gl", "pt"),
        (" de ", "de"),
        ("mul", "mul"),
    ],
)
def test_tags_become_one_code(tag: str, code: str) -> None:
    assert canonical(tag) == code


@pytest.mark.parametrize(
    ("tags", "codes"),
    [
        (("en", "de"), {"en", "de"}),
        (("zh-Hans", "zh-Hant"), {"zh"}),
        (("rw",), {"rw"}),
        (("mul",), set()),
        (("en", "zh", "mul"), set()),
        (("english",), set()),
        (("us",), set()),
        (("",), set()),
        ((), set()),
    ],
)
def test_what_is_no_language_declares_nothing(tags: tuple[str, ...], codes: set[str]) -> None:
    assert declared_languages(tags) == codes


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
