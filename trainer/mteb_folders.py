"""Collections of this machine as tasks of the mteb package, made of what was read: nothing is looked for on the hub.

A task holds just what our own measures see: passages with their titles before them, the queries that have a relevant
passage, the judgments of passages that are there. Places are the ids, so that trec_eval's order of equal scores (the
greatest id first) is that of ``trainer.metrics``.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainer.evaluation_sets import Collection, Labelled, Pairs, Retrieval
from trainer.metrics import MAP_DEPTH, NDCG_DEPTH, RECALL_DEPTH
from trainer.model_meta import plain
from trainer.mteb_tasks import Measured, measure_each, run_task

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskType

    from mining.encoder import Encoder

#: By mteb's type of a task: its names of the measures that are shown, with ours. Where mteb draws otherwise than we do,
#: the name says whose measure it is. The first one is mteb's main score.
_MEASURES: Mapping[str, Mapping[str, str]] = {
    "Retrieval": {
        f"ndcg_at_{NDCG_DEPTH}": f"ndcg@{NDCG_DEPTH}",
        "recall_at_10": "recall@10",
        f"recall_at_{RECALL_DEPTH}": f"recall@{RECALL_DEPTH}",
        f"map_at_{MAP_DEPTH}": f"map@{MAP_DEPTH}",
    },
    "STS": {"cosine_spearman": "spearman"},
    "Classification": {"accuracy": "accuracy (mteb)"},
    "Clustering": {"v_measure": "v-measure (mteb)"},
}


def measure_folders(
    encoder: "Encoder",
    dims: Sequence[int],
    collections: Sequence[Collection],
    on_measured: Callable[[str, Measured], None],
) -> list[str]:
    """``measure_each`` for collections of this machine; each text is encoded once for all dimensions."""

    def measure(task: Any) -> Measured:
        from trainer.mteb_encoder import KeptVectors

        model = KeptVectors(encoder.model)
        return {str(dim): _read(run_task(model.at(dim), task), task.metadata.type) for dim in dims}

    def advice(_: Any) -> str:
        return "--through=own measures it without mteb"

    return measure_each([folder_task(each) for each in collections], measure, advice, on_measured)


def _read(result: Any, kind: str) -> dict[str, float]:
    """Measures of a result under our names; a correlation with a constant, which SciPy leaves undefined, is 0."""
    found = result.scores["test"][0]
    values = {ours: float(found[name]) for name, ours in _MEASURES[kind].items()}
    return {name: 0.0 if kind == "STS" and math.isnan(value) else value for name, value in values.items()}


def folder_task(given: Collection) -> Any:
    """An mteb task of a collection, of mteb's class for its kind, with mteb's own settings for it.

    Of texts to be clustered all are taken; by default mteb takes 4 in a hundred.
    """
    if isinstance(given, Retrieval):
        return _retrieval(given)
    if isinstance(given, Pairs):
        return _pairs(given)
    return _classes(given) if given.train_texts else _clusters(given)


def _retrieval(given: Retrieval) -> Any:
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval

    queries, passages = _ids("query", given.queries), _ids("passage", given.passages)

    def load() -> dict[str, Any]:
        judged = [{passages[place]: worth for place, worth in each.items()} for each in given.judged]
        split = {
            "corpus": Dataset.from_dict({"id": passages, "text": list(given.passages)}),
            "queries": Dataset.from_dict({"id": queries, "text": list(given.queries)}),
            "relevant_docs": dict(zip(queries, judged, strict=True)),
            "top_ranked": None,
        }
        return {"default": {"test": split}}

    what = f"{len(queries)} queries, {len(passages)} passages"
    return _task(AbsTaskRetrieval, given.name, "Retrieval", what, load)


def _ids(kind: str, texts: Sequence[str]) -> list[str]:
    """Names that stand in the order of places, also as text."""
    digits = len(str(len(texts)))
    return [f"{kind}-{place:0{digits}}" for place in range(len(texts))]


def _pairs(given: Pairs) -> Any:
    from mteb.abstasks.sts import AbsTaskSTS

    least, most = min(given.scores), max(given.scores)
    columns = {"sentence1": given.first, "sentence2": given.second, "score": given.scores}
    scale = {"min_score": least, "max_score": most if most > least else least + 1}
    return _task(AbsTaskSTS, given.name, "STS", f"{len(given.scores)} pairs", _splits(test=columns), **scale)


def _classes(given: Labelled) -> Any:
    """Labels are numbers, those of test first: where test has two, mteb needs one of them to be 1."""
    from mteb.abstasks.classification import AbsTaskClassification

    ordered = [*sorted(set(given.labels)), *sorted(set(given.train_labels) - set(given.labels))]
    number = {label: place for place, label in enumerate(ordered)}
    load = _splits(
        train={"text": given.train_texts, "label": [number[label] for label in given.train_labels]},
        test={"text": given.texts, "label": [number[label] for label in given.labels]},
    )
    what = f"{len(given.texts)} texts, {len(given.train_texts)} to learn from"
    return _task(AbsTaskClassification, given.name, "Classification", what, load)


def _clusters(given: Labelled) -> Any:
    from mteb.abstasks.clustering import AbsTaskClustering

    load = _splits(test={"sentences": given.texts, "labels": given.labels})
    what = f"{len(given.texts)} texts"
    return _task(AbsTaskClustering, given.name, "Clustering", what, load, max_fraction_of_documents_to_embed=None)


def _splits(**columns: Mapping[str, Sequence[Any]]) -> Callable[[], Any]:
    from datasets import Dataset, DatasetDict

    return lambda: DatasetDict(
        {split: Dataset.from_dict({name: list(each) for name, each in own.items()}) for split, own in columns.items()}
    )


def _task(base: Any, name: str, kind: "TaskType", what: str, load: Callable[[], Any], **settings: Any) -> Any:
    """A task of a class of its own, as mteb keeps what it knows of a task at the class. What is not known is None."""
    from mteb.abstasks.task_metadata import TaskMetadata

    def load_data(self: Any, **_: Any) -> None:
        self.dataset, self.data_loaded = load(), True

    metadata = TaskMetadata(
        name=name,
        dataset={"path": name, "revision": "local"},
        description=f"The folder {name} of this machine: {what}.",
        type=kind,
        category="t2c" if kind == "Classification" else "t2t",
        eval_splits=["test"],
        eval_langs=["und-Zyyy"],  # nobody says which
        main_score=next(iter(_MEASURES[kind])),
        bibtex_citation="",
        is_public=False,
    )
    return type(f"{kind}OfFolder", (base,), {"metadata": metadata, "load_data": load_data, **settings})()


def mteb_names(collections: Iterable[Collection], known: Iterable[str]) -> list[str]:
    """Collections by the names under which mteb knows them, as far as their folders have such names.

    A folder is the task whose name it has, but for case, hyphens and perhaps the kind at its end: ``scifact`` is
    SciFact, ``banking77`` Banking77Classification. ``known``: names beside mteb's own, which go before these.
    """
    import mteb

    names = [*(task.metadata.name for task in mteb.get_tasks(exclude_superseded=False)), *known]
    by_plain = {plain(name): name for name in names}
    kinds = [(each.name, folder_task(each).metadata.type) for each in collections]
    return [by_plain.get(plain(name)) or by_plain.get(plain(name + kind)) or name for name, kind in kinds]
