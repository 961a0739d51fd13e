"""The manifest: the contract between stages, with the trainer, and for anyone who checks a run from outside."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, field_validator

from schemas.catalog import Compare
from schemas.languages import canonical
from schemas.names import Name
from schemas.prompt import TEMPLATE

VERSION = 1


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


#: What sums of scores have for a cosine of 1.
_COSINE = 32767**2


class MiningCounts(_Record):
    """What mining did to a dataset's rows: whole numbers, all of them sums over rows.

    ``rows``: mined rows that were kept; ``short``, ``none``: those that lack negatives, and that have none though they
    want some; ``missing``: negatives that lack; ``given``, ``mined``, ``random``: negatives by where they come from;
    ``filled``: rows that random ones were drawn for; ``given_over``: given ones that were left out for their number;
    ``dropped``: positives that the consistency filter took. ``refused``: passages that ranked up to the end of a row's
    window and were kept from being negatives, by rule.
    ``near_duplicates``: passages, not rows, that are near-duplicates of another, which alone is searched.

    ``positive_score``, ``negative_score``: sums, at 32767^2 to a cosine of 1, over the rows' first positives and over
    mined negatives. ``labelled``: rows known by their label alone; ``doubtful``: those whose nearest texts are all of
    other labels; ``labelled_mined``, ``nearer``: their mined negatives, and those of them that score above their
    positive.
    ``alike``: labels that differ in case, width or spaces alone (joined by `` | ``), and the rows that have them.
    ``index``: how pool shards were searched that were not searched exactly, with the recall that was measured, and how
    many were.
    """

    rows: NonNegativeInt = 0
    short: NonNegativeInt = 0
    none: NonNegativeInt = 0
    missing: NonNegativeInt = 0
    given: NonNegativeInt = 0
    mined: NonNegativeInt = 0
    random: NonNegativeInt = 0
    filled: NonNegativeInt = 0
    given_over: NonNegativeInt = 0
    dropped: NonNegativeInt = 0
    near_duplicates: NonNegativeInt = 0
    refused: dict[str, NonNegativeInt] = Field(default_factory=dict)
    positive_score: int = 0
    negative_score: int = 0
    labelled: NonNegativeInt = 0
    doubtful: NonNegativeInt = 0
    labelled_mined: NonNegativeInt = 0
    nearer: NonNegativeInt = 0
    alike: dict[str, NonNegativeInt] = Field(default_factory=dict)
    index: dict[str, NonNegativeInt] = Field(default_factory=dict)

    @property
    def hardness(self) -> float | None:
        """The mean score of mined negatives over that of the rows' first positives; None where there are none."""
        if not self.mined or self.positive_score <= 0:
            return None
        return (self.negative_score / self.mined) / (self.positive_score / self.rows)

    @property
    def mean_positive(self) -> float | None:
        """The mean cosine of the rows' first positives; None where there are no rows."""
        return self.positive_score / self.rows / _COSINE if self.rows else None

    @property
    def mean_negative(self) -> float | None:
        """The mean cosine of mined negatives; None where there are none."""
        return self.negative_score / self.mined / _COSINE if self.mined else None

    def plus(self, name: str, number: int) -> "MiningCounts":
        """These numbers and one more; ``refused:<rule>``, ``index:<words>`` and ``alike:<labels as JSON>`` go by what
        they name."""
        kind, _, rest = name.partition(":")
        if not rest:
            return self.model_copy(update={name: getattr(self, name) + number})
        key = " | ".join(json.loads(rest)) if kind == "alike" else rest
        there: dict[str, int] = getattr(self, kind)
        return self.model_copy(update={kind: there | {key: there.get(key, 0) + number}})


