"""Which published rows a run is compared with, and in which order rows survive."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.against import Against, find_against, stale_lines
from pipelines.publish import generations_of, read_manifest
from pipelines.workplace import digest
from schemas.errors import ConfigError, DamageError, SourceError
from schemas.manifest import DatasetRecord, Manifest, ShardRecord, StageCounts
from tests.schemas.records import record
from tests.transforms.rows import canonical_rows
from transforms.duplicates.params import AgainstParams
from transforms.duplicates.scopes import DedupScope
from transforms.flow.files import parquet_bytes, publish, sha256
from transforms.flow.rejections import reject, write_rejections

PAIRS = DedupScope(pool="finetune")


def dataset(out: Path, name: str, rows: int = 3, **facts: Any) -> DatasetRecord:
    """A published dataset of so many rows."""
    data = parquet_bytes(pa.table({"id": [f"{name}{n}" for n in range(rows)]}))
    path = f"finetune/retrieval/{name}/part-00000-of-00001.parquet"
    publish(f"{out}/{path}", data)
    shards = [ShardRecord(path=path, rows=rows, sha256=sha256(data))] if rows else []
    return record(name, {}, shards).model_copy(update={"stage": "finetune", "task_type": "retrieval"} | facts)


def write(out: Path, datasets: Iterable[DatasetRecord], **facts: Any) -> Path:
    manifest = Manifest(config={}, code="c", libraries={}, datasets=list(datasets), **facts)
    publish(f"{out}/manifest.json", manifest.model_dump_json().encode())
    return out


def found(out: Path, *names: str, against: str | None = None, scope: DedupScope = PAIRS) -> Against:
    return find_against(AgainstParams(out=against), dict.fromkeys(names, scope), str(out))


def compared(against: Against) -> list[tuple[str, list[str]]]:
    return [(folder.out, sorted(folder.datasets)) for folder in against.record.folders] if against.record else []


def test_nothing_is_compared_with_where_nothing_was_published(tmp_path: Path) -> None:
    for out in (tmp_path / "none", write(tmp_path / "own", [dataset(tmp_path / "own", "a")])):
        against = found(out, "a")
        assert (against, against.facts, against.rows, against.line) == (Against(), {}, 0, None)
        assert against.scopes({"a": PAIRS}) == {"a": PAIRS}


def test_the_other_datasets_of_out_are(tmp_path: Path) -> None:
    out = write(tmp_path, [dataset(tmp_path, name) for name in "abc"] + [dataset(tmp_path, "empty", 0)])
    against = found(out, "a", "new")
    assert compared(against) == [("OUT", ["b", "c"])]
    assert against.rows == 6
    assert {part.dataset: part.place for part in against.parts.values()} == {"b": "OUT", "c": "OUT"}
    assert against.line == "comparing with 6 published rows of b, c in OUT"


def test_only_those_that_would_be_compared_within_a_run(tmp_path: Path) -> None:
    facts: dict[str, dict[str, Any]] = {
        "pre": {"stage": "pretrain"},
        "asks": {"compare": "query"},
        "labels": {"task_type": "classification"},
        "pairs": {},
    }
    out = write(tmp_path, [dataset(tmp_path, name, **values) for name, values in facts.items()])
    assert compared(found(out, "new")) == [("OUT", ["pairs"])]
    assert compared(found(out, "new", scope=DedupScope(pool="pretrain"))) == [("OUT", ["pre"])]
    assert compared(found(out, "new", scope=DedupScope(pool="finetune", across=False))) == []
    own = found(tmp_path / "b", "labels", scope=DedupScope(pool="finetune", across=False), against=str(out))
    assert compared(own) == [(str(out), ["labels"])], "of another folder, a dataset's own rows are compared with"


def test_datasets_that_came_later_do_not_count(tmp_path: Path) -> None:
    generations = {"a": 0, "b": 1, "c": 1, "d": 2}
    out = write(tmp_path, [dataset(tmp_path, name) for name in "abcd"], generations=generations)
    whom = {"a": [], "b": ["a", "c"], "d": ["a", "b", "c"], "new": ["a", "b", "c", "d"]}
    for name, others in whom.items():
        assert compared(found(out, name)) == ([("OUT", others)] if others else [])
    ranks = found(out, "a", "d", "new").ranks
    published = {part.dataset: part.scope.priority for part in found(out, "a", "d", "new").parts.values()}
    assert ranks["a"] < published["b"] == published["c"] < ranks["d"] < ranks["new"]


def test_generations_are_kept_also_by_what_is_taken_out_to_be_replaced() -> None:
    assert generations_of(None, ["b", "a"]) == {"a": 0, "b": 0}
    before = Manifest(config={}, code="", libraries={}, datasets=[record("a", {}, [])])
    assert generations_of(before, ["a", "b"]) == {"a": 0, "b": 1}
    before = before.model_copy(update={"generations": {"a": 0, "b": 1, "gone": 2}})
    assert generations_of(before, ["gone", "new"]) == {"a": 0, "b": 1, "gone": 2, "new": 3}


def test_folders_that_are_named_come_first_and_once(tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path / name, [dataset(tmp_path / name, f"of-{name}")])
    words = f"{tmp_path}/b, {tmp_path}/c/,{tmp_path}/a/../b,{tmp_path}/a"
    against = found(tmp_path / "a", "new", against=words)
    assert compared(against) == [(f"{tmp_path}/b", ["of-b"]), (f"{tmp_path}/c", ["of-c"]), ("OUT", ["of-a"])]
    ranks = {part.dataset: part.scope.priority for part in against.parts.values()}
    assert ranks["of-b"] == ranks["of-c"] < ranks["of-a"] < against.ranks["new"]


def test_none_stands_alone(tmp_path: Path) -> None:
    out = write(tmp_path, [dataset(tmp_path, "a")])
    assert found(out, "new", against="none") == Against()
    for words in ("none,other", "", " , "):
        with pytest.raises(ConfigError, match="give none alone, or folders"):
            found(out, "new", against=words)


def test_the_facts_follow_what_was_published_and_nothing_else(tmp_path: Path) -> None:
    out = write(tmp_path, [dataset(tmp_path, "a"), dataset(tmp_path, "b")])
    facts = found(out, "new").facts
    again = [dataset(tmp_path, "a"), dataset(tmp_path, "b", instruction="other")]
    assert found(write(out, again, documents=[]), "new").facts == facts
    assert found(write(out, [dataset(tmp_path, "a", 4), again[1]]), "new").facts != facts
    assert found(write(out, again[:1]), "new").facts != facts


def test_what_was_compared_with_and_has_changed_is_told_of(tmp_path: Path) -> None:
    old, new = dataset(tmp_path, "old"), dataset(tmp_path, "new")
    digest = (against := found(write(tmp_path, [old]), "new").record) and against.digest
    assert against is not None
    datasets = [old, new.model_copy(update={"against": digest})]
    manifest = Manifest(config={}, code="", libraries={}, datasets=datasets, against=[against])
    assert list(stale_lines(manifest)) == []
    changed = manifest.model_copy(update={"datasets": [dataset(tmp_path, "old", 4), datasets[1]]})
    (line,) = stale_lines(changed)
    assert line.startswith("new: compared with rows of old that OUT no longer holds")
    assert list(stale_lines(changed.model_copy(update={"datasets": [datasets[0], new]}))) == []


def test_entries_that_come_first_may_not_replace_rows_of_out(tmp_path: Path) -> None:
    out = write(tmp_path, [dataset(tmp_path, "old", priority=5)])
    params = AgainstParams(priority="entries")
    with pytest.raises(ConfigError, match="--category=old,new"):
        find_against(params, {"new": DedupScope(pool="finetune", priority=4)}, str(out))
    against = find_against(params, {"new": DedupScope(pool="finetune", priority=5)}, str(out))
    (part,) = against.parts.values()
    assert part.scope.priority < against.ranks["new"]
    other = AgainstParams(out=str(out), priority="entries")
    against = find_against(other, {"new": DedupScope(pool="finetune", priority=4)}, str(tmp_path / "b"))
    (part,) = against.parts.values()
    assert part.scope.priority > against.ranks["new"]


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (None, ConfigError, "holds no manifest.json"),
        ("{", SourceError, "it is torn or damaged"),
        ("[]", SourceError, "is not a manifest that this version can read"),
        ('{"version": 2}', SourceError, "is of version 2"),
        ('{"config": {}, "code": "", "libraries": {}, "later": 1}', SourceError, "later: unknown key"),
    ],
    ids=["absent", "torn", "no manifest", "newer", "of a newer form"],
)
def test_a_folder_that_cannot_be_used(tmp_path: Path, text: str | None, error: type[Exception], words: str) -> None:
    (tmp_path / "a").mkdir()
    if text is not None:
        (tmp_path / "a" / "manifest.json").write_text(text)
    with pytest.raises(error, match=words):
        found(tmp_path / "out", "new", against=str(tmp_path / "a"))


def test_where_nothing_was_rejected_after_comparing_the_facts_say_nothing_of_it(tmp_path: Path) -> None:
    """So stages that were made before rejected rows counted are taken as they are."""
    counts = {"prepare": StageCounts(read=9, kept=3, rejected={"TOO_SHORT": 4, "EXACT_DUPLICATE": 2})}
    out = write(tmp_path, [dataset(tmp_path, "a"), dataset(tmp_path, "b", stages=counts)])
    against = found(out, "new")
    (folder,) = against.facts["against"]["record"]["folders"]
    assert sorted(folder) == ["datasets", "digest", "out", "rows"]
    assert against.facts["against"]["record"]["digest"] == digest(["published", [folder]])
    assert (against.rows, against.lacking) == (6, ())


def rejected(out: Path, name: str, *reasons: str) -> dict[str, StageCounts]:
    """Rejections of a dataset of OUT, and the counts that say so."""
    rows = canonical_rows([{"query": f"{name} {n}", "dataset": name} for n in range(len(reasons))])
    told = reject(rows, "prepare", reasons, ["why"] * len(reasons), [None] * len(reasons))
    list(write_rejections(f"{out}/rejections", told))
    return {"prepare": StageCounts(read=len(reasons), rejected=Counter(reasons))}


def test_what_was_rejected_after_comparing_comes_after_what_was_published_and_before_new_rows(tmp_path: Path) -> None:
    counts = rejected(tmp_path, "a", "CAPPED", "TOO_LONG", "NEAR_DUPLICATE", "CAPPED", "EXACT_DUPLICATE")
    all_gone = rejected(tmp_path, "gone", "INCONSISTENT")
    write(tmp_path, [dataset(tmp_path, "a", stages=counts), dataset(tmp_path, "gone", 0, stages=all_gone)])
    for priority in ("published", "entries"):
        against = find_against(AgainstParams(priority=priority), {"new": PAIRS}, str(tmp_path))
        ranks = {(part.dataset, part.rejected): part.scope.priority for part in against.parts.values()}
        assert {key: part.rows for part in against.parts.values() for key in [(part.dataset, part.rejected)]} == {
            ("a", ""): 3,
            ("a", "CAPPED"): 2,
            ("a", "NEAR_DUPLICATE"): 1,
            ("gone", "INCONSISTENT"): 1,
        }
        assert ranks["a", ""] < ranks["a", "CAPPED"] == ranks["gone", "INCONSISTENT"] < ranks["a", "NEAR_DUPLICATE"]
        assert ranks["a", "NEAR_DUPLICATE"] < against.ranks["new"]
    assert against.rows == 7
    assert (
        against.line
        == "comparing with 3 published rows of a, gone in OUT (and 4 that it rejected after comparing them)"
    )


def test_rejected_rows_are_part_of_the_facts(tmp_path: Path) -> None:
    facts = []
    for reasons in (("CAPPED",), ("LEAKED_EVALUATION",), ("CAPPED", "CAPPED")):
        out = tmp_path / "-".join(reasons)
        facts.append(found(write(out, [dataset(out, "a", stages=rejected(out, "a", *reasons))]), "new").facts)
    assert len({str(each) for each in facts}) == 3
    again = tmp_path / "again"
    write(again, [dataset(again, "a", stages=rejected(again, "a", "CAPPED"))])
    assert found(again, "new").facts == facts[0]


def test_an_unknown_task_type_is_told_with_its_dataset(tmp_path: Path) -> None:
    out = write(tmp_path / "a", [dataset(tmp_path / "a", "odd", task_type="chess")])
    with pytest.raises(SourceError, match="of odd: 'chess' is not a valid TaskType"):
        found(tmp_path / "out", "new", against=str(out))


def test_damage_of_out_that_is_known_is_told_where_it_counts(tmp_path: Path) -> None:
    out = write(tmp_path, [dataset(tmp_path, "a"), dataset(tmp_path, "pre", stage="pretrain")])
    manifest = read_manifest(str(out))
    assert manifest is not None
    paths = {record.name: record.shards[0].path for record in manifest.datasets}
    scopes = {"new": PAIRS}
    with pytest.raises(DamageError, match=r"is gone.*CATEGORY=a, puts it back"):
        find_against(AgainstParams(), scopes, str(out), {paths["a"]: "is gone"})
    assert find_against(AgainstParams(), scopes, str(out), {paths["pre"]: "is gone"}).rows == 3
    assert find_against(AgainstParams(), scopes, str(out), {paths["a"]: "is gone"}, check=False).rows == 3


def test_the_manifest_reads_again_as_it_was_written(tmp_path: Path) -> None:
    against = found(write(tmp_path, [dataset(tmp_path, "a")]), "new").record
    assert against is not None
    manifest = Manifest(config={}, code="", libraries={}, against=[against], generations={"a": 0})
    assert Manifest.model_validate(json.loads(manifest.model_dump_json())) == manifest
