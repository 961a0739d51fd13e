"""What a catalog entry is: where a dataset is read from, how its rows become examples, and what they are for.

The meaning of adapters, column paths and options is defined in ``docs/adapters.md``.
"""

import codecs
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from schemas.names import Glob, HubId, Name, Revision, Slug, checked_glob, checked_name

Columns = str | tuple[str, ...] | dict[str, Any]
#: Which texts must be the same for two rows to be duplicates.
Compare = Literal["query", "positives", "both"]
#: A code of ISO 639 with, perhaps, a script or a country behind it, as in ``zh-Hant``; ``code`` stands for programs.
Language = Annotated[str, Field(pattern=r"^(code|[a-z]{2,3})([-_][A-Za-z0-9]{2,8})*$")]


class TaskType(StrEnum):
    """MTEB's names of task types."""

    RETRIEVAL = "retrieval"
    RERANKING = "reranking"
    STS = "sts"
    PAIR_CLASSIFICATION = "pair_classification"
    CLASSIFICATION = "classification"
    CLUSTERING = "clustering"
    BITEXT_MINING = "bitext_mining"
    SUMMARIZATION = "summarization"


class Stage(StrEnum):
    """The training stage an entry is for; also the first folder of its shards."""

    PRETRAIN = "pretrain"
    FINETUNE = "finetune"


class Adapter(StrEnum):
    """How source rows become examples."""

    PAIR = "pair"
    TRIPLET = "triplet"
    QA_CONTEXT = "qa_context"
    QA_MULTI = "qa_multi"
    NLI = "nli"
    SCORED_PAIR = "scored_pair"
    GRADED = "graded"
    CHOICE = "choice"
    LABELED = "labeled"
    BEIR = "beir"
    BITEXT = "bitext"
    DIALOGUE = "dialogue"


#: For each adapter: the columns it must be given, and those it may be given.
COLUMNS: dict[Adapter, tuple[frozenset[str], frozenset[str]]] = {
    Adapter.PAIR: (frozenset({"positive"}), frozenset({"query"})),
    Adapter.TRIPLET: (frozenset({"query", "positive"}), frozenset({"negative", "instruction"})),
    Adapter.QA_CONTEXT: (frozenset({"question", "context", "answers"}), frozenset()),
    Adapter.QA_MULTI: (frozenset({"question", "answers", "scores"}), frozenset()),
    Adapter.NLI: (frozenset({"premise", "hypothesis", "label"}), frozenset()),
    Adapter.SCORED_PAIR: (frozenset({"text_a", "text_b", "score"}), frozenset()),
    Adapter.GRADED: (frozenset({"query", "candidate", "grade"}), frozenset()),
    Adapter.CHOICE: (frozenset({"query", "choices", "label"}), frozenset()),
    Adapter.LABELED: (frozenset({"text", "label"}), frozenset({"id"})),
    Adapter.BEIR: (frozenset({"corpus", "queries", "qrels"}), frozenset()),
    Adapter.BITEXT: (frozenset({"text_a", "text_b"}), frozenset({"quality"})),
    Adapter.DIALOGUE: (frozenset({"dialogue"}), frozenset({"reference"})),
}
#: Columns that any adapter may be given: a language per row, and columns named for the reader of the entry alone.
COMMON_COLUMNS = frozenset({"language", "extra"})
#: For each role of a ``beir`` entry: the keys it must have, and those it may have.
BEIR_KEYS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "corpus": (frozenset({"id", "text"}), frozenset()),
    "queries": (frozenset({"id", "text"}), frozenset()),
    "qrels": (frozenset({"query_id", "corpus_id"}), frozenset({"score"})),
}
#: Keys of a ``beir`` role that say where it lies, with what each must be.
BEIR_PLACES = {"config": checked_name, "split": checked_name, "files": checked_glob}

#: For each adapter: the options that mean something to it.
OPTIONS: dict[Adapter, frozenset[str]] = {
    Adapter.PAIR: frozenset({"query", "passage"}),
    Adapter.TRIPLET: frozenset({"split_instruction"}),
    Adapter.QA_CONTEXT: frozenset({"context"}),
    Adapter.QA_MULTI: frozenset({"ties"}),
    Adapter.NLI: frozenset({"positive_label", "negative_label"}),
    Adapter.SCORED_PAIR: frozenset({"positive_min", "negative_max"}),
    Adapter.GRADED: frozenset({"positive_grades", "negative_grades"}),
    Adapter.CHOICE: frozenset(),
    Adapter.LABELED: frozenset({"label"}),
    Adapter.BEIR: frozenset({"min_score"}),
    Adapter.BITEXT: frozenset({"min_quality", "directions"}),
    Adapter.DIALOGUE: frozenset({"positive"}),
}


