"""Rows that an earlier run rejected once it had compared them: new rows are judged as one run over both would."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DamageError
from schemas.readmission import Readmission
from schemas.reasons import RejectReason
from tests.transforms.duplicates.test_published import COLUMNS, NEW, OLD, SCOPES, kept_of, part_of, rows_of
from tests.transforms.duplicates.test_verification import FRAMES, WORDS, prose
from tests.transforms.rows import canonical_rows
from transforms.duplicates.components import component_labels
from transforms.duplicates.exact import decide_exact, key_rows
from transforms.duplicates.near import candidate_rows, link_rows, sign_rows, verify_candidates
from transforms.duplicates.params import MinHashParams, NearDuplicateParams
from transforms.duplicates.published import (
    AFTER_COMPARING,
    CONTRADICT,
    LINK,
    Published,
    PublishedPart,
    read_published,
    rejected_parts,
)
from transforms.duplicates.scopes import DedupScope
from transforms.flow.rejections import reject, write_rejections

#: Reasons for which a row goes that deduplication had kept.
LATER = sorted(AFTER_COMPARING - CONTRADICT - LINK)
RANKS = {"": -9} | dict.fromkeys(LATER, -8) | dict.fromkeys([*CONTRADICT, *LINK], -7)


def write(folder: Path, rows: pa.Table, reasons: Sequence[str]) -> str:
    """Rows in a file of rejections as a run leaves it; gives its path."""
    table = reject(rows, "prepare", reasons, ["why"] * rows.num_rows, [None] * rows.num_rows)
    (record, *_) = write_rejections(str(folder), table)
    return f"{folder}/{record.path}"  # type: ignore[union-attr]


def pieces(path: str, rows: Mapping[str, int], without: Readmission | None = None) -> dict[int, PublishedPart]:
    scopes = {reason: DedupScope(priority=RANKS[reason]) for reason in rows}
    return rejected_parts(path, rows, dataset="d", scopes=scopes, place="there", without=without or Readmission())


def test_what_went_before_rows_were_compared_does_not_count_nor_do_copies_of_what_stayed() -> None:
    assert {
        "CONFLICTING_LABEL",
        "NEAR_DUPLICATE",
        "PUBLISHED_DUPLICATE",
        "LEAKED_EVALUATION",
        "CAPPED",
        "UNREADABLE_TEXT",
        "INCONSISTENT",
        "LONELY_LABEL",
    } == AFTER_COMPARING


def test_rows_are_read_by_reason_as_they_were_compared(tmp_path: Path) -> None:
    facts = {"positives": ["p", "p2"], "negatives": ["n"]}
    rows = canonical_rows([{"query": f"q{n}", "label": "x" if n % 2 else None} | facts for n in range(6)])
    path = write(tmp_path, rows, ["CAPPED", "TOO_LONG", "CAPPED", "INCONSISTENT", "CAPPED", "CAPPED"])
    capped, inconsistent = pieces(path, {"CAPPED": 4, "INCONSISTENT": 1}).values()
    names = [name for name in COLUMNS if name != "score"]
    assert read_published(capped, names).equals(rows.take([0, 2, 4, 5]).select(names).combine_chunks())
    assert read_published(inconsistent, ["query"]).column("query").to_pylist() == ["q3"]
    wanted = Readmission.of(value.hex() for value in rows.column("id").to_pylist()[2:4])
    (capped, inconsistent) = pieces(path, {"CAPPED": 4, "INCONSISTENT": 1}, wanted).values()
    assert read_published(capped, ["query"]).column("query").to_pylist() == ["q0", "q4", "q5"]
    assert read_published(inconsistent, ["query"]).num_rows == 0
    (fewer,) = pieces(path, {"CAPPED": 3}).values()
    with pytest.raises(DamageError, match="holds 4 rows that were rejected as CAPPED; when the run began it held 3"):
        read_published(fewer, ["query"])


class Earlier(NamedTuple):
    """An earlier run's rows as later ones meet them, by part, with what the parts stand for."""

    tables: dict[int, pa.Table]
    published: dict[int, PublishedPart]

    @classmethod
    def of(cls, rows: pa.Table, reasons: Mapping[int, str]) -> "Earlier":
        """``reasons``: why rows went; rows without one were published."""
        numbers: dict[str, list[int]] = {}
        for row in range(rows.num_rows):
            numbers.setdefault(reasons.get(row, ""), []).append(row)
        chosen = {reason: own for reason, own in numbers.items() if not reason or reason in AFTER_COMPARING}
        parts = {-1 - at: reason for at, reason in enumerate(sorted(chosen))}
        tables = {part: rows.take(pa.array(chosen[reason])) for part, reason in parts.items()}
        published = {
            part: part_of("", len(tables[part]), scope=DedupScope(priority=RANKS[reason]), rejected=reason)
            for part, reason in parts.items()
        }
        return cls(tables, published)


def reasons_of(rows: pa.Table, part: int, decisions: pa.Table, generator: random.Random) -> dict[int, str]:
    """Why rows go: as was decided, and later for any of the other reasons."""
    found = {row["row"]: row["reason"] for row in decisions.to_pylist() if row["part"] == part}
    for row in range(rows.num_rows):
        if row not in found and generator.random() < 0.5:
            found[row] = generator.choice(LATER)
    return found


