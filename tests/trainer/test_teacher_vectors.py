"""The teacher's vectors out of a store as embed writes it, against the vectors themselves."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mining.fixed_point import exact_scores, to_cosine
from schemas.errors import OutputError, SourceError
from schemas.manifest import Manifest
from schemas.vectors import vector_key
from tests.trainer.curated import DIMS, STORE, curate, embed, fill_store, mixed, row, vector_of
from trainer.batches import BatchParams, lay_out
from trainer.rows import Rows
from trainer.shards import open_rows, read_manifest
from trainer.teacher_vectors import StoredVectors, TeacherVectors, open_teacher


def opened(path: Path, num_negatives: int = 7) -> tuple[TeacherVectors, Rows]:
    rows = open_rows(read_manifest(path), path.parent, path.parent)
    teacher = open_teacher(read_manifest(path), path.parent, path.parent, rows, num_negatives)
    assert isinstance(teacher, TeacherVectors)
    return teacher, rows


def stacked(keys: list[bytes]) -> np.ndarray:
    return np.stack([vector_of(key) for key in keys])


@pytest.mark.parametrize("partitions", [1, 2, 256])
def test_cosines_are_those_of_mining_to_the_bit_however_the_store_is_cut(tmp_path, partitions):
    path = mixed(tmp_path)
    embed(path, partitions)
    teacher, rows = opened(path)
    queries = [teacher.query_key(each) for each in rows.take(range(8))]
    passages = [teacher.passage_key(each, each.positives[0]) for each in rows.take([19, 0, 7, 7])]
    found = teacher.cosines(queries, passages)
    assert found.dtype == np.float32
    assert np.array_equal(found, to_cosine(exact_scores(stacked(queries), stacked(passages))))


@settings(deadline=None, max_examples=40)
@given(
    st.sets(st.binary(min_size=16, max_size=16) | st.binary(max_size=3).map(lambda b: b.ljust(16, b"\0"))), st.data()
)
def test_a_key_is_found_where_it_stands_and_no_other_is(keys, data):
    known = sorted(keys)
    asked = data.draw(st.lists(st.sampled_from(known) | st.binary(min_size=16, max_size=16))) if known else []
    stored = np.array(known or [b"\xff" * 16], "S16")
    teacher = StoredVectors(keys=stored, vectors=np.zeros((len(stored), 2), np.int16), store=STORE)
    expected = [known.index(key) if key in keys else -1 for key in asked]
    assert teacher.places(asked).tolist() == expected


def test_soft_labels_are_cosines_of_the_texts_in_their_columns(tmp_path):
    path = mixed(tmp_path)
    embed(path)
    teacher, rows = opened(path, 3)
    batch = rows.take(range(20))
    texts, layout = lay_out(rows, batch, [0] * 20, BatchParams(num_negatives=3), np.random.default_rng(0))
    candidates = layout.candidates
    found = teacher.soft_labels(batch, [0] * 20, candidates.positive_Q.tolist(), candidates.negatives_QN.tolist())
    symmetric = {text for each in batch if rows.symmetric[each.dataset] for text in each.positives + each.negatives}
    keys = []
    for text in (texts[place] for place in layout.passages_P):
        bare = text.rpartition("Query: ")[2]
        keys.append(vector_key("Q: " if bare in symmetric else "", bare))
    expected = exact_scores(stacked([vector_key("Q: ", each.query) for each in batch]), stacked(keys))
    assert found.shape == (20, len(layout.passages_P))
    assert np.array_equal(found, to_cosine(expected))


def test_keys_and_vectors_stay_on_disk_in_files_without_names(tmp_path):
    path = mixed(tmp_path)
    embed(path)
    before = sorted(tmp_path.rglob("*"))
    teacher, _ = opened(path)
    assert isinstance(teacher.keys, np.memmap)
    assert isinstance(teacher.vectors, np.memmap)
    assert sorted(tmp_path.rglob("*")) == before
    assert np.array_equal(teacher.keys, np.sort(teacher.keys))


def test_a_store_in_the_work_folder_that_the_manifest_names_is_found(tmp_path):
    path = mixed(tmp_path / "out")
    store = embed(path)
    shutil.move(store.parents[1], tmp_path / "work")
    with pytest.raises(SourceError, match="are not in"):
        opened(path)
    manifest = Manifest.model_validate_json(path.read_text())
    manifest.config["work"] = str(tmp_path / "work")
    path.write_text(manifest.model_dump_json())
    assert len(opened(path)[0].keys)


def test_a_key_that_stands_in_two_files_is_taken_once(tmp_path):
    path = mixed(tmp_path)
    store = embed(path, 1)
    once = len(opened(path)[0].keys)
    fill_store(store, [vector_key("Q: ", "moon 1 q"), vector_key("", "of another run")], 4)
    assert len(opened(path)[0].keys) == once + 1


def changed(path: Path, **changes: object) -> None:
    """Change what the manifest says of the first dataset's vectors."""
    manifest = Manifest.model_validate_json(path.read_text())
    first = manifest.datasets[0]
    first.vectors = first.vectors and first.vectors.model_copy(update=changes)
    path.write_text(manifest.model_dump_json())


