"""The tree of keys of a model: sections (models and dataclasses), and in them keys with type, default and meaning."""

import dataclasses
import difflib
import inspect
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo

Path = tuple[str, ...]

#: ``name``, or several, with a colon; what follows up to the next, or to the end of the paragraph.
_NAMES = r"``\w+``(?:, ``\w+``)*"
_NUMPY_MEANING = re.compile(r"^(\w+)\n((?: +\S.*\n?)+)", re.MULTILINE)
_MEANING = re.compile(rf"({_NAMES}):\s(.*?)(?=;?\s{_NAMES}:\s|\n\n|\Z)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key. ``children`` are the keys of a section; a key without any holds a value of type ``kind``."""

    path: Path
    kind: Any
    default: Any
    description: str
    children: Mapping[str, "Key"]

    @property
    def is_section(self) -> bool:
        """Whether the key holds keys."""
        return bool(self.children)

    def leaves(self) -> Iterator["Key"]:
        """All keys at or below this one that hold a value, in the order of their declaration."""
        if not self.children:
            yield self
        for child in self.children.values():
            yield from child.leaves()


@cache
def keys_of(model: Any) -> Key:
    """The root of a model's tree."""
    return _key(model, (), default=model(), description="")


def _key(kind: Any, path: Path, default: Any, description: str) -> Key:
    children = {
        name: _key(_bare(hint), (*path, name), getattr(default, name), _description(hint, kind, name))
        for name, hint in _fields(kind).items()
    }
    return Key(path=path, kind=kind, default=default, description=description, children=children)


def _fields(kind: Any) -> dict[str, Any]:
    if not isinstance(kind, type):
        return {}
    if issubclass(kind, BaseModel):
        return {name: get_type_hints(kind, include_extras=True)[name] for name in kind.model_fields}
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    return {}


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _description(hint: Any, owner: Any, name: str) -> str:
    if isinstance(owner, type) and issubclass(owner, BaseModel) and owner.model_fields[name].description:
        return str(owner.model_fields[name].description)
    told = (item.description for item in get_args(hint)[1:] if isinstance(item, FieldInfo))
    return next((text for text in told if text), "") or _meanings(owner).get(name, "")


@cache
def _meanings(owner: Any) -> dict[str, str]:
    """What a class's docstring, or that of a class above it, says of its fields: ``name``: meaning, in a paragraph."""
    found: dict[str, str] = {}
    for cls in reversed(getattr(owner, "__mro__", ())):
        text = inspect.cleandoc(cls.__doc__ or "") if dataclasses.is_dataclass(cls) else ""
        for names, meaning in [*_MEANING.findall(text), *_NUMPY_MEANING.findall(text)]:
            found |= dict.fromkeys(re.findall(r"\w+", names), " ".join(meaning.split()).rstrip("."))
    return found


def first_sentence(meaning: str) -> str:
    """A meaning on one line of a file: its first sentence."""
    return re.split(r"(?<=\w[.;])\s", meaning, maxsplit=1)[0].rstrip(".;")


def kind_in_words(kind: Any) -> str:
    """A value's type as a person writes it: ``whole number or null``, ``[number, number]``, ``auto or never``."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _or([str(value) for value in arguments])
    if origin in (Union, types.UnionType):
        return _or([kind_in_words(argument) for argument in arguments])
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return f"list of {kind_in_words(arguments[0])}"
        return f"[{', '.join(map(kind_in_words, arguments))}]"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"mapping to {kind_in_words(arguments[1])}"
    if origin is Annotated:
        return kind_in_words(arguments[0])
    names = {bool: "true or false", int: "whole number", float: "number", str: "text", type(None): "null", Any: "any"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def _or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def unknown_key(path: Path, root: Key) -> str:
    """What is said of a key that is not there: the nearest ones, by name or as a whole path, and what is there."""
    parent = root
    for part in path[:-1]:
        parent = parent.children[part]
    word, whole = path[-1], {".".join(leaf.path): leaf.path[-1] for leaf in root.leaves()}
    near = [".".join((*path[:-1], name)) for name in difflib.get_close_matches(word, parent.children, n=2, cutoff=0.6)]
    if not near:
        near = [full for full, leaf in whole.items() if leaf in difflib.get_close_matches(word, [leaf], cutoff=0.8)][:3]
    hint = f"; did you mean {_or(near)}?" if near else ""
    where = f"below {'.'.join(path[:-1])}" if len(path) > 1 else "here"
    return (
        f"unknown key{hint} Known {where}: {', '.join(parent.children)}"
        if hint
        else (f"unknown key; known {where}: {', '.join(parent.children)}")
    )
