"""What an evaluation set of the catalog is: where its queries, judgments and corpus lie, and which benchmarks use it.

Evaluation sets are read to keep their queries out of training data and to report what else overlaps, never trained on.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.names import MAX_NAME, HubId, Name, Revision, Slug

#: What of an evaluation set is looked for in training data: its queries are kept out, its passages are reported.
QUERIES, PASSAGES = "queries", "passages"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


#: mteb's task types.
EvaluationType = Literal[
    "Retrieval",
    "Reranking",
    "InstructionReranking",
    "STS",
    "PairClassification",
    "Classification",
    "MultilabelClassification",
    "Clustering",
    "BitextMining",
    "Summarization",
]


class EvaluationSet(_Record):
    """A task of mteb, under mteb's own name.

    ``type``: mteb's task type. ``splits``: those that are scored. Of retrieval and reranking, queries that none of them
    judges belong to training and are not kept out. ``subsets``: whether there is a corpus, queries and judgments for
    each language (``de-corpus``, ``de-queries``, ``de-qrels``). ``columns``: where a row of a split holds what is
    scored, the columns with these texts, or lists of texts (globs over their names: ``sentence_*``); then ``configs``
    are the configurations that are scored (globs too).
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=MAX_NAME)
    hub: HubId
    revision: Revision | None = None
    type: EvaluationType = "Retrieval"
    splits: tuple[Name, ...] = Field(min_length=1)
    languages: tuple[str, ...] = Field(min_length=1)
    subsets: bool = False
    columns: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_one_layout(self) -> Self:
        if self.columns and self.subsets:
            raise ValueError("columns are for texts in rows, subsets for corpora with queries: give one of them")
        if self.configs and not self.columns:
            raise ValueError("configs are read where columns say what is scored: give columns too")
        if not self.columns and self.type not in ("Retrieval", "Reranking", "InstructionReranking"):
            raise ValueError(f"a set of type {self.type} has no judged queries: give the columns that are scored")
        return self

    @property
    def whole(self) -> bool:
        """Whether its texts are looked for as wholes only: all but queries of retrieval."""
        return self.type != "Retrieval"


class Benchmark(_Record):
    """One file of the catalog: a benchmark, the sets that it describes, and those that other files describe."""

    benchmark: Slug
    title: str
    sets: tuple[EvaluationSet, ...] = ()
    shared: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        if not self.sets and not self.shared:
            raise ValueError("a benchmark needs sets of its own, or names of others under shared")
        names = [*(found.name for found in self.sets), *self.shared]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"named more than once: {', '.join(twice)}")
        return self


class LocatedSet(_Record):
    """An evaluation set with the file and line that declare it."""

    entry: EvaluationSet
    where: str


class TrainingNames(_Record):
    """By entry: the tasks of mteb that a model trained on it has seen, as mteb names them."""

    training_datasets: dict[str, tuple[str, ...]]


class EvaluationCatalog(_Record):
    """All evaluation sets by name, the sets of each benchmark, and mteb's names of training entries."""

    sets: dict[str, LocatedSet]
    benchmarks: dict[str, tuple[str, ...]]
    training_datasets: dict[str, tuple[str, ...]]

    def names_of(self, dataset: str) -> tuple[str, ...]:
        """What a model card says of a training entry; nothing where it is no task of mteb's."""
        return self.training_datasets.get(dataset, ())
