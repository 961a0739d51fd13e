"""What counts as a leaked evaluation text."""

from dataclasses import dataclass, field

#: RE2, at the beginning of a text, in any case: E5 instruct and its kin, Instructor and BGE (English, Chinese), the
#: prefixes of E5, nomic and EmbeddingGemma.
PROMPT_FRAMES = (
    r"instruct(?:ion)?\s*:.*?\bquery\s*:",
    r"represent (?:this|the) [^:\n]+:",
    r"为这个(?:句子|段落)生成表示以用于检索相关(?:文章|文档|段落)?\s*[:：]",
    r"task:[^|\n]+\|\s*query\s*:",
    r"title:[^|\n]+\|\s*text\s*:",
    r"(?:search_query|search_document|classification|clustering|query|passage)\s*:\s",
)

#: Cost of a slip: an error within a word, two neighbours exchanged, a word split in two or two joined.
SLIP = 0.34


@dataclass(frozen=True, kw_only=True)
class LightEditParams:
    """How much may differ, by the weight w of the lighter text.

    ``exact_weight``: nothing may differ where w is below it. ``short_weight``: one slip or small word may differ where
    w is below it. ``word_weight``: two of these may differ where w is below it, one whole word from there on.
    ``long_share``: so much of w may differ where that is more than one word.

    Another word (1.5) is too much for texts of up to 18 words, another number (2) for texts of up to 24.
    """

    exact_weight: float = 2
    short_weight: float = 3
    word_weight: float = 6
    long_share: float = 1 / 12

    def __post_init__(self) -> None:
        if not 0 <= self.exact_weight <= self.short_weight <= self.word_weight:
            raise ValueError(
                f"exact_weight {self.exact_weight}, short_weight {self.short_weight} and word_weight {self.word_weight}"
                " must not be negative and must rise in this order"
            )
        if not 0 <= self.long_share < 0.5:
            raise ValueError(f"long_share is {self.long_share}, must be at least 0 and below 0.5")

    def allowed(self, weight: float) -> float:
        """The edit distance at which a text of this weight is still the same text."""
        if weight >= self.word_weight:
            return max(1.0, weight * self.long_share)
        if weight < self.short_weight:
            return 0.0 if weight < self.exact_weight else SLIP
        return 2 * SLIP


_WORDS = ("min_embedded_weight", "min_embedded_words", "min_sentence_words", "min_telling_words", "min_closing_weight")


@dataclass(frozen=True, kw_only=True)
class DecontaminateParams:
    """When a text counts as an evaluation query.

    ``min_containment``: share of an evaluation query's n-grams that a text must hold to be judged at all; a typing
    error costs 5 n-grams, a missing word of w letters w + 5. ``max_queries_of_gram``: n-grams that more evaluation
    queries have are no evidence and are left out. ``common_share``: words that this share of the evaluation queries
    have weigh little. ``min_common``: and so many queries at least. ``min_embedded_weight``: an evaluation query that
    weighs so much (words, see ``LightEditParams``) is found inside a longer text too, word for word.
    ``min_embedded_words``: so is one of so many words, however common they are (20 characters in scripts without
    spaces). ``min_sentence_words``: as a sentence of its own (``sentences.sentences_of``) one of so many words is found
    (twice as many characters). ``min_telling_words``: if it has so many that are neither common nor of three letters or
    fewer, by weight: "how are you doing" is anybody's. ``min_closing_weight``: one that weighs so much may begin within
    a sentence as long as it ends it ("I wonder which river ...?"). ``edits``: how much a text may differ from an
    evaluation text. ``frames``: prompts that are taken off the beginning of every text before it is compared (regular
    expressions, RE2).
    """

    min_containment: float = 0.4
    max_queries_of_gram: int = 200
    common_share: float = 0.02
    min_common: int = 20
    min_embedded_weight: float = 6
    min_embedded_words: float = 10
    min_sentence_words: float = 4
    min_telling_words: float = 1
    min_closing_weight: float = 3
    frames: tuple[str, ...] = PROMPT_FRAMES
    edits: LightEditParams = field(default_factory=LightEditParams)

    def __post_init__(self) -> None:
        for name in ("min_containment", "common_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be above 0 and at most 1")
        for name in ("max_queries_of_gram", "min_common", *_WORDS):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, must be above 0")
        if self.frames != PROMPT_FRAMES:
            _check_frames(self.frames)


def _check_frames(frames: tuple[str, ...]) -> None:
    """Raises ValueError where these are no regular expressions of RE2, by which Arrow will look for them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(pa.array([""]), "|".join(frames))
    except pa.ArrowInvalid as error:
        raise ValueError(f"frames: {', '.join(frames)}: {error}; give regular expressions of RE2") from error
