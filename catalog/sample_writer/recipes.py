"""What the sample holds of each entry: a small table, ``material/recipes.yaml``, checked when it is read."""

from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from catalog.sample_writer.grammar import MATERIAL

Style = Literal["question", "title", "twin", "inference", "translation", "text", "headline"]


class Recipe(BaseModel):
    """The material of one entry.

    ``domains`` names them for the entry's first configuration, ``configs`` by configuration, ``labels`` by class (of
    each configuration in ``configs``, whose domains' languages then go before the names). ``reads`` names the entry
    whose files these are, too. ``named`` classes are written by name, not by number; rows of pairs keep
    them in ``label_column``. ``stem`` fills the star of a pattern of files. ``codes`` are the
    names of languages in the rows. ``ending`` is for entries whose files have no pattern of their own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    style: Style = "question"
    domains: tuple[str, ...] = ()
    configs: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    labels: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    reads: str | None = None
    ending: str | None = None
    named: bool = False
    label_column: str | None = None
    stem: str = "00000"
    codes: dict[str, str] = Field(default_factory=dict)
    rows: int = 26

    @model_validator(mode="after")
    def _has_material(self) -> "Recipe":
        if not (self.domains or self.configs or self.labels or self.reads):
            raise ValueError("a recipe needs domains, configs, labels or reads")
        return self


def read_recipes() -> dict[str, Recipe]:
    """Returns the recipes by the name of their entry."""
    table = yaml.safe_load((MATERIAL / "recipes.yaml").read_text(encoding="utf-8"))
    return {
        name: Recipe(**({"domains": recipe} if isinstance(recipe, list) else recipe)) for name, recipe in table.items()
    }
