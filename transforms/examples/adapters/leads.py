"""Query and passage from the beginning of a text, for sources without a title (``query: lead``, ``passage: lead``)."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: A lead has at least and at most this many characters.
LEAD_MIN, LEAD_MAX = 10, 200
#: A lead passage has at most this many characters.
PASSAGE_MAX = 2_000

_TEXT = pa.string()
#: Where a sentence ends. A run of marks is looked at once, from its beginning, so that the search stays linear.
_SENTENCE_END = re.compile(
    r"[。！？｡]++[」』”’）)]*+|(?<![.!?…؟।])[.!?…؟।]++[\"'”’)\]]*+(?=\s|$)",
)


def find_lead(text: str) -> tuple[str, str] | None:
    """``(lead, rest)`` of a text, both stripped, or None.

    The lead is the first line where that has 10 to 200 characters and something follows it, else the first sentence
    of the first line under the same conditions. A full stop ends a sentence where white space follows.
    """
    text = text.strip()
    line = text.partition("\n")[0]
    if found := _cut(text, len(line)):
        return found
    sentence = _SENTENCE_END.search(line[: LEAD_MAX + 1])
    return _cut(text, sentence.end()) if sentence else None


def _cut(text: str, end: int) -> tuple[str, str] | None:
    lead, rest = text[:end].strip(), text[end:].strip()
    return (lead, rest) if rest and LEAD_MIN <= len(lead) <= LEAD_MAX else None


def split_leads(texts: pa.StringArray) -> tuple[pa.StringArray, pa.StringArray]:
    """``(leads, rests)`` of many texts (``find_lead``); both null where a text has none."""
    found = [None if text is None else find_lead(text) for text in texts.to_pylist()]
    return pa.array([pair and pair[0] for pair in found], _TEXT), pa.array([pair and pair[1] for pair in found], _TEXT)


def lead_passage(text: str) -> str:
    """The first run of paragraphs (lines) that has at most 2,000 characters.

    Where the first paragraph alone is longer, its first run of sentences; failing that, of words; failing that, the
    first 2,000 characters.
    """
    text = text.strip()
    if len(text) <= PASSAGE_MAX:
        return text
    head = text[: PASSAGE_MAX + 1]
    if (end := head.rfind("\n")) > 0 and head[:end].strip():
        return head[:end].rstrip()
    head = text[:PASSAGE_MAX]
    ends = [match.end() for match in _SENTENCE_END.finditer(head)]
    if ends and ends[-1] == PASSAGE_MAX and not text[PASSAGE_MAX].isspace() and head[-1] in ".!?…":
        ends.pop()
    return head[: ends[-1]] if ends else _words(text)


def _words(text: str) -> str:
    head = text[: PASSAGE_MAX + 1]
    last = max(head.rfind(blank) for blank in (" ", "\t", "\u3000"))
    return head[:last].rstrip() if last > 0 else head[:PASSAGE_MAX]


def lead_passages(texts: pa.StringArray) -> pa.StringArray:
    """``lead_passage`` of many texts; only those that are too long are touched. Nulls stay null."""
    long = pc.fill_null(pc.greater(pc.utf8_length(texts), PASSAGE_MAX), False)
    if not np.any(long.to_numpy(zero_copy_only=False)):
        return texts
    return pc.replace_with_mask(
        texts, long, pa.array([lead_passage(text) for text in texts.filter(long).to_pylist()], _TEXT)
    )
