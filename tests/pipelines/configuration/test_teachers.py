"""A teacher by language: the forms in which it may be written, what is taken over, and what is said of mistakes."""

from pathlib import Path

import pytest

from mining.teacher import TeacherParams
from pipelines.configuration.layers import load
from pipelines.configuration.show import as_file
from schemas.errors import ConfigError


def _file(folder: Path, text: str) -> str:
    path = folder / "curation.yaml"
    path.write_text(text, "utf-8")
    return str(path)


@pytest.mark.parametrize(
    "text",
    [
        "teacher: {en: A, zh: B}",
        "teacher: {en-US: A, zho_Hans: B}",
        "teacher: {by_language: {en: A, zh: B}}",
        "teacher: {by_language: {en: {name: A}}, zh: {name: B}}",
        "teacher: {name: minilm, en: A, zh: B}",
        "teacher: {default: minilm, en: A, zh: B}",
    ],
)
def test_all_forms_say_the_same(tmp_path: Path, text: str) -> None:
    config = load(_file(tmp_path, text), [], {}).config
    assert config.teacher.by_language == {"en": {"name": "A"}, "zh": {"name": "B"}}
    assert config.teacher.name == "minilm"
    shown = _file(tmp_path, as_file(load(_file(tmp_path, text), [], {})))
    assert load(shown, [], {}).config == config


def test_without_one_nothing_is_written_of_it() -> None:
    assert "by_language" not in load(None, [], {}).config.model_dump(mode="json")["teacher"]
    assert load(None, ["teacher.by_language=null"], {}).config == load(None, [], {}).config


def test_a_teacher_of_a_language_takes_over_all_but_its_name_and_dims(tmp_path: Path) -> None:
    text = "teacher:\n  max_tokens: 256\n  dims: 8\n  precision: bfloat16\n  instructions: never\n  languages: fr\n"
    text += "  zh: B\n  de: {name: C, max_tokens: 99, dims: 4, precision: float32}\n"
    found = load(_file(tmp_path, text), [], {}).config.teacher.of_languages
    plain = {"instructions": "never", "max_tokens": 256, "precision": "bfloat16"}
    assert found["zh"].params == TeacherParams(**plain)
    assert found["de"].params == TeacherParams(instructions="never", max_tokens=99, dims=4)
    assert (found["zh"].name, found["zh"].languages) == ("B", None)


def test_settings_hold_over_a_file_language_by_language(tmp_path: Path) -> None:
    name = _file(tmp_path, "teacher:\n  zh: {name: B, max_tokens: 99}\n  default: A\n")
    settings = ["teacher.by_language.zh-CN.max_tokens=128", "teacher.de=C", "teacher.by_language.fr=D"]
    found = load(name, settings, {"teacher": "E"})
    teachers = found.config.teacher.of_languages
    assert {language: (each.name, each.max_tokens) for language, each in teachers.items()} == {
        "zh": ("B", 128),
        "de": ("C", 512),
        "fr": ("D", 512),
    }
    assert found.config.teacher.name == "E"
    assert found.origin(("teacher", "by_language", "zh", "name")) == f"{name}:2"
    assert found.origin(("teacher", "by_language", "de")) == "--set teacher.de"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("teacher:\n  name: A\n  default: B\n", "3: teacher.default: says name, and teacher.name does too"),
        ("teacher:\n  en: A\n  en-US: B\n", "3: teacher.en-US: en has a teacher at teacher.en already"),
        (
            "teacher:\n  zh: A\n  by_language:\n    zh: B\n",
            "4: teacher.by_language.zh: zh has a teacher at teacher.zh already: leave one of them out",
        ),
        ("teacher:\n  by_language:\n    xx: A\n", "3: teacher.by_language.xx: 'xx' is no language: a key is its code"),
        (
            "teacher:\n  by_language:\n    default: A\n",
            "3: teacher.by_language.default: is no language: the teacher of all others is teacher.name",
        ),
        ("teacher:\n  xx: A\n", "2: teacher.xx: unknown key; known below teacher: "),
        ("teacher:\n  zh:\n    nme: A\n", "3: teacher.zh.nme: unknown key; did you mean teacher.name?"),
        (
            "teacher:\n  zh:\n    name: A\n    by_language: {en: B}\n",
            "4: teacher.zh.by_language: stands within the teacher of a language",
        ),
        (
            "teacher:\n  zh:\n    name: A\n    languages: en\n",
            "4: teacher.zh.languages: a teacher that is named for a language knows that one: leave this key out",
        ),
        ("teacher:\n  zh: 5\n", "2: teacher.zh: the name of a teacher, or a mapping of its keys, is wanted, not 5"),
        ("teacher:\n  by_language: 5\n", "2: teacher.by_language: Input should be a valid dictionary (got 5)"),
        (
            "teacher:\n  zh:\n    max_tokens: 99\n",
            "3: teacher.by_language.zh: a teacher of its own needs a name (its path or id)",
        ),
        (
            "teacher:\n  zh:\n    name: A\n    max_tokens: many\n",
            "4: teacher.by_language.zh.max_tokens: Input should be a valid integer",
        ),
        (
            "teacher:\n  zh:\n    name: A\n    max_tokens: 3\n",
            "3: teacher.by_language.zh: max_tokens=3 must be at least 8",
        ),
        ("teacher:\n  default:\n    languages: en\n", "3: teacher.default.languages: is a key of teacher itself"),
    ],
)
def test_a_mistake_is_one_line_that_says_where_it_stands(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(_file(tmp_path, text), [], {})
    (found,) = caught.value.message.split("\n")
    assert found.partition("curation.yaml:")[2].startswith(line)
