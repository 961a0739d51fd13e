"""Loading and choosing evaluation sets: one YAML file for each benchmark, and one with mteb's names of our entries."""

import difflib
import fnmatch
from collections.abc import Iterable
from pathlib import Path

from catalog.loading import BUNDLED, EVALUATION, validated
from catalog.yaml_files import Document, read_document
from schemas.errors import CatalogError, ConfigError
from schemas.evaluation import Benchmark, EvaluationCatalog, LocatedSet, TrainingNames

#: The folder of evaluation sets in a folder of a catalog, ours and others'.
FOLDER = BUNDLED / EVALUATION
#: The file of the folder that is no benchmark.
TRAINING_NAMES = "training-datasets.yaml"
_RULE = "a benchmark is a mapping of keys (benchmark, title, sets, shared)"
_NAMES_RULE = "this file is a mapping with the key training_datasets"


def load_evaluation(extra_folder: str | None = None) -> EvaluationCatalog:
    """All evaluation sets: the bundled ones, then those below ``<extra_folder>/evaluation``, which add to them or
    override them: a set, a benchmark or the names of an entry goes before ours of the same name.

    Raises CatalogError with file, line, key and what is allowed where a file is wrong or the folder holds none.
    """
    known = _with_files(EvaluationCatalog(sets={}, benchmarks={}, training_datasets={}), sorted(FOLDER.glob("*.yaml")))
    folder = Path(extra_folder, EVALUATION) if extra_folder is not None else None
    if folder is None or not folder.exists():
        return known
    files = sorted(folder.rglob("*.yaml"))
    if not files:
        raise CatalogError(
            f"{folder} holds no *.yaml file; give a file for each benchmark of yours, in the form of those in "
            f"catalog/{EVALUATION}, or remove it"
        )
    return _with_files(known, files)


def _with_files(known: EvaluationCatalog, files: Iterable[Path]) -> EvaluationCatalog:
    """A catalog with what some files add; they may name sets that are known already under `shared`."""
    documents: list[Document] = []
    trained = dict(known.training_datasets)
    for path in files:
        if path.name == TRAINING_NAMES:
            names = validated(read_document(path, _NAMES_RULE), TrainingNames, "training_datasets")
            trained |= names.training_datasets
        else:
            documents.append(read_document(path, _RULE))
    benchmarks = [validated(document, Benchmark, "benchmark") for document in documents]
    sets = known.sets | _sets(documents, benchmarks)
    members: dict[str, tuple[str, ...]] = {}
    for document, benchmark in zip(documents, benchmarks, strict=True):
        if benchmark.benchmark in members:
            raise CatalogError(f"{document.where('benchmark')}: the name {benchmark.benchmark!r} is already taken")
        _check_shared(document, benchmark, sets)
        members[benchmark.benchmark] = (*(entry.name for entry in benchmark.sets), *benchmark.shared)
    return EvaluationCatalog(sets=sets, benchmarks=known.benchmarks | members, training_datasets=trained)


def _sets(documents: Iterable[Document], benchmarks: Iterable[Benchmark]) -> dict[str, LocatedSet]:
    sets: dict[str, LocatedSet] = {}
    for document, benchmark in zip(documents, benchmarks, strict=True):
        for number, entry in enumerate(benchmark.sets):
            where = document.where(f"sets.{number}.name")
            if entry.name in sets:
                raise CatalogError(
                    f"{where}: the set {entry.name!r} is described at {sets[entry.name].where} already; name it under "
                    "`shared` here"
                )
            sets[entry.name] = LocatedSet(entry=entry, where=where)
    return sets


def _check_shared(document: Document, benchmark: Benchmark, sets: dict[str, LocatedSet]) -> None:
    unknown = sorted(set(benchmark.shared) - sets.keys())
    if unknown:
        near = difflib.get_close_matches(unknown[0], sets, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise CatalogError(f"{document.where('shared')}: shared: no file describes {', '.join(unknown)}{hint}")


def select_sets(catalog: EvaluationCatalog, words: Iterable[str]) -> tuple[list[LocatedSet], frozenset[str]]:
    """The sets that some words mean, by name, and those of them that were named exactly.

    A word is a set's name, a benchmark, or a glob over names of sets. Raises ConfigError, with near matches, for a
    word that means nothing.
    """
    chosen: set[str] = set()
    named: set[str] = set()
    for word in words:
        found = {word} if word in catalog.sets else set(catalog.benchmarks.get(word, ()))
        found = found or {name for name in catalog.sets if fnmatch.fnmatchcase(name, word)}
        if not found:
            raise ConfigError(_unknown(catalog, word))
        chosen |= found
        named |= {word} & catalog.sets.keys()
    return [catalog.sets[name] for name in sorted(chosen)], frozenset(named)


def _unknown(catalog: EvaluationCatalog, word: str) -> str:
    known = {name.lower(): name for name in (*catalog.benchmarks, *catalog.sets)}
    near = [known[name] for name in difflib.get_close_matches(word.lower(), known, n=3, cutoff=0.5)]
    hint = f"did you mean {' or '.join(near)}?" if near else "no name is near it."
    return (
        f"--evaluation: {word!r} is no evaluation set and no folder: {hint} Give none, hub, a folder, a benchmark "
        f"({', '.join(sorted(catalog.benchmarks))}), a set's name (there are {len(catalog.sets)}), a glob, or several "
        "of these with commas"
    )
