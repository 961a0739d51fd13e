"""A teacher by language, as a person may write it, in one form: ``teacher.by_language.<language>.<key>``.

``by_language: {zh: NAME}`` and ``teacher: {zh: NAME, default: NAME}`` say the same; tags of one language are one key.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.configuration.keys import Key, Path, keys_of, unknown_key
from pipelines.configuration.model import CurationConfig
from schemas.languages import canonical, declared_languages

TEACHER, BY_LANGUAGE, DEFAULT = "teacher", "by_language", "default"
#: A language of the catalog that is none of people.
_CODE = "code"
#: Keys of the plain teacher alone, and why the teacher of one language has none.
_NOT_OF_A_LANGUAGE = {
    BY_LANGUAGE: "stands within the teacher of a language, which has none for others: write it below teacher",
    "languages": "a teacher that is named for a language knows that one: leave this key out",
}


@dataclass
class Written:
    """The section ``teacher`` of one layer in the form above. ``places``: where what stands at a path was written;
    ``mistakes``: paths as they were written, and what is wrong there.
    """

    values: dict[str, Any]
    places: dict[Path, Path] = field(default_factory=dict)
    mistakes: list[tuple[Path, str]] = field(default_factory=list)

    def place(self, path: Path) -> Path:
        """Where a path of a configuration was written, as far as that is another place."""
        known = (path[:n] for n in range(len(path), 0, -1) if path[:n] in self.places)
        found = next(known, None)
        return path if found is None else self.places[found] + path[len(found) :]


def written_out(teacher: Mapping[str, Any]) -> Written:
    """What a layer says below ``teacher``. Keys that are none stay where they are, for whoever looks for these."""
    keys, languages = keys_of(CurationConfig).children[TEACHER].children, teacher.get(BY_LANGUAGE)
    short = {key: value for key, value in teacher.items() if key not in keys and language_of(key)}
    plain = {key: value for key, value in teacher.items() if key not in short and key != DEFAULT}
    found = Written(plain)
    if DEFAULT in teacher:
        _write_default(found, teacher[DEFAULT])
    given: list[tuple[Path, Any, Any]] = [((TEACHER, key), key, value) for key, value in short.items()]
    if isinstance(languages, Mapping):
        given += [((TEACHER, BY_LANGUAGE, key), key, value) for key, value in languages.items()]
    if given:
        found.values[BY_LANGUAGE] = {}
    for place, key, value in given:
        _write_language(found, keys, place, key, value)
    return found


def language_of(key: object) -> str | None:
    """The language that a key stands for, as one code; None where it is no language."""
    if not isinstance(key, str):
        return None
    code = canonical(key)
    return code if code == _CODE or declared_languages((key,)) else None


def _write_default(found: Written, value: Any) -> None:
    place = (TEACHER, DEFAULT)
    for key, inner in _keys_given(found, place, value):
        if key in found.values:
            found.mistakes.append((place, f"says {key}, and teacher.{key} does too: leave one of them out"))
        elif key in _NOT_OF_A_LANGUAGE:
            found.mistakes.append(((*place, key), f"is a key of teacher itself: write teacher.{key}"))
        else:
            found.values[key] = inner
            found.places[TEACHER, key] = (*place, key) if isinstance(value, Mapping) else place


def _write_language(found: Written, keys: Mapping[str, Key], place: Path, key: Any, value: Any) -> None:
    language = language_of(key)
    if language is None:
        found.mistakes.append((tuple(map(str, place)), _no_language(key)))
        return
    new, own = (TEACHER, BY_LANGUAGE, language), found.values[BY_LANGUAGE]
    if language in own:
        before = ".".join(found.places[new])
        found.mistakes.append((place, f"{language} has a teacher at {before} already: leave one of them out"))
        return
    own[language], found.places[new] = {}, place
    for name, inner in _keys_given(found, place, value):
        if name in _NOT_OF_A_LANGUAGE:
            found.mistakes.append(((*place, name), _NOT_OF_A_LANGUAGE[name]))
        elif name not in keys:
            found.mistakes.append(((*place, name), unknown_key((TEACHER, name), keys_of(CurationConfig))))
        own[language][name] = inner
        found.places[(*new, name)] = (*place, name) if isinstance(value, Mapping) else place


def _keys_given(found: Written, place: Path, value: Any) -> Iterator[tuple[str, Any]]:
    """The keys of a teacher that stand at a place: those of a mapping, or its name alone."""
    if isinstance(value, str):
        yield "name", value
    elif isinstance(value, Mapping):
        yield from value.items()
    else:
        found.mistakes.append((place, f"the name of a teacher, or a mapping of its keys, is wanted, not {value!r:.60}"))


def _no_language(key: object) -> str:
    if key == DEFAULT:
        return "is no language: the teacher of all others is teacher.name"
    quoted = "; quote it, so that it is a text" if not isinstance(key, str) else ""
    return f"{key!r} is no language: a key is its code, such as en, zh or pt-BR{quoted}"