#: Where the positives of a text with a label come from: other texts of its class, or the names of its classes.
LabelledBy = Literal["examples", "names"]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AdapterOptions(_Entry):
    """Options of all adapters; an entry may only set those of its own (``OPTIONS``)."""

    query: Literal["lead"] | None = None
    passage: Literal["lead"] | None = None
    split_instruction: bool = False
    context: Literal["join", "passages"] = "join"
    ties: Literal["drop"] = "drop"
    positive_label: str | None = None
    negative_label: str | None = None
    positive_min: float | dict[str, float] | None = None
    negative_max: float | dict[str, float] | None = None
    positive_grades: tuple[str | int, ...] = ()
    negative_grades: tuple[str | int, ...] = ()
    label: Literal["first_token"] | None = None
    min_score: float = 1
    min_quality: float | None = None
    directions: Literal["by_hash", "forward"] = "forward"
    positive: Literal["reference"] | None = None
    records: str | None = None


class CsvDialect(_Entry):
    """How the fields of CSV and TSV files are told apart, where that is not as their standards have it.

    ``delimiter``: the character between two fields, or ``whitespace`` for any run of blanks and tabs (default: a comma
    in CSV, a tab in TSV). ``quotes``: whether fields may stand in marks, in which delimiters and line ends are text
    (default: in CSV yes, in TSV no). ``quote``: that mark. ``escape``: a character that makes a mark, or itself, behind
    it text, as in ``\\"``; by default a mark is text where it stands twice. ``skip_blank``: blanks behind a delimiter
    are no text.
    """

    delimiter: Annotated[str, Field(pattern=r"^([^\r\n]|whitespace)$")] | None = None
    quotes: bool | None = None
    quote: Annotated[str, Field(pattern=r"^[^\r\n]$")] = '"'
    escape: Annotated[str, Field(pattern=r"^[^\r\n]$")] | None = None
    skip_blank: bool = False

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        characters = [character for character in (self.delimiter, self.quote, self.escape) if character is not None]
        if len(set(characters)) < len(characters):
            raise ValueError(f"delimiter, quote and escape must be three different characters; got {characters}")
        if self.delimiter == "whitespace" and self.quotes:
            raise ValueError("fields that white space separates cannot stand in quotes: leave `quotes` out")
        return self


class SourceSpec(_Entry):
    """Where an entry's rows lie. ``hub`` is the dataset's id on the hub; without one the entry's name names its
    folder. ``encoding``: that of its text files (``cp1252``, ``utf-16-le``, any that Python knows), where it is not
    UTF-8 and no byte order mark says so. ``csv``: how its CSV and TSV files are written, where that is not as usual.
    """

    hub: HubId | None = None
    revision: Revision | None = None
    configs: tuple[Name, ...] = Field(("default",), min_length=1)
    split: Name = "train"
    files: Glob | None = Field(None, description="glob below the dataset's folder; may hold {config} and {split}")
    encoding: str | None = None
    csv: CsvDialect = CsvDialect()
    access: Literal["open_files", "open_raw_script", "git", "http_file", "manual", "manual_or_hf_copy"] = "open_files"
    obtain: str | None = Field(None, description="what a person must do to get the files, and where they go")
    substitute: str | None = Field(None, description="what can be used where that is not possible")

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str | None) -> str | None:
        try:
            if encoding is not None and not codecs.lookup(encoding)._is_text_encoding:
                raise LookupError
        except LookupError:
            raise ValueError(f"{encoding!r} is no encoding of text; such are cp1252, latin-1, utf-16-le") from None
        return encoding


