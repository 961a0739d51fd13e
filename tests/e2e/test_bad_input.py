"""Whatever is wrong is said in words, with the exit code of its kind, or counted row by row; never a bare traceback."""

import fcntl
import gzip
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog import load_catalog
from pipelines.curate_command import main
from schemas.errors import CatalogError, ConfigError, OutputError, SourceError
from tests.e2e.running import ROOT, curate, flags, manifest_of, published, rejections, start
from transforms.keeping.alarms import AlarmError

ENTRY = """\
name: mine
title: Mine
stage: finetune
task_type: retrieval
languages: [en]
source:
  hub: me/mine
adapter: pair
columns:
  query: question
  positive: answer
"""
TOPICS = ("the tides of the sea", "an old stone bridge", "how bread is baked", "the flight of geese", "a clock maker")
ROWS = [
    {"question": f"What is number {i} about {topic}?", "answer": f"Entry {i} of the book tells of {topic} at length."}
    for i, topic in enumerate(TOPICS)
]


class Place:
    """A directory in hub layout with one dataset of our own, a catalog that has its entry, and an OUT."""

    def __init__(self, root: Path, teacher: Path) -> None:
        self.source, self.catalog, self.out, self._teacher = root / "source", root / "catalog", root / "out", teacher
        self.folder = self.source / "datasets" / "me" / "mine" / "default"
        self.folder.mkdir(parents=True)
        self.catalog.mkdir()
        self.entry(ENTRY)

    def entry(self, text: str) -> None:
        (self.catalog / "mine.yaml").write_text(text, "utf-8")

    def put(self, data: bytes, ending: str) -> None:
        (self.folder / f"train-00000-of-00001.{ending}").write_bytes(data)

    def lines(self, *lines: bytes) -> None:
        self.put(b"".join(line + b"\n" for line in lines), "jsonl")

    def arguments(self, category: str = "mine", **options: object) -> list[str]:
        places: dict[str, object] = {"source": self.source, "catalog": self.catalog}
        return flags(self.out, self._teacher, category, **(places | options))


@pytest.fixture
def place(tmp_path: Path, teacher: Path) -> Place:
    return Place(tmp_path, teacher)


Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail with an error's exit code and one message; gives the message."""

    def run(arguments: list[str], error: type[Exception]) -> str:
        capsys.readouterr()
        assert main([*arguments, "--quiet"]) == error.exit_code  # type: ignore[attr-defined]
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        assert said.err.count("error: ") == 1
        assert said.out == ""
        return said.err.partition("error: ")[2]

    return run


def well_formed() -> list[bytes]:
    return [json.dumps(row).encode() for row in ROWS]


# --- the command line and the catalog


@pytest.mark.slow
def test_an_unknown_category_names_those_that_are_near(tmp_path: Path, teacher: Path) -> None:
    run = start(flags(tmp_path, teacher, "retreival"))
    out, errors = run.communicate(timeout=300)
    assert run.returncode == ConfigError.exit_code
    assert out == ""
    assert "unknown category 'retreival': did you mean retrieval" in errors
    assert "Traceback" not in errors
    assert published(tmp_path) == []


def test_an_unknown_flag_is_not_passed_over(refused: Refused, tmp_path: Path, teacher: Path) -> None:
    message = refused([*flags(tmp_path, teacher, "tnews"), "--limits=3"], ConfigError)
    assert message.startswith("unknown flag '--limits=3'")


@pytest.mark.parametrize(("flag", "value"), [("limit", "0"), ("limit", "many"), ("workers", "0"), ("seed", "x")])
def test_a_value_that_cannot_be_used_is_named(
    refused: Refused, tmp_path: Path, teacher: Path, flag: str, value: str
) -> None:
    assert flag in refused(flags(tmp_path, teacher, "tnews", **{flag: value}), ConfigError)