@given(rows_of(OLD, [None, 0.5, 1.0]), rows_of(NEW, [None, 1.0]), st.randoms(use_true_random=False))
def test_exact_duplicates_of_two_runs_are_those_of_one_whatever_the_first_rejected(
    old: list[dict[str, Any]], new: list[dict[str, Any]], generator: random.Random
) -> None:
    before, after = canonical_rows(old), canonical_rows(new)
    keys = [key_rows(before, 4, SCOPES), key_rows(after, 5, SCOPES)]
    together = decide_exact(pa.concat_tables(keys), SCOPES).decisions
    alone = decide_exact(keys[0], SCOPES).decisions
    earlier = Earlier.of(before, reasons_of(before, 4, alone, generator))
    ranked = {
        part: {name: DedupScope(**(vars(scope) | {"priority": known.scope.priority})) for name, scope in SCOPES.items()}
        for part, known in earlier.published.items()
    }
    there = [
        key_rows(table, part, ranked[part], earlier.published[part].rejected in CONTRADICT)
        for part, table in earlier.tables.items()
    ]
    found = decide_exact(pa.concat_tables([keys[1], *there]), SCOPES, published=earlier.published).decisions
    assert kept_of(after, 5, found) == kept_of(after, 5, together)
    assert not set(found.column("part").to_pylist()) - {5}
    ids = {name: set(earlier.tables[part].column("id").to_pylist()) for part, name in _names(earlier.published).items()}
    for row in found.to_pylist():
        if row["reason"] == "PUBLISHED_DUPLICATE":
            assert row["kept_id"] in ids[""]
            assert row["detail"].endswith(", published in there")
        elif ", rejected as " in row["detail"]:
            reason = row["detail"].rpartition(", rejected as ")[2].removesuffix(" in there")
            assert row["reason"] == "EXACT_DUPLICATE"
            assert row["kept_id"] in ids[reason]


def _names(published: Published) -> dict[int, str]:
    return {part: known.rejected for part, known in published.items()}


@pytest.mark.parametrize(
    ("name", "text", "goes"), [("d", "Q", True), ("d", "Q!", False), ("d", "r", False), ("other", "Q", False)], ids=str
)
def test_what_was_found_to_be_contradicted_contradicts_its_own_dataset_alone(name: str, text: str, goes: bool) -> None:
    """Scores are not there to be read any more, nor need they be."""
    rows = canonical_rows([{"query": "q", "positives": ["p"]}] * 2)
    new = canonical_rows([{"query": text, "positives": ["p"], "dataset": name, "score": 0.5}])
    published = {-1: part_of("", 2, rejected="CONFLICTING_LABEL")}
    keys = pa.concat_tables(
        [key_rows(rows, -1, {"d": DedupScope(priority=-9)}, contradicted=True), key_rows(new, 5, {})]
    )
    found = decide_exact(keys, {}, published=published).decisions.to_pylist()
    assert [(row["part"], row["reason"]) for row in found] == [(5, "CONFLICTING_LABEL")] * goes
    assert all(row["detail"].endswith(", one of them rejected as CONFLICTING_LABEL in there") for row in found)


def test_a_published_row_is_named_before_one_that_was_rejected() -> None:
    row = canonical_rows([{"query": "q", "positives": ["p"]}])
    earlier = Earlier.of(pa.concat_tables([row, row, row]), {0: "NEAR_DUPLICATE", 1: "CAPPED"})
    keys = [key_rows(table, part, {"d": earlier.published[part].scope}) for part, table in earlier.tables.items()]
    keys.append(key_rows(row, 5, {}))
    (found,) = decide_exact(pa.concat_tables(keys), {}, published=earlier.published).decisions.to_pylist()
    assert (found["reason"], found["detail"].rpartition(", ")[2]) == ("PUBLISHED_DUPLICATE", "published in there")


def near(
    tables: Mapping[int, pa.Table],
    params: NearDuplicateParams,
    published: Published | None = None,
    decided: pa.Table | None = None,
) -> pa.Table:
    """Decisions on near-duplicates among rows of several parts, but for those of which it was ``decided``."""
    gone = [] if decided is None else decided.select(["part", "row"]).to_pylist()
    published, bands = published or {}, []
    scopes = {part: {"d": DedupScope(priority=_rank(part, published))} for part in tables}
    for part, table in tables.items():
        if part >= 0 or published[part].rejected not in CONTRADICT:
            own = np.array([row["row"] for row in gone if row["part"] == part], np.int32)
            bands += [batch for _, batch in sign_rows(table, part, own, scopes[part], params.minhash, 1)]
    labels = component_labels(link_rows(bands))
    candidates = [
        candidate_rows(table, own, scopes[part], params)
        for part, table in tables.items()
        if (own := labels.filter(pa.array(labels.column("part").to_numpy() == part))).num_rows
    ]
    return verify_candidates(pa.concat_tables(candidates), params, published)


def _rank(part: int, published: Published) -> int:
    return part if part >= 0 else published[part].scope.priority