class CatalogEntry(_Entry):
    """One dataset of the catalog: one YAML file."""

    name: Slug
    title: str
    stage: Stage
    task_type: TaskType
    languages: tuple[Language, ...] = Field(min_length=1)
    source: SourceSpec
    adapter: Adapter
    config_languages: dict[str, Language] = Field(default_factory=dict)
    columns: dict[str, Columns]
    options: AdapterOptions = AdapterOptions()
    label_names: tuple[str, ...] | None = None
    labelled_by: LabelledBy | None = None
    score_range: tuple[float, float] | dict[str, tuple[float, float]] | None = None
    instruction: str | None = None
    symmetric: bool = False
    licence: str | None = None
    licence_class: Literal["permissive", "noncommercial", "other", "unknown"] = "unknown"
    rows: PositiveInt | None = None
    priority: int = 0
    compare: Compare | None = None
    cap: PositiveInt | None = None
    evidence: Literal["verified", "strong", "inferred"] = "inferred"
    note: str = ""

    @field_validator("config_languages")
    @classmethod
    def _names_configs(cls, languages: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        source = info.data.get("source")
        if source is None or info.data.get("adapter") in (None, Adapter.BEIR):
            return languages  # of a wrong entry the other mistake is told; the roles of beir have configurations too
        unknown = [name for name in languages if not any(fnmatchcase(name, known) for known in source.configs)]
        if unknown:
            raise ValueError(
                f"{', '.join(unknown)}: no such configuration; the entry's are {', '.join(source.configs)}"
            )
        return languages

    @model_validator(mode="after")
    def _columns_fit_adapter(self) -> Self:
        required, optional = COLUMNS[self.adapter]
        if self.adapter is Adapter.PAIR and self.options.query != "lead":
            required = required | {"query"}
        missing = required - self.columns.keys()
        unknown = self.columns.keys() - required - optional - COMMON_COLUMNS
        if missing or unknown:
            allowed = sorted(optional | COMMON_COLUMNS)
            raise _mistake(
                "columns",
                f"adapter {self.adapter} needs columns {sorted(required)} and may have {allowed}; "
                f"missing: {sorted(missing) or 'none'}, unknown: {sorted(unknown) or 'none'}",
            )
        return self

    @model_validator(mode="after")
    def _columns_are_paths(self) -> Self:
        for key, spec in self.columns.items():
            if self.adapter is Adapter.BEIR and key in BEIR_KEYS:
                _check_role(key, spec)
            elif key != "extra":
                _check_paths(f"columns.{key}", spec)
        return self

    @model_validator(mode="after")
    def _options_fit_adapter(self) -> Self:
        unknown = self.options.model_fields_set - OPTIONS[self.adapter] - {"records"}
        if unknown:
            known = sorted(OPTIONS[self.adapter] | {"records"})
            raise _mistake("options", f"adapter {self.adapter} knows the options {known}, not {sorted(unknown)}")
        return self

    @model_validator(mode="after")
    def _compares_what_rows_have(self) -> Self:
        if self.adapter is Adapter.LABELED and self.compare is not None:
            raise _mistake("compare", "compare is for rows with positives; labelled rows have one text: leave it out")
        return self

    @model_validator(mode="after")
    def _labelled_by_what_rows_have(self) -> Self:
        if self.labelled_by is not None and self.adapter is not Adapter.LABELED:
            raise _mistake("labelled_by", f"labelled_by is for adapter labeled, not {self.adapter}: leave it out")
        return self

    @property
    def folder(self) -> str:
        """The dataset's folder below ``datasets/`` in hub layout: the hub id, or the entry's name where there is
        none.
        """
        return self.source.hub or self.name

    def language_of(self, config: str) -> str:
        """The language of a configuration's rows, or empty where the entry declares several and does not say which."""
        return self.config_languages.get(config, self.languages[0] if len(self.languages) == 1 else "")


def _mistake(key: str, message: str) -> PydanticCustomError:
    """What is wrong with an entry as a whole, told at the line of the key that is to be mended."""
    return PydanticCustomError("entry", "{message}", {"message": message, "key": key})


def _check_role(role: str, spec: Any) -> None:
    """Refuse a role of a ``beir`` entry without the keys that it needs, or with others."""
    required, optional = BEIR_KEYS[role]
    keys = spec.keys() if isinstance(spec, dict) else set()
    missing, unknown = required - keys, keys - required - optional - BEIR_PLACES.keys()
    if not isinstance(spec, dict) or missing or unknown:
        may = sorted(optional | BEIR_PLACES.keys())
        raise _mistake(
            f"columns.{role}",
            f"adapter beir needs a mapping with the keys {sorted(required)} here, and {may} where they are wanted; "
            f"missing: {sorted(missing) or 'none'}, unknown: {sorted(unknown) or 'none'}",
        )
    for key, value in spec.items():
        _check_paths(f"columns.{role}.{key}", value)
        try:
            BEIR_PLACES.get(key, str)(value)
        except (ValueError, TypeError, AttributeError) as error:
            raise _mistake(f"columns.{role}.{key}", str(error)) from error


def _check_paths(key: str, spec: Any) -> None:
    """Refuse what names no column: a path is a text, and lists and mappings of paths are not empty."""
    if not isinstance(spec, str | list | tuple | dict):
        raise _mistake(key, f"a path is a text such as 'title' or 'answers.text[]', not {spec!r}")
    if not spec:
        raise _mistake(key, "must name a column, or several in a list or a mapping; here is none")
    if not isinstance(spec, str):
        for name, value in spec.items() if isinstance(spec, dict) else enumerate(spec):
            _check_paths(f"{key}.{name}", value)


class LocatedEntry(_Entry):
    """An entry together with the file and the lines that declare it, so that an error can name the line to mend."""

    entry: CatalogEntry
    file: str
    lines: dict[str, int] = Field(default_factory=dict)

    def where(self, *key: str) -> str:
        """``file:line`` of a key such as ``("columns", "query")``, or of the nearest key above it that has a line."""
        for length in range(len(key), 0, -1):
            line = self.lines.get(".".join(key[:length]))
            if line is not None:
                return f"{self.file}:{line}"
        return self.file