def test_a_teacher_that_is_not_here_is_named(refused: Refused, tmp_path: Path) -> None:
    message = refused(flags(tmp_path, tmp_path / "no-teacher", "tnews"), ConfigError)
    assert "no-teacher" in message
    assert "nothing is downloaded" in message


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("adapter: pair", "adaptor: pair", 8, "unknown key"),
        ("adapter: pair", "adapter: pairs", 8, "'triplet'"),
        ("question", "question\n  querry: q", 9, "unknown: ['querry']"),
        ("name: mine", "name: Mine", 1, "name"),
        ("languages: [en]", "languages: [en", 6, "not a YAML document"),
    ],
)
def test_a_bad_entry_is_shown_by_its_line(
    place: Place, refused: Refused, old: str, new: str, line: int, words: str
) -> None:
    place.entry(ENTRY.replace(old, new))
    message = refused(place.arguments(), CatalogError)
    assert str(place.catalog / "mine.yaml") in message
    assert words in message
    assert f":{line}" in message or f"line {line}" in message


def test_a_catalog_folder_without_entries_is_named(place: Place, refused: Refused) -> None:
    (place.catalog / "mine.yaml").unlink()
    assert str(place.catalog) in refused(place.arguments(), CatalogError)


# --- the source


def test_a_source_that_is_not_there(place: Place, refused: Refused, tmp_path: Path) -> None:
    message = refused(place.arguments(source=tmp_path / "nowhere"), SourceError)
    assert f"SOURCE={tmp_path / 'nowhere'} is not a directory in hub layout" in message


def test_a_directory_without_data(place: Place, refused: Refused) -> None:
    message = refused(place.arguments(category="m*"), SourceError)
    assert "holds none" in message
    assert "datasets/me/mine" in message


def test_a_dataset_named_exactly_that_is_absent(place: Place, refused: Refused) -> None:
    place.lines(*well_formed())
    message = refused(place.arguments(category="mine,jaquad"), SourceError)
    assert message.startswith("jaquad: catalog/extra/jaquad.yaml:")
    assert "holds no datasets/SkelterLabsInc/JaQuAD" in message
    assert "me/mine" in message


def test_what_is_absent_of_a_glob_is_listed_and_the_rest_is_made(place: Place) -> None:
    place.lines(*well_formed())
    assert main([*place.arguments(category="m*"), "-q"]) == 0
    manifest = manifest_of(place.out)
    assert [record.name for record in manifest.datasets] == ["mine"]
    absent = {record.name: record.detail for record in manifest.absent}
    assert absent.keys() == {name for name in load_catalog() if name.startswith("m")}
    assert "nyu-mll/multi_nli" in absent["multinli"]


def test_a_missing_column_names_file_column_columns_and_the_line_to_mend(place: Place, refused: Refused) -> None:
    place.put(b"", "parquet")
    pq.write_table(
        pa.table({"question": ["What is it?"], "reply": ["A reply."]}), place.folder / "train-00000-of-00001.parquet"
    )
    message = refused(place.arguments(), SourceError)
    assert "datasets/me/mine/default/train-00000-of-00001.parquet has no column 'answer'" in message
    assert f"asked for in {place.catalog / 'mine.yaml'}:11" in message
    assert "The columns there: question, reply." in message


def test_a_column_of_the_wrong_type_is_a_fault_of_the_entry_or_of_each_row(place: Place, refused: Refused) -> None:
    table = pa.table({"question": [row["question"] for row in ROWS], "answer": [["a", "b"]] * len(ROWS)})
    pq.write_table(table, place.folder / "train-00000-of-00001.parquet")
    message = refused(place.arguments(), CatalogError)
    assert f"{place.catalog / 'mine.yaml'}:11" in message
    assert "list" in message


def test_a_column_that_became_another_type_upstream_is_shown_with_the_fields_it_has_now(
    place: Place, refused: Refused
) -> None:
    place.entry(ENTRY.replace("positive: answer", "positive: answer.text"))
    table = pa.table({"question": [row["question"] for row in ROWS], "answer": [{"body": "It is so."}] * len(ROWS)})
    pq.write_table(table, place.folder / "train-00000-of-00001.parquet")
    message = refused(place.arguments(), CatalogError)
    assert f"{place.catalog / 'mine.yaml'}:11: positive, read from datasets/me/mine/default/train-0" in message
    assert "there is no field 'text'; the fields there are body" in message
    pq.write_table(
        pa.table({"question": [1, 2], "answer": [{"text": "It is so."}] * 2}),
        place.folder / "train-00000-of-00001.parquet",
    )
    message = refused(place.arguments(), CatalogError)
    assert f"{place.catalog / 'mine.yaml'}:10: query, read from" in message
    assert "text is wanted, but the column holds int64, which says nothing to a reader" in message


