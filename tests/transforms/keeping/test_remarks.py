from transforms.flow.counts import count, least_id, note_count, remarks, stage_counts
from transforms.keeping.remarks import SHOWN, remark_lines

COUNTS = [
    note_count("a", "a key\ttwice", 3),
    count("a", "read", 60),
    count("a", "rejected", 60, "DANGLING_ID"),
    least_id("a", "judged_passages", "12"),
    least_id("a", "corpus", "0013"),
    least_id("a", "corpus", "0012"),
    least_id("b", "corpus", "x"),
    count("b", "read", 60),
    count("b", "kept", 59),
    count("b", "rejected", 1, "DANGLING_ID"),
]


def test_notes_and_ids_stand_beside_the_counts_and_change_no_balance() -> None:
    assert remarks(COUNTS) == {
        "notes": {"a": {"a key twice": 3}},
        "ids": {"a": {"judged_passages": "12", "corpus": "0012"}, "b": {"corpus": "x"}},
    }
    assert remarks(COUNTS) == remarks(COUNTS[::-1])
    assert all(stage.missing == 0 for stage in stage_counts(COUNTS, ["a", "b"]).values())
    assert remarks([]) == {}


def test_an_id_of_each_side_is_shown_where_many_judgments_dangle() -> None:
    counts = {name: stage.model_dump() for name, stage in stage_counts(COUNTS, ["a", "b"]).items()}
    lines = remark_lines({"counts": counts, **remarks(COUNTS)})
    assert lines == [
        "a: a key twice (3)",
        "a: 60 of 60 judgments name an id that is not there; the first ids are corpus '0012', judged passages '12'",
    ]


def test_many_notes_are_counted() -> None:
    notes = {"notes": {"a": {f"note {number}": 1 for number in range(SHOWN + 5)}}, "counts": {}}
    assert len(remark_lines(notes)) == SHOWN + 1
    assert remark_lines(notes)[-1].startswith("5 more; ")
