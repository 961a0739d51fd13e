"""Why a row was rejected. Each name states a fact about the row, and a run counts every one of them."""

from enum import StrEnum


class RejectReason(StrEnum):
    """Reject reasons in the order in which the steps of a run may give them."""

    # reading
    MALFORMED_ROW = "MALFORMED_ROW"
    INVALID_UTF8 = "INVALID_UTF8"
    WRONG_TYPE = "WRONG_TYPE"
    # adapters
    EMPTY_QUERY = "EMPTY_QUERY"
    EMPTY_POSITIVE = "EMPTY_POSITIVE"
    NO_LEAD = "NO_LEAD"
    UNANSWERABLE = "UNANSWERABLE"
    ANSWER_NOT_IN_CONTEXT = "ANSWER_NOT_IN_CONTEXT"
    TIE = "TIE"
    NO_POSITIVE = "NO_POSITIVE"
    NEUTRAL = "NEUTRAL"
    UNLABELLED = "UNLABELLED"
    BELOW_THRESHOLD = "BELOW_THRESHOLD"
    UNUSED_GRADE = "UNUSED_GRADE"
    DANGLING_ID = "DANGLING_ID"
    LOW_QUALITY = "LOW_QUALITY"
    NO_TURN = "NO_TURN"
    # filters
    TOO_SHORT = "TOO_SHORT"
    TOO_LONG = "TOO_LONG"
    REPETITIVE = "REPETITIVE"
    QUERY_IS_POSITIVE = "QUERY_IS_POSITIVE"
    WRONG_LANGUAGE = "WRONG_LANGUAGE"
    # deduplication and decontamination
    CONFLICTING_LABEL = "CONFLICTING_LABEL"
    EXACT_DUPLICATE = "EXACT_DUPLICATE"
    NEAR_DUPLICATE = "NEAR_DUPLICATE"
    PUBLISHED_DUPLICATE = "PUBLISHED_DUPLICATE"
    LEAKED_EVALUATION = "LEAKED_EVALUATION"
    CAPPED = "CAPPED"
    # mining
    UNREADABLE_TEXT = "UNREADABLE_TEXT"
    INCONSISTENT = "INCONSISTENT"
    LONELY_LABEL = "LONELY_LABEL"


DESCRIPTIONS: dict[RejectReason, str] = {
    RejectReason.MALFORMED_ROW: "the source line is not a row of its format (broken JSON, a field too few or too many)",
    RejectReason.INVALID_UTF8: "the source line is not valid UTF-8",
    RejectReason.WRONG_TYPE: "a mapped field of this row holds something other than text where text is wanted",
    RejectReason.EMPTY_QUERY: "the query is null or empty after normalisation",
    RejectReason.EMPTY_POSITIVE: "no positive is left that is not null or empty after normalisation",
    RejectReason.NO_LEAD: "the text has no first line or sentence of the wanted length to serve as the query",
    RejectReason.UNANSWERABLE: "the question has no answer",
    RejectReason.ANSWER_NOT_IN_CONTEXT: "no context passage holds an answer",
    RejectReason.TIE: "the answers have equal scores",
    RejectReason.NO_POSITIVE: "the row's group has no positive",
    RejectReason.NEUTRAL: "a neutral hypothesis of a premise that has an entailed one",
    RejectReason.UNLABELLED: "the label is missing or -1",
    RejectReason.BELOW_THRESHOLD: "the score makes the pair neither a positive nor a usable negative",
    RejectReason.UNUSED_GRADE: "the grade is neither among the positive nor the negative grades",
    RejectReason.DANGLING_ID: "a judged query or passage is not in the source",
    RejectReason.LOW_QUALITY: "the quality score of the parallel pair is below the minimum",
    RejectReason.NO_TURN: "the dialogue has no user turn followed by an answer",
    RejectReason.TOO_SHORT: "a text is shorter than the minimum",
    RejectReason.TOO_LONG: "a text is longer than the maximum",
    RejectReason.REPETITIVE: "a text consists of a few characters or words over and over",
    RejectReason.QUERY_IS_POSITIVE: "the query equals its only positive",
    RejectReason.WRONG_LANGUAGE: "both language models say, with confidence, an undeclared language",
    RejectReason.CONFLICTING_LABEL: "the same text stands in the dataset with another label or score",
    RejectReason.EXACT_DUPLICATE: "another row has the same texts after normalisation for matching",
    RejectReason.NEAR_DUPLICATE: "another row's texts have a verified Jaccard similarity above the threshold",
    RejectReason.PUBLISHED_DUPLICATE: "a row that was published before has the same texts, or nearly",
    RejectReason.LEAKED_EVALUATION: "the row holds a query of an evaluation set",
    RejectReason.CAPPED: "the dataset has more rows than its cap",
    RejectReason.UNREADABLE_TEXT: "the teacher cannot read a text of the row: its tokenizer raises or ends with it, "
    "or it has none of its words",
    RejectReason.INCONSISTENT: "the teacher ranks the positive below the consistency rank",
    RejectReason.LONELY_LABEL: "no other text of the dataset has this label, so there is no positive",
}

#: The same in two to five words, for a column of a table: ``35 score too low``.
WORDS: dict[RejectReason, str] = {
    RejectReason.MALFORMED_ROW: "not a row of the format",
    RejectReason.INVALID_UTF8: "not UTF-8",
    RejectReason.WRONG_TYPE: "no text where one belongs",
    RejectReason.EMPTY_QUERY: "empty query",
    RejectReason.EMPTY_POSITIVE: "empty positive",
    RejectReason.NO_LEAD: "no first line for a query",
    RejectReason.UNANSWERABLE: "question without answer",
    RejectReason.ANSWER_NOT_IN_CONTEXT: "answer not in the passages",
    RejectReason.TIE: "answers of equal score",
    RejectReason.NO_POSITIVE: "query without a positive",
    RejectReason.NEUTRAL: "neutral hypothesis",
    RejectReason.UNLABELLED: "no label",
    RejectReason.BELOW_THRESHOLD: "score too low",
    RejectReason.UNUSED_GRADE: "grade of no use",
    RejectReason.DANGLING_ID: "judged text not there",
    RejectReason.LOW_QUALITY: "poor translation",
    RejectReason.NO_TURN: "dialogue without an answer",
    RejectReason.TOO_SHORT: "too short",
    RejectReason.TOO_LONG: "too long",
    RejectReason.REPETITIVE: "repetitive",
    RejectReason.QUERY_IS_POSITIVE: "query equals its positive",
    RejectReason.WRONG_LANGUAGE: "wrong language",
    RejectReason.CONFLICTING_LABEL: "same text, other label",
    RejectReason.EXACT_DUPLICATE: "duplicate",
    RejectReason.NEAR_DUPLICATE: "near-duplicate",
    RejectReason.PUBLISHED_DUPLICATE: "published before",
    RejectReason.LEAKED_EVALUATION: "holds an evaluation query",
    RejectReason.CAPPED: "beyond the cap",
    RejectReason.UNREADABLE_TEXT: "text the teacher cannot read",
    RejectReason.INCONSISTENT: "positive ranked too low",
    RejectReason.LONELY_LABEL: "only text of its label",
}


def words_of(reason: str | None) -> str:
    """A reason in a few words; one that this version does not know is spelt out."""
    known = next((words for name, words in WORDS.items() if name == reason), None)
    return known or (reason or "").lower().replace("_", " ")