def test_a_split_that_was_renamed_is_shown_with_those_there_are(place: Place, refused: Refused) -> None:
    place.lines(*well_formed())
    place.entry(ENTRY.replace("hub: me/mine", "hub: me/mine\n  split: training"))
    message = refused(place.arguments(), SourceError)
    assert message.startswith(f"mine: {place.catalog / 'mine.yaml'}:8: no files of config default, split training; ")
    assert "datasets/me/mine holds default/train" in message


def test_a_configuration_without_rows_is_shown_with_its_file_and_the_others_are_read(place: Place) -> None:
    place.lines(*well_formed())
    place.entry(ENTRY.replace("hub: me/mine", "hub: me/mine\n  configs: [default, other]"))
    other = place.folder.parent / "other" / "train.parquet"
    other.parent.mkdir()
    pq.write_table(pa.table({"question": pa.array([], pa.string()), "answer": pa.array([], pa.string())}), other)
    assert main([*place.arguments(), "-q"]) == 0
    manifest = manifest_of(place.out)
    assert manifest.dataset("mine").stages["prepare"].read == len(ROWS)
    (absent,) = manifest.absent
    assert absent.detail.startswith(
        f"{place.catalog / 'mine.yaml'}:6: config other, split train: its files hold no rows"
    )
    assert f"datasets/me/mine/other/train.parquet ({other.stat().st_size} bytes)" in absent.detail


LABELED = """\
name: mine
title: Mine
stage: finetune
task_type: classification
languages: [en]
source:
  hub: me/mine
adapter: labeled
columns:
  text: answer
  label: label
label_names: [bad, good]
"""


def test_classes_in_another_order_than_the_files_own_are_refused(place: Place, refused: Refused) -> None:
    place.entry(LABELED)
    features = {"label": {"_type": "ClassLabel", "names": ["Good", "Bad"]}}
    table = pa.table({"answer": [row["answer"] for row in ROWS], "label": [0, 1, 0, 1, 0]})
    stated = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(stated, place.folder / "train-00000-of-00001.parquet")
    message = refused(place.arguments(), CatalogError)
    assert message.startswith(f"{place.catalog / 'mine.yaml'}:12: label_names: datasets/me/mine/default/train-00000")
    assert "has the same classes in another order: Good, Bad" in message


BAD_ROWS = {
    "MALFORMED_ROW": b'{"question": "Where does this line e',
    "INVALID_UTF8": b'{"question": "What is caf\xe9?", "answer": "A place where coffee is drunk."}',
    "WRONG_TYPE": b'{"question": {"text": "What is it?"}, "answer": "It is another thing altogether."}',
    "EMPTY_QUERY": b'{"question": null, "answer": "Nobody asked about this thing here."}',
    "EMPTY_POSITIVE": b'{"question": "What has no answer at all here?", "answer": null}',
}


def test_each_bad_row_is_counted_and_kept_with_its_place(place: Place) -> None:
    place.lines(*well_formed(), *BAD_ROWS.values())
    assert main([*place.arguments(), "-q"]) == 0
    counts = manifest_of(place.out).dataset("mine").stages["prepare"]
    assert (counts.read, counts.kept) == (10, 5)
    assert counts.rejected == dict.fromkeys(BAD_ROWS, 1)
    found = {row["reason"]: row for row in rejections(place.out, "mine") if row["stage"] == "prepare"}
    file = "datasets/me/mine/default/train-00000-of-00001.jsonl"
    assert {reason: row["provenance"] for reason, row in found.items()} == {
        reason: f"{file}#{number}" for number, reason in enumerate(BAD_ROWS, start=5)
    }
    assert found["INVALID_UTF8"]["raw"].startswith('{"question": "What is caf\\xe9?"')
    assert found["MALFORMED_ROW"]["raw"].startswith('{"question": "Where does')
    assert found["EMPTY_QUERY"]["positives"] == ["Nobody asked about this thing here."]


