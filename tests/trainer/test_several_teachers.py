"""Soft labels where rows have different teachers: only scores that one teacher can give, against loops over the stores.

English rows have the narrow teacher, Chinese ones the wide one; a dataset has rows of both, and some texts stand in
several datasets. Vectors of different widths cannot be multiplied, so a mix would not go unseen.
"""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mining.fixed_point import exact_scores, to_cosine
from schemas.errors import SourceError
from schemas.manifest import LanguageVectorsRecord, Manifest, VectorsRecord
from schemas.vectors import vector_key
from tests.trainer.curated import curate, fill_store, row, vector_of
from trainer.batches import BatchParams, lay_out
from trainer.rows import Row, Rows
from trainer.shards import open_rows, read_manifest
from trainer.teacher_vectors import SeveralTeachers, SoftLabels, open_teacher

NARROW, WIDE = "narrow-d16", "wide-d24"
DIMS = {NARROW: 16, WIDE: 24}
PROMPTS = {NARROW: "Q: ", WIDE: ""}


def record(store: str, **languages: object) -> VectorsRecord:
    facts = {"store": store, "dims": DIMS[store], "query_prompt": PROMPTS[store], "passage_prompt": ""}
    return LanguageVectorsRecord(**facts, **languages) if languages else VectorsRecord(**facts)


BOTH = [record(NARROW, languages=["en"]), record(WIDE, languages=["zh"], others=True)]
DATASETS = {"english": [record(NARROW)], "chinese": [record(WIDE)], "mixed": BOTH}


def own_store(name: str, language: str) -> str:
    return {"english": NARROW, "chinese": WIDE}.get(name, NARROW if language.startswith("en") else WIDE)


def mixed_run(folder: Path) -> Path:
    """A curated folder and its stores; passages of the corpus of ``mixed`` are in both."""
    english = [row(f"moon {i}", 3) for i in range(6)]
    chinese = [row(f"月 {i}", 3) | {"language": "zh"} for i in range(6)]
    tags = ["en-US", "zh-CN", "fr", ""]
    several = [row(f"several {i}", 3) | {"language": tags[i % 4]} for i in range(8)]
    english[1]["positives"] = ["said in all"]
    chinese[1]["negatives"] = ["said in all", "moon 2 p0", "月 1 n2"]
    several[0]["negatives"] = ["said in all", "in the corpus", "several 0 n2"]
    several[1]["negatives"] = ["in the corpus", "月 2 p0", "several 1 n2"]
    rows = {"english": english, "chinese": chinese, "mixed": several}
    path = curate(folder, rows)
    manifest = Manifest.model_validate_json(path.read_text())
    keys: dict[str, set[bytes]] = {store: {vector_key("", "in the corpus")} for store in DIMS}
    for each in manifest.datasets:
        records = DATASETS[each.name]
        if len(records) == 1:
            each.vectors = records[0]
        else:
            each.vectors_by_language = records
        for one in rows[each.name]:
            store = own_store(each.name, one["language"])
            keys[store] |= {vector_key(PROMPTS[store], one["query"])}
            keys[store] |= {vector_key("", text) for text in [*one["positives"], *one["negatives"]]}
    for store, own in keys.items():
        fill_store(folder / ".work" / "store" / store, sorted(own), 2, DIMS[store])
    path.write_text(manifest.model_dump_json())
    return path


def opened(path: Path) -> tuple[SoftLabels, Rows]:
    rows = open_rows(read_manifest(path), path.parent, path.parent)
    return open_teacher(read_manifest(path), path.parent, path.parent, rows, 3), rows


def stored_keys(path: Path) -> dict[str, set[bytes]]:
    folder = path.parent / ".work" / "store"
    return {
        store: {key for file in (folder / store).rglob("*.parquet") for key in pq.read_table(file)["key"].to_pylist()}
        for store in DIMS
    }


