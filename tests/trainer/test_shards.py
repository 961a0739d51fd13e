import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import OutputError, SourceError
from schemas.manifest import Manifest
from schemas.rows import SHARD
from tests.trainer.curated import INSTRUCTION, PROMPT, Row, curate, manifest_of, record, row, write_shard
from trainer.order import OrderParams, epoch_order
from trainer.rows import Rows
from trainer.shards import open_rows, read_manifest


def opened(path: Path, stage: str | None = None) -> Rows:
    return open_rows(read_manifest(path), path.parent, path.parent, stage)


def texts_of(rows: Rows, number: int) -> tuple[str, list[str], list[str]]:
    """What an encoder sees of a row: its query, positives and negatives."""
    (row,) = rows.take([number])
    positives, negatives = (
        [rows.passage_text(row, text) for text in texts] for texts in (row.positives, row.negatives)
    )
    return rows.query_text(row), positives, negatives


def test_queries_carry_the_prompt_and_passages_do_not(tmp_path):
    rows = opened(
        curate(tmp_path, {"a": [row("x", 2), row("y", 1, instruction=None), row("z", 0, instruction="Other")]})
    )
    assert texts_of(rows, 0) == (PROMPT + "x q", ["x p0"], ["x n0", "x n1"])
    assert texts_of(rows, 1) == ("y q", ["y p0"], ["y n0"])
    assert texts_of(rows, 2) == ("Instruct: Other \n Query: z q", ["z p0"], [])


def test_every_text_of_a_symmetric_dataset_carries_the_prompt(tmp_path):
    rows = opened(curate(tmp_path, {"a": [row("x", 1), row("y", 1, instruction=None)]}, symmetric=["a"]))
    assert texts_of(rows, 0) == (PROMPT + "x q", [PROMPT + "x p0"], [PROMPT + "x n0"])
    assert texts_of(rows, 1) == ("y q", ["y p0"], ["y n0"])


def test_rows_keep_all_that_training_wants(tmp_path):
    full = row("x", 2, num_positives=3) | {"label": "l", "cluster_id": "c", "negative_scores": [0.5, None]}
    (found,) = opened(curate(tmp_path, {"a": [full]})).take([0])
    assert (found.dataset, found.label, found.cluster_id, found.positives) == (0, "l", "c", ["x p0", "x p1", "x p2"])
    assert found.positive_scores == pytest.approx([0.9] * 3)
    assert found.negative_scores == [0.5, None]


def test_rows_of_several_shards_are_joined_and_empty_shards_are_nothing(tmp_path):
    shards = [write_shard(tmp_path, f"{i}.parquet", rows) for i, rows in enumerate([[row("x", 1)], [], [row("y", 1)]])]
    empty = record("empty", [write_shard(tmp_path, "none.parquet", [])])
    manifest = manifest_of(empty, record("a", shards), record("bare", []))
    rows = open_rows(manifest, tmp_path, tmp_path)
    assert [found.query for found in rows.take([1, 0])] == ["y q", "x q"]
    assert (rows.names, rows.sizes, len(rows)) == (["a"], [2], 2)
    assert [dataset.name for dataset in manifest.with_rows()] == ["a"]


def test_a_row_with_one_positive_takes_sixteen_bytes_of_memory_its_place_in_the_order_included(tmp_path):
    rows = opened(curate(tmp_path, {"a": [row(f"x {i}", 0) for i in range(500)]}))
    order = epoch_order(rows.sizes, rows.keys, rows.digest, 0, OrderParams(batch_size=8))
    arrays = (rows.keys.query_R, rows.keys.positives, rows.keys.offsets, order)
    assert sum(array.nbytes for array in arrays) == 16 * 500 + 4


def test_more_rows_than_are_read_at_once_are_numbered_through(tmp_path):
    rows = opened(curate(tmp_path, {"a": [row(f"x {i}", 0) for i in range(9000)], "b": [row("y", 0)]}))
    assert len(rows.batches) == 3
    taken = rows.take([8191, 8192, 9000])
    assert [(found.dataset, found.query) for found in taken] == [(0, "x 8191 q"), (0, "x 8192 q"), (1, "y q")]
    assert len(rows.keys.query_R) == 9001
    assert rows.keys.offsets.tolist() == list(range(9002))


