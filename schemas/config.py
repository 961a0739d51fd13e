"""What a run was asked for. The numbers of each step stand in its room's ``params.py`` and are nested by
``pipelines.configuration``.
"""

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

SAMPLE = "sample"
HUB = "hub"


class Selection(BaseModel):
    """Which rows a run is about: the part of ``RunConfig`` that changes what comes out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    category: str = Field(
        "retrieval", description="task type, dataset name or glob, stage (pretrain, finetune), or all"
    )
    licenses: str | None = Field(
        None, description="only datasets of these licence classes: permissive, noncommercial, other, unknown"
    )
    languages: str | None = Field(
        None, description="only datasets with one of these languages (zh,en); their rows are not filtered"
    )
    source: str = Field(SAMPLE, description="sample (bundled), hub, or a directory in hub layout")
    follow_links: bool = Field(
        False, description="read files of the source behind links that lead out of it (true or false)"
    )
    limit: PositiveInt | None = Field(None, description="rows per dataset; all of them if not given")
    catalog: str | None = Field(
        None, description="folder of entries, and in evaluation/ of evaluation sets, that add to or override ours"
    )
    evaluation: str | None = Field(
        None,
        description="evaluation sets to keep out: a folder, a benchmark (mteb-english-v2), a set (SciFact), a glob, "
        "hub, or several with commas; none for none; <source>/eval if not given and it is there",
    )
    readmit: str | None = Field(
        None, description="file of rows that are kept although a step rejects them, as kalm readmit writes it"
    )


class RunConfig(Selection):
    """The selection and the places of a run."""

    out: str = Field("out", description="folder (or fsspec URL) for shards, manifest and rejections")
    work: str | None = Field(None, description="folder for intermediate stages; <out>/.work if not given")
    teacher: str = Field("minilm", description="minilm (bundled) or a sentence-transformers model's path or id")
    teacher_languages: str | None = Field(
        None, description="languages that the teacher knows, with commas; en for minilm, all for others if not given"
    )
    against: str | None = Field(
        None,
        description="folders that runs published to, with commas, whose rows new ones are compared with besides those "
        "of other datasets in OUT; none: compare with nothing",
    )
    seed: int = Field(0, ge=0, lt=1 << 64, description="seed of everything that is drawn")


def explain(error: ValidationError, what: str) -> str:
    """A validation error as lines a person can act on: ``what: key.path: message (got value)``."""
    lines = []
    for item in error.errors():
        path = ".".join(str(part) for part in item["loc"]) or "(top level)"
        got = "" if item["type"] == "missing" else f" (got {item['input']!r:.120})"
        message = "unknown key" if item["type"] == "extra_forbidden" else item["msg"]
        lines.append(f"{what}: {path}: {message}{got}")
    return "\n".join(lines)
