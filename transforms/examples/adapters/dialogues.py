"""Adapter ``dialogue``: the first question of a conversation and its answer, or the reference it was made from."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from schemas.reasons import RejectReason
from schemas.rows import TEXTS
from transforms.examples.adapters.adapted import Adapted, Draft, Refusal, finish
from transforms.examples.adapters.source import Source
from transforms.sources.column_paths import PathError

_USERS = ("user", "human", "prompter", "用户", "人类", "提问者", "ユーザー")
_ASSISTANTS = ("assistant", "gpt", "chatgpt", "bot", "chatbot", "ai", "model", "助手", "助理", "机器人", "アシスタント")
_SYSTEMS = ("system", "系统", "システム")
#: Too short, or too common as words, to be tags in brackets.
_BARE_USERS, _BARE_ASSISTANTS = ("q", "问"), ("a", "答")


def _any_of(*names: str) -> str:
    return "|".join(sorted(map(re.escape, names), key=len, reverse=True))


_SPEAKERS = _any_of(*_USERS, *_ASSISTANTS, *_SYSTEMS)
#: ``<User 1>:``, ``[用户]``, ``<assistant 2>(word count: 80)：`` anywhere.
_FRAMED = re.compile(
    rf"[<\[【]\s*({_SPEAKERS})\s*\d*\s*[>\]】]\s*(?:[(（][^()（）\n]{{0,40}}[)）])?\s*[:：]?", re.IGNORECASE
)
#: ``Human:``, ``助手 1：`` at the beginning of a line.
_BARE = re.compile(
    rf"^[^\S\n]*({_SPEAKERS}|{_any_of(*_BARE_USERS, *_BARE_ASSISTANTS)})\s*\d*\s*[:：]",
    re.IGNORECASE | re.MULTILINE,
)
_ROLE_FIELDS = ("role", "from", "speaker")
_CONTENT_FIELDS = ("content", "value", "text")

USER, ASSISTANT, OTHER = "user", "assistant", "other"


class Turn(NamedTuple):
    """One turn: who speaks (``user``, ``assistant`` or ``other``) and what is said."""

    speaker: str
    text: str


def speaker_of(name: str) -> str:
    """Who a speaker's name means; names that are not known are ``other``."""
    folded = name.strip().strip("<>[]【】").rstrip("0123456789 ").casefold()
    if folded in _USERS or folded in _BARE_USERS:
        return USER
    return ASSISTANT if folded in _ASSISTANTS or folded in _BARE_ASSISTANTS else OTHER


def split_turns(dialogue: str) -> list[Turn]:
    """The turns of one text with speaker tags; what stands before the first tag is nobody's.

    Tags in brackets count; where there are none, names with a colon at the beginning of a line.
    """
    tags = list(_FRAMED.finditer(dialogue)) or list(_BARE.finditer(dialogue))
    if not tags:
        return []
    ends = [tag.start() for tag in tags[1:]] + [len(dialogue)]
    return [Turn(speaker_of(tag[1]), dialogue[tag.end() : end].strip()) for tag, end in zip(tags, ends, strict=True)]


def list_turns(turns: Iterable[Any]) -> list[Turn]:
    """The turns of a list: records with a speaker and a text, or texts of which the user says the first, third, ..."""
    found = []
    for number, turn in enumerate(turns):
        if isinstance(turn, Mapping):
            role = next((turn[name] for name in _ROLE_FIELDS if turn.get(name)), "")
            text = next((turn[name] for name in _CONTENT_FIELDS if turn.get(name)), "")
            found.append(Turn(speaker_of(str(role)), str(text).strip()))
        else:
            tagged = split_turns(turn or "")
            found.append(
                tagged[0] if tagged and tagged[0].text else Turn((USER, ASSISTANT)[number % 2], (turn or "").strip())
            )
    return found


def first_exchange(turns: Iterable[Turn]) -> tuple[str | None, str | None]:
    """The first thing that the user says, and the first answer after it; None where there is none."""
    question: str | None = None
    for turn in turns:
        if not turn.text:
            continue
        if question is None and turn.speaker == USER:
            question = turn.text
        elif question is not None and turn.speaker == ASSISTANT:
            return question, turn.text
    return question, None


def adapt_dialogue(source: Source) -> Adapted:
    """``dialogue, reference``: first user turn, and its answer or (option ``positive: reference``) the reference."""
    exchanges = [first_exchange(turns) for turns in _all_turns(source)]
    query = pa.array([question for question, _ in exchanges], pa.string())
    answers = pa.array([[] if answer is None else [answer] for _, answer in exchanges], TEXTS)
    if source.entry.options.positive == "reference":
        refusal = Refusal(query.is_null(), RejectReason.NO_TURN, "the dialogue has no user turn")
        return finish(source, Draft(query=query, positives=_reference(source), refusals=[refusal]))
    missing = pa.array([answer is None for _, answer in exchanges], pa.bool_())
    refusal = Refusal(missing, RejectReason.NO_TURN, "the dialogue has no user turn followed by an answer")
    return finish(source, Draft(query=query, positives=answers, refusals=[refusal]))


def _reference(source: Source) -> pa.StringArray:
    if not source.has("reference"):
        raise source.error(("dialogue",), "option positive: reference needs a column `reference` in the entry")
    return source.text("reference")


def _all_turns(source: Source) -> list[list[Turn]]:
    values = source.checked(("dialogue",), _known_layout, source.values("dialogue"))
    if pa.types.is_list(values.type):
        return [list_turns(turns or []) for turns in values.to_pylist()]
    return [split_turns(dialogue or "") for dialogue in values.to_pylist()]


def _known_layout(values: pa.Array) -> pa.Array:
    """Raise PathError where the column is neither text, nor a list of texts, nor a list of speaker-and-text records."""
    kind = values.type.value_type if pa.types.is_list(values.type) else values.type
    if pa.types.is_string(kind) or pa.types.is_null(kind):
        return values
    is_records = pa.types.is_struct(kind) and pa.types.is_list(values.type)
    names = {field.name for field in kind if pa.types.is_string(field.type)} if is_records else set()
    if names & set(_ROLE_FIELDS) and names & set(_CONTENT_FIELDS):
        return values
    raise PathError(
        f"a dialogue is a text with speaker tags, a list of texts, or a list of records with {'/'.join(_ROLE_FIELDS)} "
        f"and {'/'.join(_CONTENT_FIELDS)}; the column holds {values.type}"
    )