def test_keys_are_those_of_the_texts(tmp_path):
    one = row("x", 0, num_positives=2)
    rows = opened(curate(tmp_path, {"a": [one, row("y", 0) | {"query": "x p1"}]}))
    assert rows.keys.query_R[1] == rows.keys.positives[1]
    assert len({*rows.keys.query_R.tolist(), *rows.keys.positives.tolist()}) == 4
    assert rows.keys.offsets.tolist() == [0, 2, 3]


def test_a_stage_takes_its_own_datasets(tmp_path):
    shards = [write_shard(tmp_path, f"{i}.parquet", [row(f"x {i}", 0)]) for i in range(2)]
    manifest = manifest_of(record("a", shards[:1], stage="pretrain"), record("b", shards[1:]))
    assert open_rows(manifest, tmp_path, tmp_path, "pretrain").names == ["a"]
    assert open_rows(manifest, tmp_path, tmp_path, "finetune").names == ["b"]
    with pytest.raises(SourceError, match=r"no rows for stage finetune, but for pretrain.*STAGE=pretrain"):
        open_rows(manifest_of(record("a", shards[:1], stage="pretrain")), tmp_path, tmp_path, "finetune")


def test_the_digest_follows_the_shards(tmp_path):
    marks = [opened(curate(tmp_path, {"a": [row(name, 1)]})).digest for name in ("x", "y", "x")]
    assert marks[0] == marks[2] != marks[1]


def test_sample_texts_takes_the_first_rows_of_each_dataset(tmp_path):
    path = curate(tmp_path, {"a": [row("x", 1, None), row("y", 1, None)], "b": [row("z", 0, None)]})
    assert list(opened(path).sample_texts(1)) == ["x q", "x p0", "x n0", "z q", "z p0"]


def test_a_full_disk_is_told(tmp_path):
    manifest = read_manifest(curate(tmp_path, {"a": [row("x", 1)]}))
    with pytest.raises(OutputError, match="cannot write the training examples"):
        open_rows(manifest, tmp_path, tmp_path / "no" / "such")


def refuse(path: Path, *words: str) -> None:
    with pytest.raises(SourceError) as caught:
        opened(path)
    assert [word for word in words if word not in caught.value.message] == []


def test_no_manifest(tmp_path):
    refuse(tmp_path / "manifest.json", str(tmp_path / "manifest.json"), "make curate", "--manifest")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"shards": []}', b"\xff\xfe"])
def test_no_manifest_of_ours(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    refuse(path, str(path), "not a manifest that this version can read")


@pytest.mark.parametrize(("key", "value"), [("version", 99), ("prompt_template", "Q: {query}")])
def test_a_manifest_of_another_version_or_template(tmp_path, key, value):
    path = curate(tmp_path, {"a": [row("x", 1)]})
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    refuse(path, key, repr(value), "curate again")


def test_a_shard_that_is_gone(tmp_path):
    path = curate(tmp_path, {"a": [row("x", 1)]})
    (shard,) = tmp_path.rglob("*.parquet")
    shard.unlink()
    refuse(path, str(shard), "is gone")


def test_a_shard_that_was_cut_off(tmp_path):
    path = curate(tmp_path, {"a": [row("x", 1)]})
    (shard,) = tmp_path.rglob("*.parquet")
    shard.write_bytes(shard.read_bytes()[:-9])
    refuse(path, str(shard), "sha256", "not copied whole")


def test_no_rows(tmp_path):
    refuse(curate(tmp_path, {"a": [], "b": []}), "nothing to train on", "a, b")
    refuse(curate(tmp_path, {}), "nothing to train on", "no dataset")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"positives": []}, "no positive"),
        ({"query": None}, "no query"),
        ({"positives": None}, "no list of positives"),
        ({"negatives": None}, "no list of negatives"),
        ({"negative_scores": None}, "no list of negative scores"),
        ({"positive_scores": None}, "no list of positive scores"),
        ({"positives": ["x", None]}, "a cell without a text among its positives"),
        ({"negatives": ["x", "y", None]}, "a cell without a text among its negatives"),
    ],
)
def test_a_row_that_lacks_what_examples_have_is_named(tmp_path, changes, words):
    path = foreign(tmp_path, [row("x", 1), row("y", 0), row("z", 1) | changes])
    refuse(path, "dataset a: row 2 of ", f"has {words}, ", "curate the dataset again")


