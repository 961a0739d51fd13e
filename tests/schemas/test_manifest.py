"""The manifest: balance, paths that stay below it, and what it refuses."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.manifest import (
    DatasetRecord,
    LanguageTeacherRecord,
    LanguageVectorsRecord,
    Manifest,
    OverlapRecord,
    ShardRecord,
    StageCounts,
    TeacherRecord,
    VectorsRecord,
    record_of_language,
)
from schemas.prompt import TEMPLATE
from tests.schemas.records import record

ROWS = st.integers(0, 10**9)


def _record(name: str, **stages: StageCounts) -> DatasetRecord:
    return record(name, stages, [])


def _manifest(*records: DatasetRecord) -> Manifest:
    return Manifest(config={}, code="c", libraries={}, datasets=list(records))


@given(ROWS, ROWS, st.dictionaries(st.text(max_size=5), ROWS, max_size=4), st.integers(0, 99))
def test_missing_is_what_is_neither_kept_nor_merged_nor_rejected(
    kept: int, merged: int, rejected: dict[str, int], lost: int
) -> None:
    read = kept + merged + sum(rejected.values()) + lost
    assert StageCounts(read=read, kept=kept, merged=merged, rejected=rejected).missing == lost


@pytest.mark.parametrize("field", ["read", "kept", "merged"])
def test_counts_are_not_negative(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        StageCounts.model_validate({field: -1})
    with pytest.raises(ValidationError, match="rejected"):
        StageCounts.model_validate({"rejected": {"TIE": -1}})


def test_a_stage_that_does_not_balance_is_named() -> None:
    sound = StageCounts(read=5, kept=3, merged=1, rejected={"TIE": 1})
    lossy = StageCounts(read=5, kept=3, rejected={"TIE": 1})
    manifest = _manifest(_record("a", prepare=sound), _record("b", prepare=sound, mine=lossy))
    assert manifest.unbalanced() == ["b, mine: read 5 = kept 3 + merged 0 + rejected 1 is off by 1"]
    assert _manifest(_record("a", prepare=sound)).unbalanced() == []


@pytest.mark.parametrize("path", ["/shards/a.parquet", "../a.parquet", "a/../../b.parquet"])
def test_a_shard_lies_below_the_manifest(path: str) -> None:
    with pytest.raises(ValidationError, match="must be relative to the manifest's folder"):
        ShardRecord(path=path, rows=1, sha256="0")


def test_a_manifest_survives_json_and_holds_the_prompt_template() -> None:
    toy = _record("a", prepare=StageCounts(read=1, kept=1))
    toy.shards.append(ShardRecord(path="finetune/sts/a/part-0.parquet", rows=1, sha256="0"))
    manifest = _manifest(toy)
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert manifest.model_dump()["prompt_template"] == TEMPLATE


def test_rows_that_were_rejected_for_a_set_are_those_of_every_kind() -> None:
    found = OverlapRecord(evaluation_set="SciFact", exact=2, contained=1, edited=4, queries=3, positives=9, corpus=8)
    assert found.rejected == 7
    with pytest.raises(ValidationError, match="positives"):
        OverlapRecord(evaluation_set="SciFact", positives=-1)


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="colour"):
        Manifest.model_validate({"config": {}, "code": "c", "libraries": {}, "colour": "red"})


def test_a_dataset_is_found_by_name_and_an_absent_one_says_what_is_there() -> None:
    manifest = _manifest(_record("a"), _record("b"))
    assert manifest.dataset("b").name == "b"
    with pytest.raises(KeyError, match="no dataset 'c' in this manifest; it holds a, b"):
        manifest.dataset("c")
    with pytest.raises(KeyError, match="it holds none"):
        _manifest().dataset("c")


def _vectors(store: str, **languages: Any) -> VectorsRecord:
    facts = {"store": store, "dims": 8, "query_prompt": "", "passage_prompt": ""}
    return LanguageVectorsRecord(**facts, **languages) if languages else VectorsRecord(**facts)


def test_of_one_teacher_the_manifest_says_what_it_said_before_there_were_several() -> None:
    teacher = TeacherRecord(name="minilm", digest="d", dims=384)
    own = _record("a").model_copy(update={"vectors": _vectors("s")})
    manifest = _manifest(own).model_copy(update={"teacher": teacher})
    dumped = manifest.model_dump(mode="json")
    assert "teachers" not in dumped
    assert "vectors_by_language" not in dumped["datasets"][0]
    assert Manifest.model_validate(dumped) == manifest
    assert (manifest.every_teacher, own.every_vectors) == ([teacher], [own.vectors])
    assert (_manifest().every_teacher, _record("b").every_vectors) == ([], [])


def test_of_several_teachers_each_says_its_languages() -> None:
    teachers = [LanguageTeacherRecord(name=name, digest=name, dims=8, languages=[name]) for name in ("de", "zh")]
    records = [_vectors("x", languages=["de", "zh"]), _vectors("y", languages=["en"], others=True)]
    own = _record("a").model_copy(update={"vectors_by_language": records})
    manifest = _manifest(own).model_copy(update={"teachers": teachers})
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert manifest.every_teacher == teachers
    assert [record.words for record in own.vectors_by_language] == ["de, zh", "en and others"]
    assert [record_of_language(own.every_vectors, tag).store for tag in ("zh-TW", "en", "", "fr", "deu")] == list(
        "xyyyx"
    )
    assert record_of_language([_vectors("s")], "whatever").store == "s"
