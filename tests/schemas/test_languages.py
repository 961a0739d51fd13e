"""Tags of languages in one form."""

import pytest

from schemas.languages import canonical, declared_languages


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