def by_loops(batch: list[Row], names: list[str], passages: list[str], keys: dict[str, set[bytes]]) -> np.ndarray:
    """A query's cosine with each passage that a row holds whose dataset its own teacher has embedded some of."""
    held: dict[str, set[str]] = {}
    for row_ in batch:
        stores = {record.store for record in DATASETS[names[row_.dataset]]}
        for text in [row_.positives[0], *row_.negatives]:
            held.setdefault(text, set()).update(stores)
    found = np.full((len(batch), len(passages)), np.nan, np.float32)
    for i, row_ in enumerate(batch):
        store = own_store(names[row_.dataset], row_.language or "")
        query = vector_of(vector_key(PROMPTS[store], row_.query), DIMS[store])
        for j, text in enumerate(passages):
            if store in held[text] and vector_key("", text) in keys[store]:
                vector = vector_of(vector_key("", text), DIMS[store])
                found[i, j] = to_cosine(exact_scores(query[None], vector[None]))[0, 0]
    return found


@pytest.mark.parametrize("seed", range(4))
def test_soft_labels_are_the_scores_that_a_rows_own_teacher_can_give(tmp_path: Path, seed: int) -> None:
    path = mixed_run(tmp_path)
    teacher, rows = opened(path)
    assert isinstance(teacher, SeveralTeachers)
    assert teacher.store == f"{NARROW}+{WIDE}"
    batch = rows.take(np.random.default_rng(seed).permutation(len(rows))[: 20 - 4 * seed].tolist())
    texts, layout = lay_out(rows, batch, [0] * len(batch), BatchParams(num_negatives=3), np.random.default_rng(0))
    passages = [texts[place].rpartition("Query: ")[2] for place in layout.passages_P]
    candidates = layout.candidates
    columns = candidates.positive_Q.tolist(), candidates.negatives_QN.tolist()
    found = teacher.soft_labels(batch, [0] * len(batch), *columns)
    expected = by_loops(batch, list(rows.names), passages, stored_keys(path))
    assert np.array_equal(found, expected, equal_nan=True)
    assert np.isnan(found).any()
    for number, (positive, own) in enumerate(zip(*columns, strict=True)):
        assert np.isfinite(found[number, [positive, *own]]).all(), "a row's own candidates are its teacher's"


def test_a_passage_of_two_teachers_is_scored_by_that_of_the_query(tmp_path: Path) -> None:
    teacher, rows = opened(mixed_run(tmp_path))
    names = list(rows.names)
    batch = [row_ for row_ in rows.take(range(len(rows))) if "in the corpus" in row_.negatives]
    assert {(names[row_.dataset], row_.language) for row_ in batch} == {("mixed", "en-US"), ("mixed", "zh-CN")}
    assert [teacher.stored(row_).store for row_ in batch] == [NARROW, WIDE]
    found = teacher.soft_labels(batch, [0, 0], [0, 1], [[2, 3, 4], [3, 5, 6]])
    assert np.isfinite(found[:, 3]).all()
    assert np.isnan(found[0, [1, 5, 6]]).all()
    assert np.isnan(found[1, [0, 4]]).all()
    assert np.isfinite(found[1, 2]), "a Chinese row of another dataset holds this text"


def test_a_text_is_missed_in_the_store_of_its_rows_teacher(tmp_path: Path) -> None:
    path = mixed_run(tmp_path)
    store = tmp_path / ".work" / "store" / WIDE
    for file in store.rglob("*.parquet"):
        file.unlink()
    fill_store(store, [vector_key("", "月 0 q")], 1, DIMS[WIDE])
    with pytest.raises(
        SourceError, match=r"of the shards' 100 texts have no vector in .*; the first is of dataset chin"
    ):
        opened(path)


def test_a_language_that_no_teacher_has_is_named() -> None:
    teacher = SeveralTeachers(stores={}, records=[[record(NARROW, languages=["en"]), record(WIDE, languages=["zh"])]])
    values = {"prompt": "", "query": "q", "positives": [], "negatives": []}
    scores = {"positive_scores": [], "negative_scores": [], "label": None, "cluster_id": None}
    with pytest.raises(KeyError, match="no teacher embedded rows in the language 'fr': en, zh"):
        teacher.stored(Row(dataset=0, **values, **scores, language="fr"))