def test_rows_are_counted_through_a_shard(tmp_path):
    path = foreign(tmp_path, [*(row(f"x {i}", 0) for i in range(8200)), row("y", 0) | {"query": None}])
    refuse(path, "row 8200 of ")


def foreign(folder: Path, rows: list[Row]) -> Path:
    """A curated folder whose shard another program wrote: columns of a shard, in which cells may be empty."""
    path = curate(folder, {"a": [row("x", 0)] * len(rows)})
    (shard,) = folder.rglob("*.parquet")
    pq.write_table(pa.Table.from_pylist(rows, pa.schema([pa.field(each.name, each.type) for each in SHARD])), shard)
    put(path, shard.read_bytes())
    return path


def put(path: Path, shard: bytes) -> None:
    """Put another file in a shard's place, and its digest into the manifest."""
    (there,) = path.parent.rglob("*.parquet")
    there.write_bytes(shard)
    told = json.loads(path.read_text())
    told["datasets"][0]["shards"][0]["sha256"] = hashlib.sha256(shard).hexdigest()
    path.write_text(json.dumps(told))


@pytest.mark.parametrize("harm", ["no Parquet", "no column", "another type"])
def test_a_file_that_is_no_shard_though_the_manifest_names_it(tmp_path, harm):
    path = curate(tmp_path, {"a": [row("x", 1)]})
    (shard,) = tmp_path.rglob("*.parquet")
    table = pq.read_table(shard)
    if harm == "no column":
        pq.write_table(table.drop_columns(["negatives"]), shard)
    elif harm == "another type":
        place = table.schema.get_field_index("negatives")
        pq.write_table(table.set_column(place, "negatives", pa.array(["x n0"])), shard)
    put(path, b"PAR1" if harm == "no Parquet" else shard.read_bytes())
    refuse(path, "dataset a: ", str(shard), "is no shard that this version can read", "curate again")


@pytest.mark.parametrize(
    ("column", "values", "kind"),
    [
        ("query", [17], "int64"),
        ("instruction", [True], "bool"),
        ("label", [0.5], "double"),
        ("positives", [[1, 2]], "int64"),
        ("negatives", pa.array([[3]]).cast(pa.large_list(pa.int32())), "int32"),
    ],
)
def test_a_column_of_numbers_is_not_taken_for_texts(tmp_path, column, values, kind):
    path = curate(tmp_path, {"a": [row("x", 1)]})
    (shard,) = tmp_path.rglob("*.parquet")
    table = pq.read_table(shard)
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, pa.array(values)), shard)
    put(path, shard.read_bytes())
    refuse(path, "dataset a: ", str(shard), f"its column {column} holds {kind}, not text", "curate again")


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.binary()])
def test_texts_of_another_type_are_texts(tmp_path, kind):
    path = curate(tmp_path, {"a": [row("x", 1)]})
    (shard,) = tmp_path.rglob("*.parquet")
    table = pq.read_table(shard)
    place = table.schema.get_field_index("query")
    pq.write_table(table.set_column(place, "query", table.column("query").cast(kind)), shard)
    put(path, shard.read_bytes())
    assert texts_of(opened(path), 0) == (PROMPT + "x q", ["x p0"], ["x n0"])


def test_a_dataset_or_a_shard_that_a_manifest_lists_twice(tmp_path):
    path = curate(tmp_path, {"a": [row("x", 1)], "b": [row("y", 1)]})
    told = json.loads(path.read_text())
    first, second = told["datasets"]
    path.write_text(json.dumps(told | {"datasets": [first, second, first]}))
    refuse(path, str(path), "lists the dataset a twice", "take one of the two out, or curate again")
    path.write_text(json.dumps(told | {"datasets": [first, second | {"shards": first["shards"]}]}))
    refuse(path, f"lists the shard {first['shards'][0]['path']} twice")


def test_the_manifest_that_is_read_is_the_one_that_was_written(tmp_path):
    path = curate(tmp_path, {"a": [row("x", 1)]})
    assert read_manifest(path) == Manifest.model_validate_json(path.read_text())
    assert read_manifest(path).dataset("a").instruction == INSTRUCTION
