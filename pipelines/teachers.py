"""Which teacher reads which rows of a run: by language, where a configuration names teachers for languages.

Scores of two teachers are never compared. A row's texts go to the teacher of its language, and the passages of a
dataset's corpus, which have none, to each teacher that a row of the dataset may have; so every teacher mines a pool of
its own.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from mining.teacher import BUNDLED, Teacher, find_teacher
from pipelines.configuration.model import TeacherChoice
from schemas.catalog import CatalogEntry
from schemas.errors import ConfigError
from schemas.languages import canonical
from schemas.manifest import languages_in_words
from transforms.sources.opening import Plan
from transforms.vectors.row_share import RowShare

#: What all-MiniLM-L6-v2 was trained on.
BUNDLED_LANGUAGES = frozenset({"en"})


@dataclass(frozen=True, kw_only=True)
class TeacherGroup:
    """A teacher of a run and the rows that are its own.

    ``languages``: those that it was named for, as codes; ``is_rest``: whether it also has the rows in languages for
    which none was named, and those of which no language is known. ``knows``: languages, as rows carry them, whose rows
    it can judge, since its low ranks are no reason to drop a row in another; None: all of its rows. ``datasets``: the
    mined datasets that may have rows of it. ``share``: how its rows are told from those of others; None where there
    are none.
    """

    teacher: Teacher
    languages: frozenset[str]
    is_rest: bool
    knows: frozenset[str] | None
    datasets: frozenset[str]
    share: RowShare | None = None

    @property
    def words(self) -> str:
        """Its languages for people."""
        return languages_in_words(self.languages, self.is_rest)

    def prompts(self, entry: CatalogEntry) -> tuple[str, str]:
        """What the teacher sees before a query of a dataset, and before its other texts: of a symmetric task all are
        queries.
        """
        query = self.teacher.prompt_for_query(entry.instruction)
        return query, query if entry.symmetric else self.teacher.prompt_for_passage()


def find_teachers(
    choice: TeacherChoice, mined: Mapping[str, CatalogEntry], plans: Mapping[str, Plan]
) -> tuple[TeacherGroup, ...]:
    """The teachers that rows of the mined datasets may have, those of languages first; one that no row may have is not
    looked for, but where no dataset is mined, the plain one is.

    Raises ConfigError for one that cannot be used.
    """
    named = choice.of_languages
    needed = {name: frozenset(_needed(entry, plans[name], named)) for name, entry in mined.items()}
    wanted = sorted(frozenset().union(*needed.values())) or [""]
    found: dict[tuple[str, str], list[str]] = {}
    teachers: dict[str, Teacher] = {}
    for language in wanted:
        one = named.get(language, choice)
        with told_of([language] if language else []):
            teachers[language] = find_teacher(one.name, one.params)
        found.setdefault((teachers[language].key, one.instructions), []).append(language)
    groups = [_group(teachers[own[0]], own, choice, needed, mined) for own in found.values()]
    groups.sort(key=lambda group: (group.is_rest, sorted(group.languages)))
    return tuple(_shared_out(groups, named.keys()))


@contextmanager
def told_of(languages: Collection[str]) -> Iterator[None]:
    """An error about a teacher says for which languages it was named; for none it is as it is."""
    try:
        yield
    except ConfigError as error:
        if not languages:
            raise
        keys = " and ".join(f"teacher.by_language.{language}" for language in sorted(languages))
        raise ConfigError(f"{keys}: {error.message}") from error


def _needed(entry: CatalogEntry, plan: Plan, named: Mapping[str, object]) -> Iterator[str]:
    """The languages with a teacher of their own that a dataset's rows may have, and "" where they may have others."""
    if "language" in entry.columns:  # whatever the source says
        yield from ["", *named]
        return
    for config in {unit.config for unit in plan.units}:
        language = canonical(entry.language_of(config))
        yield language if language in named else ""


def _group(
    teacher: Teacher,
    own: Sequence[str],
    choice: TeacherChoice,
    needed: Mapping[str, frozenset[str]],
    mined: Mapping[str, CatalogEntry],
) -> TeacherGroup:
    languages = frozenset(filter(None, own))
    return TeacherGroup(
        teacher=teacher,
        languages=languages,
        is_rest="" in own,
        knows=_known(choice, teacher, languages, mined.values()) if "" in own else None,
        datasets=frozenset(name for name, of_rows in needed.items() if of_rows & set(own)),
    )


def _known(
    choice: TeacherChoice, teacher: Teacher, languages: frozenset[str], entries: Collection[CatalogEntry]
) -> frozenset[str] | None:
    """What the plain teacher knows: what was said, else what is known of it, and what it was named for."""
    given = frozenset(word.strip() for word in choice.languages.split(",")) if choice.languages else None
    known = given or (BUNDLED_LANGUAGES if teacher.name == BUNDLED else None)
    if known is None or not languages:
        return known
    tags = {tag for entry in entries for tag in [*entry.languages, *entry.config_languages.values()]}
    return known | languages | {tag for tag in tags if canonical(tag) in languages}


def _shared_out(groups: Sequence[TeacherGroup], named: Collection[str]) -> Iterator[TeacherGroup]:
    for group in groups:
        if len(groups) == 1:
            yield group
        elif group.is_rest:
            yield replace(group, share=RowShare(languages=frozenset(named) - group.languages, is_rest=True))
        else:
            yield replace(group, share=RowShare(languages=group.languages))