def unnamed(path: Path, store: Path) -> None:
    manifest = Manifest.model_validate_json(path.read_text())
    manifest.datasets[1].vectors = None
    path.write_text(manifest.model_dump_json())


def of_another(path: Path, store: Path) -> None:
    changed(path, store="other")


def renamed(path: Path, store: Path) -> None:
    store.rename(store.with_name("another-teacher"))


def damaged(path: Path, store: Path) -> None:
    file = next(store.rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")


def half(path: Path, store: Path) -> None:
    shutil.rmtree(next(store.iterdir()))


def wider(path: Path, store: Path) -> None:
    manifest = Manifest.model_validate_json(path.read_text())
    for each in manifest.datasets:
        each.vectors = each.vectors and each.vectors.model_copy(update={"dims": 2 * DIMS})
    path.write_text(manifest.model_dump_json())


def other_prompt(path: Path, store: Path) -> None:
    changed(path, query_prompt="Query: ")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (unnamed, "the manifest does not say where the teacher's vectors of rivers are"),
        (of_another, r"are not in .*/store/other; there are stores of other teachers \(teacher-t512-d16\)"),
        (renamed, r"are not in .*/store/teacher-t512-d16; there are stores of other teachers \(another-teacher\)"),
        (damaged, "holds other bytes than it was written with"),
        (half, r"of the shards' [0-9]+ texts have no vector in .*; the first is of dataset moons and begins '"),
        (wider, "does not hold vectors of 32 dimensions"),
        (other_prompt, "8 of the shards' 125 texts have no vector in "),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_store_that_will_not_do_is_refused_in_words(tmp_path, harm, words):
    path = mixed(tmp_path)
    harm(path, embed(path))
    with pytest.raises(SourceError, match=words) as error:
        opened(path)
    assert "--soft_labels=row" in error.value.message


def test_negatives_that_are_not_trained_on_need_no_vector(tmp_path):
    path = curate(tmp_path, {"a": [row("x", 3), row("y", 3)]})
    store = embed(path)
    shutil.rmtree(store)
    texts = [vector_key("", f"{name} {text}") for name in "xy" for text in ("p0", "n0")]
    fill_store(store, sorted([*texts, vector_key("Q: ", "x q"), vector_key("Q: ", "y q")]), 1)
    assert len(opened(path, 1)[0].keys) == 6
    with pytest.raises(SourceError, match="4 of the shards' 10 texts"):
        opened(path, 3)


def test_a_scratch_folder_that_is_not_there_is_an_error_of_output(tmp_path):
    path = mixed(tmp_path)
    embed(path)
    rows = open_rows(read_manifest(path), tmp_path, tmp_path)
    with pytest.raises(OutputError, match="cannot copy the teacher's vectors"):
        open_teacher(read_manifest(path), tmp_path, tmp_path / "none", rows, 7)


def test_a_text_that_is_lost_while_training_is_named_with_its_store(tmp_path):
    path = mixed(tmp_path)
    embed(path)
    teacher, _ = opened(path)
    with pytest.raises(SourceError, match=f"1 texts of a batch are not in the vector store {STORE}"):
        teacher.cosines([bytes(16)], [vector_key("", "moon 0 p0")])