class StageCounts(_Record):
    """What became of a dataset's rows in one stage: ``read == kept + merged + sum(rejected)``.

    ``readmitted``: rows that stayed since a person wanted them, by the reason that was overruled; a row that several
    steps would have rejected counts for each. None where there is none.

    ``distinct_texts`` went to the teacher, a text of several datasets counted by the first by name;
    ``truncated_texts`` of them are longer than it reads, so texts that begin alike may have equal vectors (None where
    that is not known of a teacher of the dataset). ``mining``: what mining did to the rows.
    """

    read: NonNegativeInt = 0
    kept: NonNegativeInt = 0
    merged: NonNegativeInt = 0
    rejected: dict[str, NonNegativeInt] = Field(default_factory=dict)
    distinct_texts: NonNegativeInt | None = None
    mining: MiningCounts | None = None
    truncated_texts: NonNegativeInt | None = None
    readmitted: dict[str, NonNegativeInt] | None = None

    @property
    def missing(self) -> int:
        """Rows that were read and are neither kept, merged nor rejected; 0 when the stage balances."""
        return self.read - self.kept - self.merged - sum(self.rejected.values())


class ShardRecord(_Record):
    """One published shard; ``path`` is relative to the folder of the manifest."""

    path: str
    rows: NonNegativeInt
    sha256: str

    @field_validator("path")
    @classmethod
    def _relative(cls, path: str) -> str:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ValueError(f"shard path {path!r} must be relative to the manifest's folder and stay below it")
        return path


class TeacherRecord(_Record):
    """Which model gave the scores: its name, the digest of its files, and its dimensions."""

    name: str
    digest: str
    dims: int


class VectorsRecord(_Record):
    """Where the teacher's vectors of a dataset's texts stand, and under which keys (``schemas.vectors``).

    ``store``: the folder below ``store/`` of the work folder, whose name begins with the teacher's digest and says how
    it was asked; ``dims``: components of a vector. ``query_prompt``, ``passage_prompt``: what the teacher saw before
    the text of a query, and before that of a positive or a negative.
    """

    store: Name
    dims: int
    query_prompt: str
    passage_prompt: str


def languages_in_words(languages: Iterable[str], others: bool) -> str:
    """``zh``, ``de, en and others``."""
    return " and ".join(filter(None, [", ".join(sorted(languages)), "others" if others else ""]))


class _OfLanguages(_Record):
    """Whose rows are a teacher's: those in ``languages`` (codes of ``schemas.languages``), and with ``others`` those in
    languages that no record names and those of which no language is known.
    """

    languages: list[str] = Field(default_factory=list)
    others: bool = False

    @property
    def words(self) -> str:
        """The languages for people."""
        return languages_in_words(self.languages, self.others)


class LanguageTeacherRecord(TeacherRecord, _OfLanguages):
    """One of several teachers of a run, and the languages of its rows."""


class LanguageVectorsRecord(VectorsRecord, _OfLanguages):
    """Where the vectors of one of several teachers stand, and the languages of the rows that it embedded."""


def record_of_language(records: Sequence[VectorsRecord], tag: str) -> VectorsRecord:
    """Which of a dataset's records is that of a row in a language, which the row carries as ``tag``: the only one, that
    which has the language, or that of all others. KeyError where none has.
    """
    if len(records) == 1:
        return records[0]
    code, own = canonical(tag), [record for record in records if isinstance(record, LanguageVectorsRecord)]
    found = [record for record in own if code in record.languages] or [record for record in own if record.others]
    if not found:
        raise KeyError(f"no teacher embedded rows in the language {tag!r}: {', '.join(r.words for r in own)}")
    return found[0]


class CrossEncoderRecord(_Record):
    """Which model refused negatives of a dataset that it takes for answers: its name and the digest of its files."""

    name: str
    digest: str


