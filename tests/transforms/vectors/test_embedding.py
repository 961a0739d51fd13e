"""Around the encoder: what is encoded, in which order, how often, and what is counted."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import xxhash

from schemas.errors import ConfigError
from schemas.rows import ID, text_hash
from schemas.vectors import vector_schema
from tests.transforms.rows import canonical_rows
from tests.transforms.steps import MAIN, outputs, records, rows_of, shuffle, tally, together
from transforms.examples.read_rows import CORPUS
from transforms.flow.batches import first_words, partitions_of
from transforms.flow.parts import write_part
from transforms.text.part_texts import Prompts
from transforms.vectors.embedding import (
    TO_ENCODE,
    EncodePartition,
    GatherTexts,
    TextSpec,
    count_cut,
    part_element,
    read_texts,
    to_encode,
)
from transforms.vectors.vector_store import read_vectors, write_vectors

DIMS = 4
PARTITIONS = 4
PROMPT = "Instruct: find \n Query: "


def _vector(text: str) -> bytes:
    return xxhash.xxh3_64_digest(text.encode())


#: The texts that ``_Encoder`` gives no vector for, and how long a text it reads.
BROKEN, LIMIT = "no vector", 8


class _Encoder:
    """Vectors that follow from the text, and a memory of what was asked."""

    name = "toy"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> tuple[pa.FixedSizeBinaryArray, pa.BooleanArray]:
        self.asked.append(list(texts))
        vectors = [None if text.startswith(BROKEN) else _vector(text) for text in texts]
        return pa.array(vectors, pa.binary(2 * DIMS)), self.truncated(texts)

    def truncated(self, texts: Sequence[str]) -> pa.BooleanArray:
        return pa.array([len(text) > LIMIT for text in texts], pa.bool_())


def _spec(folder: Path, mined: Sequence[str] = ("a", "b")) -> TextSpec:
    return TextSpec(
        kept=f"{folder}/kept",
        corpus=f"{folder}/corpus",
        mined=frozenset(mined),
        prompts=Prompts(queries={"a": PROMPT}, passages={}),
        store=f"{folder}/store",
        dims=DIMS,
        num_store_partitions=PARTITIONS,
        progress=None,
    )


def _wanted(texts: Sequence[tuple[str, str]]) -> pa.Table:
    """(dataset, text) pairs as TO_ENCODE."""
    rows = [{"key": text_hash(text), "dataset": dataset, "text": text} for dataset, text in texts]
    return pa.Table.from_pylist(rows, TO_ENCODE)


ROWS = [
    {"dataset": "a", "query": "q1", "positives": ["p1", "p2"], "negatives": ["n1"]},
    {"dataset": "a", "query": "q2", "positives": ["p1"], "negatives": []},
    {"dataset": "b", "query": "label me", "label": "x"},
    {"dataset": "c", "query": "not mined", "positives": ["nor this"]},
]
PASSAGES = [
    {"dataset": "b", "passage_id": "1", "text": "p1", "sampled": True},
    {"dataset": "b", "passage_id": "2", "text": "a passage", "sampled": True},
    {"dataset": "b", "passage_id": "3", "text": "not drawn", "sampled": False},
]
#: Every text that the teacher must see, with its prompt, and the first dataset that holds it.
SEEN = {
    f"{PROMPT}q1": "a",
    f"{PROMPT}q2": "a",
    "p1": "a",
    "p2": "a",
    "n1": "a",
    "label me": "b",
    "a passage": "b",
}


def _elements(spec: TextSpec) -> list[str]:
    kept = write_part(spec.kept, canonical_rows(ROWS))
    corpus = write_part(spec.corpus, pa.Table.from_pylist(PASSAGES, CORPUS))
    return [part_element("kept", kept), part_element("corpus", corpus)]


def _gather(spec: TextSpec, elements: Sequence[str]) -> dict[str, list[Any]]:
    return together(*(outputs(GatherTexts(spec).process(element)) for element in elements))


def _run(spec: TextSpec, elements: Sequence[str], seed: int = 0) -> tuple[dict[str, list[Any]], list[list[str]]]:
    encoder = _Encoder()
    step = EncodePartition(spec, encoder, block=2)
    keyed = shuffle(_gather(spec, elements)[MAIN], seed)
    encoded = together(*(outputs(step.process(pair)) for pair in sorted(keyed, key=lambda pair: pair[0])))
    return encoded, encoder.asked


def _store(spec: TextSpec) -> dict[bytes, bytes]:
    tables = [read_vectors(spec.store, number, PARTITIONS, DIMS) for number in range(PARTITIONS)]
    return {row["key"]: row["vector"] for table in tables for row in table.to_pylist()}


def test_a_part_travels_by_its_kind_and_number(tmp_path: Path) -> None:
    spec = _spec(tmp_path)
    kept, corpus = _elements(spec)
    kind, part, rows, texts = read_texts(spec, kept)
    assert (kind, rows.num_rows, part_element(kind, part)) == ("kept", 4, kept)
    assert set(texts.column("dataset").to_pylist()) == {"a", "b"}
    kind, _, rows, texts = read_texts(spec, corpus)
    assert (kind, rows.num_rows, texts.column("text").to_pylist()) == ("corpus", 3, ["p1", "a passage"])


def test_distinct_texts_of_mined_datasets_travel_by_range_of_keys_and_every_row_is_counted(tmp_path: Path) -> None:
    spec = _spec(tmp_path)
    gathered = _gather(spec, _elements(spec))
    for partition, batch in gathered[MAIN]:
        assert set(partitions_of(first_words(batch.column("key")), PARTITIONS)) == {partition}
    rows = rows_of(batch for _, batch in gathered[MAIN])
    assert {row["text"] for row in rows} == set(SEEN)
    assert all(row["key"] == text_hash(row["text"]) for row in rows)
    assert len(rows) == len(SEEN) + 1, "p1 stands in both parts and is sent once from each"
    rows_read = {"a": 2, "b": 1, "c": 1}
    expected = {f"{name}\t{what}\t": n for name, n in rows_read.items() for what in ("read", "kept")}
    assert tally(gathered) == expected


def test_each_text_is_encoded_once_and_stored_under_its_key(tmp_path: Path) -> None:
    spec = _spec(tmp_path)
    encoded, asked = _run(spec, _elements(spec))
    assert sorted(text for block in asked for text in block) == sorted(SEEN)
    assert _store(spec) == {text_hash(text): _vector(text) for text in SEEN}
    assert sum(record["rows"] for record in records(encoded, "vectors")) == len(SEEN)
    assert all((tmp_path / "store" / record["path"]).is_file() for record in records(encoded, "vectors"))
    numbers = {"a\tdistinct_texts\t": 5, "b\tdistinct_texts\t": 2}
    assert tally(encoded) == numbers | {"a\ttruncated_texts\t": 2, "b\ttruncated_texts\t": 1}


def test_what_the_store_holds_is_counted_again_but_not_encoded_again(tmp_path: Path) -> None:
    spec = _spec(tmp_path)
    elements = _elements(spec)
    first, _ = _run(spec, elements)
    files = sorted((tmp_path / "store").rglob("*.parquet"))
    second, asked = _run(spec, elements, seed=1)
    assert asked == []
    assert tally(second) == tally(first)
    assert sorted((tmp_path / "store").rglob("*.parquet")) == files


def test_a_new_text_is_added_to_what_is_there(tmp_path: Path) -> None:
    spec = _spec(tmp_path)
    elements = _elements(spec)
    _run(spec, elements[1:])
    _, asked = _run(spec, elements)
    assert sorted(text for block in asked for text in block) == sorted(set(SEEN) - {"p1", "a passage"})
    assert set(_store(spec)) == {text_hash(text) for text in SEEN}


@pytest.mark.parametrize("seed", range(4))
def test_texts_are_encoded_in_one_order_however_they_arrive(tmp_path: Path, seed: int) -> None:
    texts = [("a", "x" * (n % 5) + str(n)) for n in range(40)] + [("b", "x" * (n % 5) + str(n)) for n in range(20, 60)]
    random.Random(seed).shuffle(texts)
    _, _, lacking = to_encode(_spec(tmp_path), 0, _wanted(texts))
    expected = sorted({text for _, text in texts}, key=lambda text: (len(text), text_hash(text)))
    assert lacking.column("text").to_pylist() == expected
    assert lacking.schema == TO_ENCODE


def test_length_is_counted_in_bytes_so_that_texts_of_about_as_many_tokens_share_a_batch(tmp_path: Path) -> None:
    _, _, lacking = to_encode(_spec(tmp_path), 0, _wanted([("a", "aaa"), ("a", "語語"), ("a", "b" * 7)]))
    assert lacking.column("text").to_pylist() == ["aaa", "語語", "bbbbbbb"]


def test_a_text_of_several_datasets_is_counted_by_the_first_by_name(tmp_path: Path) -> None:
    texts = [("b", "both"), ("a", "both"), ("b", "mine"), ("b", "both")]
    _, _, lacking = to_encode(_spec(tmp_path), 0, _wanted(texts))
    assert {(row["text"], row["dataset"]) for row in lacking.to_pylist()} == {("both", "a"), ("mine", "b")}


def test_which_dataset_counts_a_text_does_not_hang_on_the_rows_of_a_part(tmp_path: Path) -> None:
    spec = _spec(tmp_path)
    rows = [
        {"dataset": "b", "query": "both", "positives": ["p"]},
        {"dataset": "a", "query": "q", "positives": ["both"]},
    ]
    gathered = _gather(spec, [part_element("kept", write_part(spec.kept, canonical_rows(rows)))])
    found = {row["text"]: row["dataset"] for row in rows_of(batch for _, batch in gathered[MAIN])}
    assert found["both"] == "a"


def test_only_what_the_store_lacks_is_encoded(tmp_path: Path) -> None:
    spec = _spec(tmp_path)
    wanted = _wanted([("a", str(n)) for n in range(30)])
    inside = wanted.filter(pa.array(partitions_of(first_words(wanted.column("key")), PARTITIONS) == 1))
    known = inside.slice(0, 3)
    stored = [b"v" * 8, bytes(8), b"v" * 8]  # zeros: one that the teacher cannot read
    vectors = pa.table([known.column("key"), pa.array(stored, pa.binary(8))], vector_schema(DIMS))
    write_vectors(spec.store, 1, PARTITIONS, vectors.sort_by("key"))
    held, refused, lacking = to_encode(spec, 1, inside)
    keys = known.column("key").to_pylist()
    assert held.column("key").to_pylist() == sorted([keys[0], keys[2]])
    assert refused.column("key").to_pylist() == [keys[1]]
    assert held.num_rows + refused.num_rows + lacking.num_rows == inside.num_rows
    assert set(lacking.column("text").to_pylist()) == set(inside.column("text").to_pylist()[3:])


def test_a_text_that_the_teacher_cannot_read_is_asked_once_and_counted_alike_ever_after(tmp_path: Path) -> None:
    spec, texts = _spec(tmp_path), _of_first_range("", 4)
    refused = texts[1]

    class Refusing(_Encoder):
        def __call__(self, texts: Sequence[str]) -> tuple[pa.FixedSizeBinaryArray, pa.BooleanArray]:
            vectors, cut = super().__call__(texts)
            found = [bytes(8) if text == refused else vectors[n].as_py() for n, text in enumerate(texts)]
            return pa.array(found, vectors.type), cut

        def truncated(self, texts: Sequence[str]) -> pa.BooleanArray:
            self.asked.append([*texts])
            return super().truncated(texts)

    tallies, asked = [], []
    for _ in range(2):
        encoder = Refusing()
        batches = _wanted([("a", text) for text in texts]).to_batches()
        tallies.append(tally(outputs(EncodePartition(spec, encoder).process((0, batches)))))
        asked.append({text for block in encoder.asked for text in block})
    assert asked == [set(texts), set(texts) - {refused}]
    assert tallies[0] == tallies[1] == {"a\tdistinct_texts\t": 4, "a\ttruncated_texts\t": 0}


def test_blocks_bound_what_the_encoder_sees_at_once(tmp_path: Path) -> None:
    encoder = _Encoder()
    batches = _wanted([("a", str(n)) for n in range(7)]).to_batches()
    list(EncodePartition(_spec(tmp_path), encoder, block=3).process((0, batches)))
    assert [len(block) for block in encoder.asked] == [3, 3, 1]


def test_each_block_is_written_before_the_next_is_encoded(tmp_path: Path) -> None:
    there: list[int] = []

    class Watching(_Encoder):
        def __call__(self, texts: Sequence[str]) -> tuple[pa.FixedSizeBinaryArray, pa.BooleanArray]:
            there.append(len(list((tmp_path / "store").rglob("*.parquet"))))
            return super().__call__(texts)

    batches = _wanted([("a", str(n)) for n in range(7)]).to_batches()
    list(EncodePartition(_spec(tmp_path), Watching(), block=3).process((0, batches)))
    assert there == [0, 1, 2]


def _of_first_range(stem: str, wanted: int) -> list[str]:
    """Texts whose keys lie in the first range."""
    texts = [f"{stem}{number}" for number in range(50 * wanted)]
    ranges = partitions_of(first_words(pa.array([text_hash(text) for text in texts], ID)), PARTITIONS)
    return [text for text, number in zip(texts, ranges, strict=True) if number == 0][:wanted]


def test_a_text_without_a_vector_is_named_and_what_was_finished_is_kept(tmp_path: Path) -> None:
    spec, sound, broken = _spec(tmp_path), _of_first_range("", 4), _of_first_range(BROKEN, 2)
    wanted = _wanted([("a", text) for text in sound] + [("b", text) for text in broken])
    for asked in (4, 0):  # on the second run nothing that was finished is asked again
        encoder = _Encoder()
        with pytest.raises(ConfigError, match=f"teacher 'toy' .* dataset 'b' and begins '{BROKEN}") as raised:
            list(EncodePartition(spec, encoder, block=5).process((0, wanted.to_batches())))
        assert raised.value.exit_code == 2
        assert len({text for block in encoder.asked for text in block} & set(sound)) == asked
        assert read_vectors(spec.store, 0, PARTITIONS, DIMS).num_rows == 4


@pytest.mark.parametrize("held", [0, 2, 5])
def test_texts_that_are_cut_are_counted_whether_the_store_holds_them_or_not(tmp_path: Path, held: int) -> None:
    spec = _spec(tmp_path)
    texts = [("a", "short"), ("a", "longer than read"), ("b", "this one is too"), ("b", "x"), ("b", "and this of b")]
    list(EncodePartition(spec, _Encoder()).process((0, _wanted(texts[:held]).to_batches())))
    counted = tally(outputs(EncodePartition(spec, _Encoder()).process((0, _wanted(texts).to_batches()))))
    assert counted["a\ttruncated_texts\t"] == 1
    assert counted["b\ttruncated_texts\t"] == 2


def test_a_dataset_without_a_cut_text_counts_none(tmp_path: Path) -> None:
    step = EncodePartition(_spec(tmp_path), _Encoder())
    counted = tally(outputs(step.process((0, _wanted([("a", "x")]).to_batches()))))
    assert counted == {"a\tdistinct_texts\t": 1, "a\ttruncated_texts\t": 0}


def test_what_the_teacher_cuts_is_counted_only_where_it_is_known_of_every_text():
    names = [pa.array(block) for block in (["a", "b", "a"], ["b", "c"], ["c"])]
    cuts = [pa.array(block, pa.bool_()) for block in ([True, False, True], [True, None], [True])]
    assert count_cut(["a", "b", "c", "d"], zip(names, cuts, strict=True)) == {"a": 2, "b": 1, "d": 0}


def test_of_a_teacher_that_cannot_say_what_it_cuts_this_is_counted_as_unknown(tmp_path: Path) -> None:
    class Silent(_Encoder):
        def truncated(self, texts: Sequence[str]) -> pa.BooleanArray:
            return pa.nulls(len(texts), pa.bool_())

    step = EncodePartition(_spec(tmp_path), Silent())
    counted = tally(outputs(step.process((0, _wanted([("a", "x"), ("a", "y")]).to_batches()))))
    assert counted == {"a\tdistinct_texts\t": 2, "a\ttruncated_texts\tunknown": 2}


def test_the_files_of_one_of_several_stores_are_named_by_it(tmp_path: Path) -> None:
    spec = replace(_spec(tmp_path), prefix="store/")
    found, _ = _run(spec, _elements(spec))
    paths = [record["path"] for record in records(found, "vectors")]
    assert paths
    assert all((tmp_path / path).is_file() and path.startswith("store/") for path in paths)
