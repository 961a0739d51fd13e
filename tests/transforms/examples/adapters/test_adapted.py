"""What becomes of rows: examples, members, rejections; the first refusal holds; broken rows are told."""

import pyarrow as pa

from schemas.reasons import RejectReason
from schemas.rows import ADAPTED, PASSAGES, REJECTIONS
from tests.transforms.examples.adapters.helpers import FILE, batch, locate, make_raw, make_unit, reasons
from transforms.examples.adapters import Adapted, adapt
from transforms.examples.adapters.adapted import Refusal, judge
from transforms.examples.grouping import MEMBERS

PAIR = locate("pair", {"query": "q", "positive": "p"})
BROKEN = {"number": 1, "reason": "MALFORMED_ROW", "detail": "a field too few", "raw": "a;b"}


def test_nothing_has_all_schemas() -> None:
    nothing = Adapted()
    assert [nothing.rows.schema, nothing.members.schema, nothing.passages.schema] == [ADAPTED, MEMBERS, PASSAGES]
    assert nothing.rejections.schema == nothing.unusable.schema == REJECTIONS
    assert nothing.num_read == 0


def test_every_batch_keeps_its_schemas() -> None:
    result = adapt(PAIR, make_unit(), make_raw(batch(q=["a"], p=["b"]), [BROKEN]))
    assert (result.rows.schema, result.rejections.schema) == (ADAPTED, REJECTIONS)
    result.rows.validate(full=True)


def test_of_several_refusals_the_first_holds() -> None:
    yes, no, unknown = True, False, None
    verdicts = judge(
        3,
        [
            Refusal(pa.array([no, yes, unknown]), RejectReason.EMPTY_QUERY, "first"),
            Refusal(pa.array([no, yes, yes]), RejectReason.UNLABELLED, pa.array(["a", "b", "c"])),
        ],
    )
    assert verdicts.reason.to_pylist() == [None, "EMPTY_QUERY", "UNLABELLED"]
    assert verdicts.detail.to_pylist() == [None, "first", "c"]


def test_broken_rows_are_rejected_with_their_line_and_place() -> None:
    result = adapt(PAIR, make_unit(), make_raw(batch(q=["a"], p=["b"]), [BROKEN]))
    assert result.num_read == 2
    (row,) = result.rejections.to_pylist()
    assert row == dict.fromkeys(REJECTIONS.names) | {
        "dataset": "toy",
        "stage": "prepare",
        "reason": "MALFORMED_ROW",
        "detail": "a field too few",
        "provenance": f"{FILE}#1",
        "raw": "a;b",
    }


def test_broken_rows_come_beside_the_adapters_own() -> None:
    located = locate("labeled", {"text": "q", "label": "p"})
    result = adapt(located, make_unit(), make_raw(batch(q=["a", "b"], p=["x", None]), [BROKEN | {"number": 2}]))
    assert reasons(result) == {"1": "UNLABELLED", "2": "MALFORMED_ROW"}
    assert result.num_read == 3