class OverlapRecord(_Record):
    """What of one evaluation set was found in one training dataset.

    ``exact``, ``contained``, ``edited``: rows that were rejected since they are one of its queries, hold one whole, or
    are one with a light edit; ``queries``: how many different queries that was. ``positives``, ``corpus``: passages of
    its corpus that stand among the positives of the kept rows, and in the corpus that negatives are mined from; these
    are reported and stay.
    """

    evaluation_set: str
    exact: NonNegativeInt = 0
    contained: NonNegativeInt = 0
    edited: NonNegativeInt = 0
    queries: NonNegativeInt = 0
    positives: NonNegativeInt = 0
    corpus: NonNegativeInt = 0

    @property
    def rejected(self) -> int:
        """Rows that were rejected for its queries."""
        return self.exact + self.contained + self.edited


class EvaluationSetRecord(_Record):
    """One evaluation set that was kept out: where it was read from, its queries, and the passages of its corpus."""

    name: str
    source: str
    revision: str | None = None
    queries: NonNegativeInt
    passages: NonNegativeInt = 0


class AlarmRecord(_Record):
    """An alarming loss that a person allowed: the kind of alarm, and the stage and reject reason of the loss.

    ``rows`` of ``of`` rows were lost (all of them, where nothing was kept); ``example``: one of them, its file and row.
    """

    alarm: str
    stage: str
    reason: str | None = None
    rows: NonNegativeInt
    of: NonNegativeInt
    example: str | None = None


class AboutRecord(_Record):
    """What the catalog says of a dataset to those who use it; ``hub``: its id there, where it has one."""

    title: str
    hub: str | None = None
    languages: list[str] = Field(default_factory=list)
    licence: str | None = None
    licence_class: str = "unknown"


class DocumentRecord(_Record):
    """A file beside the manifest that was made from it and from what it names; ``path`` is relative to its folder."""

    path: str
    sha256: str


#: How the folder that a manifest stands in is named among those that were compared with.
OWN_OUT = "OUT"


class AgainstFolder(_Record):
    """Rows of earlier runs that new ones were compared with.

    ``out``: the folder, ``OWN_OUT`` for the manifest's own; ``rows``: how many rows they are; ``datasets``: of each
    dataset a digest of its shards and of what made its rows duplicates; ``digest``: of all of these. ``rejected``: of
    each dataset that rejected rows once they had been compared, and of which these were compared with too, a digest of
    them; ``rejected_rows``: how many they are.
    """

    out: str
    digest: str
    rows: NonNegativeInt
    datasets: dict[str, str]
    rejected_rows: NonNegativeInt = 0
    rejected: dict[str, str] = Field(default_factory=dict)


class AgainstRecord(_Record):
    """What one run compared its rows with besides each other; ``digest`` is how its datasets name it.

    ``priority``: whose rows stayed, ``published`` or as the ``entries`` say.
    """

    digest: str
    priority: str
    folders: list[AgainstFolder]


class DatasetRecord(_Record):
    """One dataset of a run: where it came from, what happened to its rows, and the shards that hold the rest.

    ``compare``, ``priority``: what made two of its rows duplicates, and whose rows survived (the lowest number's).
    ``checked``: the evaluation sets that its rows were compared with; ``overlaps``: those of which anything was found.
    ``training_datasets``: mteb's names of what it is. ``alarms``: alarming losses of its rows, which were allowed.
    ``config``: what held for it, as a configuration says it. ``readmit``: how many rows were to be kept whatever is
    decided about them, and a digest of their ids. ``about``: what its catalog entry says to users. ``cross_encoder``:
    the model that negatives were checked by, if any. ``vectors``: where the teacher's vectors of its texts are; None
    for pre-training data, which has none, and where rows have several teachers: then ``vectors_by_language`` says it of
    each. ``against``: the digest of the ``AgainstRecord`` of what its rows were
    compared with besides those of its run; None for nothing.
    """

    name: str
    stage: str
    task_type: str
    source: str
    revision: str | None
    symmetric: bool
    instruction: str | None
    limited: int | None = None
    compare: Compare = "both"
    priority: int = 0
    stages: dict[str, StageCounts] = Field(default_factory=dict)
    shards: list[ShardRecord] = Field(default_factory=list)
    checked: list[str] = Field(default_factory=list)
    overlaps: list[OverlapRecord] = Field(default_factory=list)
    training_datasets: list[str] = Field(default_factory=list)
    config: dict[str, Any] = Field(default_factory=dict)
    alarms: list[AlarmRecord] = Field(default_factory=list)
    readmit: str | None = None
    about: AboutRecord | None = None
    cross_encoder: CrossEncoderRecord | None = None
    vectors: VectorsRecord | None = None
    vectors_by_language: list[LanguageVectorsRecord] = Field(
        default_factory=list, exclude_if=lambda records: not records
    )
    against: str | None = None

    @property
    def every_vectors(self) -> Sequence[VectorsRecord]:
        """Where the vectors of its texts are, one record for each teacher; none for pre-training data."""
        return self.vectors_by_language or ([self.vectors] if self.vectors else [])

    @property
    def num_rows(self) -> int:
        """Rows in shards."""
        return sum(shard.rows for shard in self.shards)


