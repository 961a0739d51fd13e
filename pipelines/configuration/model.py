"""The keys of a configuration: each step's parameters as they stand beside its algorithm, nothing declared twice."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, RootModel

from mining.params import MiningParams
from mining.teacher import BUNDLED, TeacherParams
from schemas.catalog import Compare, LabelledBy
from schemas.config import Selection
from transforms.cleaning.params import CleanParams
from transforms.duplicates.params import AgainstParams, NearDuplicateParams
from transforms.keeping.params import AlarmParams
from transforms.leaks.params import DecontaminateParams
from transforms.sources.params import ReadingParams


@dataclass(frozen=True, kw_only=True)
class TeacherChoice(TeacherParams):
    """Which teacher, and how it is asked."""

    name: Annotated[str, Field(description="minilm (bundled) or a sentence-transformers model's path or id")] = BUNDLED
    languages: Annotated[
        str | None,
        Field(description="languages that the teacher knows, with commas; null: en for minilm, all for others"),
    ] = None
    by_language: Annotated[
        dict[str, dict[str, Any]] | None,
        Field(
            description="languages with a teacher of their own, by code; a value is its name, or a mapping of this "
            "section's keys, of which all but dims are taken over where they are left out",
            exclude_if=lambda given: given is None,
        ),
    ] = None

    @property
    def params(self) -> TeacherParams:
        """How it is asked, without its name."""
        return TeacherParams(**{each.name: getattr(self, each.name) for each in fields(TeacherParams)})

    @property
    def of_languages(self) -> Mapping[str, "TeacherChoice"]:
        """The teachers that languages have of their own, with what they take over from this one."""
        return LanguageTeachers.model_validate(self.filled).root

    @property
    def filled(self) -> dict[str, Any]:
        """The values behind ``of_languages``, not checked."""
        shared = {name: getattr(self, name) for name in TAKEN_OVER}
        return {language: shared | given for language, given in (self.by_language or {}).items()}


#: What the teacher of a language is asked as the plain one is, where nothing else is said.
TAKEN_OVER = tuple(each.name for each in fields(TeacherParams) if each.name != "dims")


class LanguageTeachers(RootModel[dict[str, TeacherChoice]]):
    """The teachers of languages, by language."""


@dataclass(frozen=True, kw_only=True)
class ShardParams:
    """How a dataset's rows are divided into shards; their number follows from the number of kept rows."""

    rows_per_shard: Annotated[int, Field(ge=1, description="rows of a shard, at most")] = 20_000


@dataclass(frozen=True, kw_only=True)
class PartitionParams:
    """How work is divided: by the data, never by the workers, so that no value here changes a result."""

    rows_per_partition: Annotated[int, Field(ge=1, description="rows for each range of a shuffle")] = 50_000
    passages_per_pool_shard: Annotated[
        int, Field(ge=1, description="passages that one worker searches at a time, at most")
    ] = 250_000


class DatasetConfig(BaseModel):
    """What may differ by dataset: its steps' parameters, and what its catalog entry says (null: as the entry does)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clean: Annotated[CleanParams, Field(description="filters and the language check")] = CleanParams()
    mining: Annotated[MiningParams, Field(description="positives and hard negatives")] = MiningParams()
    shards: Annotated[ShardParams, Field(description="files of the result")] = ShardParams()
    alarms: Annotated[AlarmParams, Field(description="losses that stop a run")] = AlarmParams()
    cap: PositiveInt | None = Field(None, description="rows kept at most, the ones with the smallest ids")
    priority: int | None = Field(None, description="of duplicates in several datasets the lowest number's row stays")
    compare: Compare | None = Field(None, description="what makes two rows duplicates: query, positives or both")
    instruction: str | None = Field(None, description="the task in words, put before queries")
    labelled_by: LabelledBy | None = Field(
        None, description="positives of labelled texts: examples of the class, or its name (others are the negatives)"
    )


#: Keys of a dataset that stand for the same key of its catalog entry.
ENTRY_KEYS = ("cap", "priority", "compare", "instruction", "labelled_by")


class CurationConfig(Selection):
    """Everything that changes what comes out of a run. Unknown keys are refused."""

    reading: Annotated[ReadingParams, Field(description="how sources are read")] = ReadingParams()
    clean: Annotated[CleanParams, Field(description="filters and the language check")] = CleanParams()
    near: Annotated[NearDuplicateParams, Field(description="near-duplicates")] = NearDuplicateParams()
    against: Annotated[AgainstParams, Field(description="rows that were published before")] = AgainstParams()
    decontaminate: Annotated[DecontaminateParams, Field(description="evaluation queries")] = DecontaminateParams()
    teacher: Annotated[TeacherChoice, Field(description="the model that embeds")] = TeacherChoice()
    mining: Annotated[MiningParams, Field(description="positives and hard negatives")] = MiningParams()
    shards: Annotated[ShardParams, Field(description="files of the result")] = ShardParams()
    alarms: Annotated[AlarmParams, Field(description="losses that stop a run")] = AlarmParams()
    partitions: Annotated[PartitionParams, Field(description="how work is divided; changes no result")] = (
        PartitionParams()
    )
    datasets: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="what differs by dataset: keys are names, globs, task:<task type> or stage:<stage>",
    )