def cut(text: str, word: int, new: str) -> str:
    words = text.split()
    return " ".join([*words[:word], new, *words[word + 1 :]])


def family(seed: int) -> list[str]:
    """Texts each of which differs from the one before in one more word: what links two of them may be a third."""
    generator, text = random.Random(seed), prose(seed, 40)
    texts = [text]
    for word in generator.sample(range(40), 5):
        texts.append(cut(texts[-1], word, f"other{generator.randrange(1000)}"))
    return generator.sample(texts, len(texts))


def planted(seed: int) -> tuple[list[str], list[str]]:
    """Texts of an earlier run and of a later one: members of the same families, and copies."""
    generator = random.Random(seed)
    families = [family(100 * seed + number) for number in range(12)]
    old = [text for texts in families for text in texts[:3]]
    return old, [text for texts in families for text in [*texts[3:], *generator.sample(texts, 1)]]


#: Few bands, so that many pairs are linked by a third row alone.
SPARSE = NearDuplicateParams(minhash=MinHashParams(bands=4, rows=6))


@pytest.mark.parametrize("params", [SPARSE, NearDuplicateParams()], ids=["few bands", "default"])
def test_near_duplicates_of_two_runs_are_those_of_one_whatever_the_first_rejected(params: NearDuplicateParams) -> None:
    """But where new rows link old ones that the first run did not see side by side: then that one differs already."""
    comparable, needed = 0, {"rows that went later": 0, "links": 0}
    for seed in range(40):
        before, after = (canonical_rows([{"query": text} for text in texts]) for texts in planted(seed))
        together, alone = _decided({4: before, 5: after}, params), _decided({4: before}, params)
        if kept_of(before, 4, together) != kept_of(before, 4, alone):
            continue
        comparable += 1
        earlier = Earlier.of(before, reasons_of(before, 4, alone, random.Random(seed)))
        found = _decided(earlier.tables | {5: after}, params, earlier.published)
        assert kept_of(after, 5, found) == kept_of(after, 5, together)
        assert set(found.column("part").to_pylist()) == {5}
        _check_words(found, earlier)
        for name, reasons in (("rows that went later", LATER), ("links", LINK)):
            rest = {
                part: table for part, table in earlier.tables.items() if earlier.published[part].rejected not in reasons
            }
            without = _decided(rest | {5: after}, params, earlier.published)
            needed[name] += kept_of(after, 5, without) != kept_of(after, 5, together)
    assert comparable >= 10
    assert needed["rows that went later"] > comparable / 2
    assert needed["links"] > 0 or params is not SPARSE


def _decided(
    tables: Mapping[int, pa.Table], params: NearDuplicateParams, published: Published | None = None
) -> pa.Table:
    """All decisions, exact ones first; rows of earlier runs are not decided about."""
    scopes = {part: {"d": DedupScope(priority=_rank(part, published or {}))} for part in tables}
    keys = [key_rows(table, part, scopes[part]) for part, table in tables.items()]
    exact = decide_exact(pa.concat_tables(keys), {}, published=published).decisions
    return pa.concat_tables([exact, near(tables, params, published, exact)])


def _check_words(found: pa.Table, earlier: Earlier) -> None:
    """Each decision names the row that stands in the way, and why that one went itself."""
    ids = {
        value: earlier.published[part].rejected
        for part, table in earlier.tables.items()
        for value in table.column("id").to_pylist()
    }
    for row in found.to_pylist():
        if row["kept_id"] not in ids:
            assert " in there" not in row["detail"]
        elif reason := ids[row["kept_id"]]:
            assert row["reason"] in ("EXACT_DUPLICATE", "NEAR_DUPLICATE")
            assert row["detail"].endswith(f"row of d, rejected as {reason} in there")
            assert row["reason"] == "EXACT_DUPLICATE" or reason not in LINK
        else:
            assert row["reason"] == RejectReason.PUBLISHED_DUPLICATE
            assert row["detail"].endswith("row of d, published in there")


def test_a_rejected_near_duplicate_stands_for_nobody_though_what_it_resembled_is_not_there() -> None:
    texts = [prose(1, 40)]
    texts.append(cut(texts[0], 20, "another"))
    tables = {-1: canonical_rows([{"query": texts[0]}]), 5: canonical_rows([{"query": texts[1]}])}
    for reason, goes in (("PUBLISHED_DUPLICATE", False), ("NEAR_DUPLICATE", False), ("CAPPED", True), ("", True)):
        published = {-1: part_of("", 1, rejected=reason)}
        assert near(tables, NearDuplicateParams(), published).num_rows == goes, reason


@pytest.mark.parametrize("frame", FRAMES)
def test_rows_that_fill_the_template_of_rejected_ones_stay(frame: str) -> None:
    texts = [frame.format(word) for word in WORDS[:20]]
    tables = {-1: canonical_rows([{"query": text} for text in texts[:10]])}
    tables[5] = canonical_rows([{"query": text} for text in texts[10:]])
    assert near(tables, NearDuplicateParams(), {-1: part_of("", 10, rejected="CAPPED")}).num_rows == 0