def rejected_by_set(records: Iterable[DatasetRecord]) -> Counter[str]:
    """Rows that were rejected for the queries of each evaluation set of which anything was found."""
    found: Counter[str] = Counter()
    for overlap in (overlap for record in records for overlap in record.overlaps):
        found[overlap.evaluation_set] += overlap.rejected
    return found


#: How an absent evaluation set is named beside absent datasets.
EVALUATION_PREFIX = "evaluation/"


class AbsentRecord(_Record):
    """A dataset, one of its configurations, or an evaluation set, that was asked for and that the source lacks."""

    name: str
    detail: str


class Manifest(_Record):
    """``<OUT>/manifest.json``, written last. ``teacher``: of the last run; of one with several ``teachers`` names them
    in its place. ``training_datasets`` is what a model card declares, in mteb's names.

    ``documents``: the data card and what else was written beside it. ``generations``: in which order datasets came to
    OUT; those of one run are of one generation, and a dataset keeps it when it is made again. ``against``: what the
    datasets' rows were compared with that was published before.
    """

    version: int = VERSION
    config: dict[str, Any]
    code: str
    libraries: dict[str, str]
    teacher: TeacherRecord | None = None
    teachers: list[LanguageTeacherRecord] = Field(default_factory=list, exclude_if=lambda records: not records)
    prompt_template: str = TEMPLATE
    datasets: list[DatasetRecord] = Field(default_factory=list)
    absent: list[AbsentRecord] = Field(default_factory=list)
    evaluation_sets: list[EvaluationSetRecord] = Field(default_factory=list)
    training_datasets: list[str] = Field(default_factory=list)
    documents: list[DocumentRecord] = Field(default_factory=list)
    generations: dict[str, NonNegativeInt] = Field(default_factory=dict)
    against: list[AgainstRecord] = Field(default_factory=list)

    @property
    def every_teacher(self) -> Sequence[TeacherRecord]:
        """The teachers of the last run."""
        return self.teachers or ([self.teacher] if self.teacher else [])

    def with_rows(self, stage: str | None = None) -> list[DatasetRecord]:
        """The datasets of a training stage (of all, for None) that have rows in shards."""
        return [record for record in self.datasets if record.num_rows and stage in (None, record.stage)]

    def dataset(self, name: str) -> DatasetRecord:
        """The record of one dataset; KeyError names those there are."""
        for record in self.datasets:
            if record.name == name:
                return record
        raise KeyError(
            f"no dataset {name!r} in this manifest; it holds {', '.join(d.name for d in self.datasets) or 'none'}"
        )

    def unbalanced(self) -> list[str]:
        """One line for each stage of a dataset whose counts do not add up; empty for a sound run."""
        return [
            f"{record.name}, {stage}: read {counts.read} = kept {counts.kept} + merged {counts.merged} + rejected "
            f"{sum(counts.rejected.values())} is off by {counts.missing}"
            for record in self.datasets
            for stage, counts in record.stages.items()
            if counts.missing
        ]