def test_a_dataset_of_copies_stops_the_run_until_a_person_allows_it(place: Place, refused: Refused) -> None:
    copy, *others = well_formed()
    place.lines(copy, copy, copy, copy, *others[:1])
    message = refused(place.arguments(), AlarmError)
    first, look, example, remedy = message.splitlines()
    assert first == "mine lost 3 of 5 examples (60%) to EXACT_DUPLICATE (duplicate)"
    assert look.startswith("  look at: `compare` and `columns` of the entry")
    assert "train-00000-of-00001.jsonl#" in example
    assert remedy.startswith("Nothing was published.")
    assert published(place.out) == []
    assert main([*place.arguments(), "-q", "--allow_alarms"]) == 0
    record = manifest_of(place.out).dataset("mine")
    assert record.stages["prepare"].kept == 2
    (alarm,) = record.alarms
    assert (alarm.alarm, alarm.stage, alarm.reason, alarm.rows, alarm.of) == (
        "LOST",
        "prepare",
        "EXACT_DUPLICATE",
        3,
        5,
    )


def test_a_dataset_in_another_encoding_keeps_nothing_and_stops_the_run(place: Place, refused: Refused) -> None:
    rows = [
        {"question": f"北京第{n}个公园今天开门吗？", "answer": f"第{n}个公园每天早上六点开门，晚上十点关门。"}
        for n in range(9)
    ]
    place.lines(*(json.dumps(row, ensure_ascii=False).encode("gb18030") for row in rows))
    message = refused(place.arguments(), AlarmError)
    assert message.startswith("The run keeps no row at all.\nmine keeps none of 9 rows after prepare")
    assert "INVALID_UTF8" in message
    assert "the rows look like gb18030" in message
    assert published(place.out) == []
    assert main([*place.arguments(), "--allow_alarms"]) == 0
    record = manifest_of(place.out).dataset("mine")
    assert [alarm.alarm for alarm in record.alarms] == ["NOTHING_KEPT"]
    assert record.shards == []


def test_another_answer_is_another_row_unless_the_entry_compares_queries(place: Place) -> None:
    other = ROWS[0] | {"answer": "Another answer, which is longer than the first one and says the most of the two."}
    place.lines(*well_formed(), json.dumps(other).encode())
    assert main([*place.arguments(), "-q"]) == 0
    assert manifest_of(place.out).dataset("mine").stages["prepare"].kept == 6
    place.entry(f"{ENTRY}compare: query\npriority: 3\n")
    assert main([*place.arguments(), "-q"]) == 0
    record = manifest_of(place.out).dataset("mine")
    assert (record.stages["prepare"].kept, record.compare, record.priority) == (5, "query", 3)
    (gone,) = [row for row in rejections(place.out, "mine") if row["stage"] == "prepare"]
    assert (gone["reason"], gone["positives"]) == ("EXACT_DUPLICATE", [ROWS[0]["answer"]])
    assert gone["detail"] == "the same query, but for case and punctuation, as a row of mine"


def test_a_dataset_without_one_sound_row_is_made_without_shards_if_that_is_allowed(
    place: Place, refused: Refused
) -> None:
    place.lines(*BAD_ROWS.values())
    assert refused(place.arguments(), AlarmError).startswith("The run keeps no row at all.")
    assert main([*place.arguments(), "-q", "--allow_alarms"]) == 0
    record = manifest_of(place.out).dataset("mine")
    assert (record.stages["prepare"].read, record.stages["prepare"].kept, record.shards) == (5, 0, [])
    assert len(rejections(place.out, "mine")) == 5


@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv"])
def test_an_empty_file_is_absent_data(place: Place, refused: Refused, ending: str) -> None:
    place.put(b"", ending)
    assert "hold no rows" in refused(place.arguments(), SourceError)


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(ROWS * 50), sink)
    return sink.getvalue().to_pybytes()


