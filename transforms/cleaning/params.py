"""How texts are cleaned: thresholds of the filters and of the language check."""

from dataclasses import dataclass, field

MAX_MIN_UNITS = 50


@dataclass(frozen=True, kw_only=True)
class FilterParams:
    """Thresholds of the text filters.

    ``min_query_units``: word units of a query, at least. One word or one Chinese character names a topic and asks for
    nothing; at 2 the cost is that titles of one word (``Paris``) are lost as queries, and 6 % of the queries of a
    search log without blanks. ``min_text_units``: word units of every other text, and of labelled ones (``Refund?`` is
    a whole utterance), at least. At 1 only a few signs without a letter, digit or pictograph are too short.
    ``max_characters``: characters of a text, at most. An encoder reads 512 tokens, about 2,500 characters, so longer
    texts do no harm and only what is no passage any more is refused. The longest genuine passage seen has 35,964
    characters; sets of long documents go beyond 60,000. A row of eight such Chinese texts (3 bytes a character) still
    fits a batch of 4 MiB. ``min_repetitive_characters``: a text is repetitive from so many characters on
    (``length_and_repetition``). ``min_repeats``: a text is repetitive if it says the same thing at least so often in a
    row. ``max_period``: characters of the thing that a repetitive text says again and again, at most.
    """

    min_query_units: int = 2
    min_text_units: int = 1
    max_characters: int = 100_000
    min_repetitive_characters: int = 8
    min_repeats: int = 4
    max_period: int = 100

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = 2 if name == "min_repeats" else 1
            if value < least or (name.endswith("_units") and value > MAX_MIN_UNITS):
                most = f" and at most {MAX_MIN_UNITS}" if name.endswith("_units") else ""
                raise ValueError(f"{name} is {value}; it must be at least {least}{most}")


@dataclass(frozen=True, kw_only=True)
class LanguageParams:
    """Thresholds of the language check, set on 290 splits of public data in 35 languages and on planted sentences.

    ``head``: characters of a text that fastText sees first. ``reach``: characters that it sees of a text that it
    doubts. ``fasttext_declared``: fastText's confidence in the declared languages from which a text passes, its head
    first. ``fasttext_overlooked``: unless it finds a language that it overlooks there (Afrikaans in Dutch) with so much
    or more. ``min_letters``: in fewer letters there is no verdict. ``many_letters``: from so many letters on (and where
    langdetect knows the declared languages) a text is foreign if langdetect finds no declared language in it in any of
    its seven trials, and names a likely one. ``min_ratio``: likely is what fastText finds at least so likely as its
    first choice. ``fasttext_unlikely``: where fastText finds the declared ones less likely than this any language will
    do. ``plain_word``: that is in words of so many letters at most: so are languages found that neither model knows,
    such as Hausa. Names of diseases look like them, but are longer. ``fasttext_few``: in fewer letters both must name
    the same undeclared language, fastText this surely. ``langdetect_few``: and langdetect this surely. ``doubtful``:
    where a declared language is unknown to langdetect, both must name the same language, this surely. ``min_script``:
    share of characters in a declared language's own script from which a text passes without a model; Han counts for
    Chinese where there is no kana or hangul. An abstract full of English terms is Chinese still. ``max_word``: letters
    a word above which there is no verdict (``tsinghuauniversitylibrary`` is of no language). ``max_signs``: share of
    signs above which there is no verdict: 90 % of Python functions have more than 4 % of signs, 0.2 % of sentences.
    ``min_sign_kinds``: if they are of so many kinds or more; ``==== Heading ====`` has many of one kind.
    ``max_figures``: share of digits among letters and digits above which there is no verdict (``Shr 28 cts vs 22
    cts``). ``max_names``: share of words that begin with a capital letter above which there is no verdict (titles full
    of foreign names). ``titled``: a text with more than this share writes all its words so, which says nothing of
    names. ``min_confidence``: what fastText must give the language that langdetect finds in many letters.
    ``fasttext_hardly``: unless it finds the declared ones so unlikely, then any language will do. ``clears``:
    fastText's confidence that another text of the row is in a declared language, from which the row stays.
    ``min_telling_words``: a head with so many words that only a declared language has (``the``, ``which``) passes
    without a model. ``own_script``: where a declared language has a script of its own and is unknown to langdetect, a
    text of ``many_letters`` with a smaller share of it is foreign.
    """

    head: int = 48
    reach: int = 300
    min_letters: int = 20
    many_letters: int = 50
    fasttext_declared: float = 0.6
    fasttext_overlooked: float = 0.015
    fasttext_unlikely: float = 0.3
    min_ratio: float = 0.2
    fasttext_few: float = 0.6
    langdetect_few: float = 0.9
    doubtful: float = 0.7
    min_script: float = 0.2
    max_word: float = 15.0
    plain_word: float = 8.0
    max_signs: float = 0.04
    min_sign_kinds: int = 3
    max_figures: float = 0.15
    max_names: float = 0.6
    titled: float = 0.9
    min_confidence: float = 0.1
    fasttext_hardly: float = 0.1
    clears: float = 0.8
    min_telling_words: int = 2
    own_script: float = 0.05

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, float) and not name.endswith("_word") and not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}; it is a share and must lie in 0..1")
        if not 1 <= self.min_letters <= self.many_letters:
            raise ValueError(f"min_letters {self.min_letters} must lie in 1..many_letters ({self.many_letters})")
        if not self.min_letters <= self.head <= self.reach:
            raise ValueError(f"head {self.head} must lie in min_letters..reach ({self.min_letters}..{self.reach})")


@dataclass(frozen=True, kw_only=True)
class CleanParams:
    """How texts are cleaned.

    ``filters``: length and repetition. ``language``: whether a text is in a language that its entry declares.
    """

    filters: FilterParams = field(default_factory=FilterParams)
    language: LanguageParams = field(default_factory=LanguageParams)
