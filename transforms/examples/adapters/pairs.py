"""Adapters whose rows already are examples: ``pair``, ``triplet``, ``bitext``."""

import re

import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from schemas.prompt import TEMPLATE
from schemas.reasons import RejectReason
from transforms.examples.adapters.adapted import Adapted, Draft, Refusal, finish
from transforms.examples.adapters.leads import lead_passages, split_leads
from transforms.examples.adapters.source import Source
from transforms.examples.adapters.texts import is_blank

_NULL_TEXT = pa.scalar(None, pa.string())


def adapt_pair(source: Source) -> Adapted:
    """``query, positive``. ``query: lead`` cuts the query off the positive, ``passage: lead`` shortens the positive."""
    options = source.entry.options
    positive = source.text("positive")
    refusals = []
    if options.query == "lead":
        query, rest = split_leads(positive)
        empty = is_blank(positive)
        refusals = [
            Refusal(empty, RejectReason.EMPTY_POSITIVE, "the text is null or blank"),
            Refusal(
                query.is_null(),
                RejectReason.NO_LEAD,
                "no first line or sentence of 10 to 200 characters with text after it",
            ),
        ]
        positive = pc.if_else(query.is_null(), positive, rest)
    else:
        query = source.text("query")
    if options.passage == "lead":
        positive = lead_passages(positive)
    return finish(source, Draft(query=query, positives=positive, refusals=refusals))


def adapt_triplet(source: Source) -> Adapted:
    """``query, positive, negative, instruction``; positives and negatives are a text or a list, taken as given."""
    query = source.text("query")
    instruction = source.text("instruction") if source.has("instruction") else source.constant(None)
    if source.entry.options.split_instruction:
        split, query = split_instructions(query)
        instruction = pc.coalesce(instruction, split)
    return finish(
        source,
        Draft(
            query=query,
            positives=source.texts("positive"),
            negatives=source.texts("negative") if source.has("negative") else None,
            instruction=pc.if_else(is_blank(instruction), _NULL_TEXT, instruction),
        ),
    )


def _instruction_pattern() -> str:
    """The prompt template as a pattern that forgives other white space at its seam."""
    before, between, after = re.split(r"\{instruction\}|\{query\}", TEMPLATE)
    seam = r"\s+".join(re.escape(word) for word in between.split())
    return rf"(?s)^\s*{before.strip()}\s*(?P<instruction>.*?)\s*\n\s*{seam}\s?(?P<query>.*){after}$"


INSTRUCTION_PATTERN = _instruction_pattern()


def split_instructions(queries: pa.StringArray) -> tuple[pa.StringArray, pa.StringArray]:
    """``(instructions, queries)`` of queries that read ``Instruct: X \\n Query: Y``; others stay, without one."""
    found = pc.extract_regex(queries, pattern=INSTRUCTION_PATTERN)
    instructions = pc.struct_field(found, "instruction")
    return instructions, pc.if_else(found.is_valid(), pc.struct_field(found, "query"), queries)


def adapt_bitext(source: Source) -> Adapted:
    """``text_a, text_b, quality``: one text and its translation, in the direction that the row's hash says."""
    first, second = source.text("text_a"), source.text("text_b")
    if source.entry.options.directions == "by_hash":
        turned = turns(first, second)
        first, second = pc.if_else(turned, second, first), pc.if_else(turned, first, second)
    score, refusals = None, []
    if source.has("quality"):
        quality = source.numbers_of("quality")
        score, refusals = (
            quality.values,
            [malformed_number(source, "quality"), *_quality_refusals(source, quality.values)],
        )
    return finish(source, Draft(query=first, positives=second, score=score, refusals=refusals))


def turns(first: pa.StringArray, second: pa.StringArray) -> pa.BooleanArray:
    """Whether a pair of texts is turned round: the lowest bit of the xxh3-64 of both."""
    both = pc.binary_join_element_wise(pc.fill_null(first, ""), pc.fill_null(second, ""), "\x1f").to_pylist()
    return pa.array([bool(xxhash.xxh3_64_intdigest(text.encode()) & 1) for text in both], pa.bool_())


def malformed_number(source: Source, *key: str) -> Refusal:
    """Rows whose number is text that spells none."""
    values, (_, malformed) = source.values(*key), source.numbers_of(*key)
    if not pa.types.is_string(values.type):
        return Refusal(malformed, RejectReason.WRONG_TYPE, "")
    shown = pc.utf8_slice_codeunits(pc.fill_null(values, ""), 0, 80)
    return Refusal(
        malformed, RejectReason.WRONG_TYPE, pc.binary_join_element_wise(f"{key[-1]} is no number: ", shown, "")
    )


def _quality_refusals(source: Source, quality: pa.Array) -> list[Refusal]:
    minimum = source.entry.options.min_quality
    if minimum is None:
        return []
    shown = pc.binary_join_element_wise(
        "quality ", pc.fill_null(pc.cast(quality, pa.string()), "missing"), f", the minimum is {minimum:g}", ""
    )
    return [Refusal(pc.fill_null(pc.less(quality, minimum), True), RejectReason.LOW_QUALITY, shown)]