def damaged() -> Iterator[tuple[str, bytes, str]]:
    lines = b"\n".join(well_formed() * 50)
    yield "parquet", b"", "parquet file"
    yield "parquet", parquet()[:-300], "parquet file"
    yield "parquet", parquet()[:200] + b"\0" * 400 + parquet()[600:], "parquet file"
    yield "jsonl.gz", gzip.compress(lines)[:-20], "gzip file"
    yield "jsonl.gz", b"", "hold no rows"
    yield "jsonl.zst", b"not zstd at all", "zstd file"


@pytest.mark.parametrize(("ending", "data", "words"), list(damaged()))
def test_a_file_that_is_cut_off_or_damaged_is_named(
    place: Place, refused: Refused, ending: str, data: bytes, words: str
) -> None:
    place.put(data, ending)
    message = refused(place.arguments(), SourceError)
    assert words in message
    assert f"datasets/me/mine/default/train-00000-of-00001.{ending}" in message or words == "hold no rows"
    assert published(place.out) == []


# --- the place of output


def test_a_file_where_out_should_be(refused: Refused, place: Place) -> None:
    place.lines(*well_formed())
    place.out.write_text("here already")
    message = refused(place.arguments(), OutputError)
    assert str(place.out) in message
    assert "OUT=<folder>" in message
    assert place.out.read_text() == "here already"


def test_a_file_where_shards_should_be(refused: Refused, place: Place) -> None:
    place.lines(*well_formed())
    place.out.mkdir()
    (place.out / "finetune").write_text("here already")
    message = refused(place.arguments(), OutputError)
    assert str(place.out / "finetune") in message
    assert not (place.out / "manifest.json").exists()


def test_a_manifest_that_is_not_ours_is_not_replaced(refused: Refused, place: Place) -> None:
    place.lines(*well_formed())
    place.out.mkdir()
    (place.out / "manifest.json").write_text('{"name": "a web page"}')
    message = refused(place.arguments(), OutputError)
    assert "manifest.json is not a manifest that this version can read" in message
    assert (place.out / "manifest.json").read_text() == '{"name": "a web page"}'


def test_a_second_run_in_the_same_place_is_refused_while_one_works(refused: Refused, place: Place) -> None:
    place.lines(*well_formed())
    (place.out / ".work").mkdir(parents=True)
    with (place.out / ".work" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        message = refused(place.arguments(), OutputError)
    assert "another run is at work" in message
    assert published(place.out) == []


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 64 KiB. Skips the test where mounting one is not permitted."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)], check=False, capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"mounting a small tmpfs is not permitted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_said_and_mended_by_running_elsewhere(
    refused: Refused, place: Place, tmp_path: Path, teacher: Path
) -> None:
    if not hasattr(os, "geteuid") or os.geteuid():
        pytest.skip("mounting a small tmpfs needs root")
    with small_disk(tmp_path / "disk") as disk:
        message = refused(flags(disk / "out", teacher, "webgpt-comparisons"), OutputError)
        assert "the disk is full: free space, or choose another place with OUT=<folder>" in message
        assert published(disk / "out") == []
        curate(tmp_path / "out", teacher, "webgpt-comparisons")


@pytest.mark.slow
@pytest.mark.usefixtures("small_out")  # so that compiled loops are in their caches, which could not be written
def test_a_file_that_grows_too_large_is_said(tmp_path: Path, teacher: Path) -> None:
    """Where no disk can be mounted: the system refuses to let any file grow beyond 4 KiB."""

    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    run = start([*flags(tmp_path / "out", teacher, "webgpt-comparisons"), "-q"], preexec_fn=limit_file_size)
    _, errors = run.communicate(timeout=300)
    assert run.returncode == OutputError.exit_code, errors
    assert "error: cannot write" in errors
    assert "File too large" in errors
    assert "Traceback" not in errors
    assert published(tmp_path / "out") == []


@pytest.mark.slow
def test_an_error_that_is_nobodys_is_said_too(tmp_path: Path) -> None:
    """A fault of the program has its traceback, and words after it."""
    script = (
        "import sys, pipelines.curate as c, pipelines.curate_command as of; c.plan = None; "
        "raise SystemExit(of.main(['--out=' + sys.argv[1]]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 70
    assert "Traceback" in run.stderr
    assert "error: this is a fault of the program, not of your data" in run.stderr
