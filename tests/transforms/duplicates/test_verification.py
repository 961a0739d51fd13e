"""Verification against brute force over sets of strings; templates and families of edited copies told apart."""

import random
import re
from itertools import combinations, pairwise, product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks._measure import run_module
from transforms.duplicates import verification
from transforms.duplicates.params import MinHashParams, VerificationParams
from transforms.duplicates.verification import chains, verify
from transforms.flow.kernels import offsets_of
from transforms.text.matching import matching_forms

WORDS = re.findall(
    "[a-z]+",
    "harbour ledger violet thunder copper meadow lantern quarrel saddle timber velvet walnut anchor bishop candle "
    "dagger engine fabric garnet hammer island jacket kettle ladder magnet needle orchid pepper quartz ribbon silver",
)
SYLLABLES = re.findall("[a-z]{2}", "kanotilemuraseviporuhagodebixyzu")


def shingles(text: str, size: int = 5) -> set[str]:
    return {text[start : start + size] for start in range(len(text) - size + 1)}


def jaccard(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / max(len(a | b), 1)


def plain_resemblance(one: list[str], other: list[str], params: VerificationParams, min_shingles: int) -> float:
    least = 1.0
    for a, b in zip(one, other, strict=True):
        if a != b:
            enough = min(len(shingles(a)), len(shingles(b))) >= min_shingles
            least = min(least, jaccard(a, b) if enough else 0.0)
    return least if least >= params.jaccard else 0.0


def plain_verify(
    rows: list[list[str]], groups: list[int], params: VerificationParams, min_shingles: int
) -> tuple[list[int], list[float]]:
    representatives, similarities = list(range(len(rows))), [1.0] * len(rows)
    for start, end in pairwise(groups):
        for row in range(start, end):
            for earlier in range(start, row):
                found = plain_resemblance(rows[row], rows[earlier], params, min_shingles)
                if representatives[earlier] == earlier and found:
                    representatives[row], similarities[row] = earlier, found
                    break
    return representatives, similarities


def plain_chains(rows: list[list[str]], groups: list[int], params: VerificationParams, min_shingles: int) -> list[int]:
    """Each row's set, by its first: copies join the sets of all representatives of their group that they resemble."""
    representatives, _ = plain_verify(rows, groups, params, min_shingles)
    labels = list(representatives)
    for start, end in pairwise(groups):
        for row, other in product(range(start, end), repeat=2):
            is_link = representatives[row] != row and representatives[other] == other
            if is_link and plain_resemblance(rows[row], rows[other], params, min_shingles):
                both = {labels[row], labels[other]}
                labels = [min(both) if label in both else label for label in labels]
    return labels


def prose(seed: int, words: int = 60) -> str:
    generator = random.Random(seed)
    return " ".join("".join(generator.choices(SYLLABLES, k=generator.randint(1, 4))) for _ in range(words))


def with_edit(text: str, start: int, new: str) -> str:
    return text[:start] + new + text[start + len(new) :]


def run(*fields: list[str], params: VerificationParams | None = None) -> list[int]:
    forms = [matching_forms(pa.array(field)) for field in fields]
    return verify(
        forms, np.array([0, len(fields[0])]), params or VerificationParams(), MinHashParams()
    ).representatives.tolist()


PIECES = st.sampled_from(["abcdefg", "hijkl", "mnopq rst", "uvw", "ab", "字字母"])
TEXT = st.one_of(st.lists(PIECES, min_size=3, max_size=8).map("".join), st.text("ab", max_size=12))
ROWS = {width: st.lists(st.lists(TEXT, min_size=width, max_size=width), max_size=5) for width in (1, 2)}


@settings(deadline=None)
@given(
    st.one_of(st.lists(ROWS[1], max_size=3), st.lists(ROWS[2], max_size=3)),
    st.sampled_from([0.3, 0.5, 0.8, 1.0]),
    st.integers(1, 10),
)
def test_the_same_as_brute_force(grouped: list[list[list[str]]], min_jaccard: float, min_shingles: int) -> None:
    rows = [row for group in grouped for row in group]
    if not rows:
        return
    params = VerificationParams(jaccard=min_jaccard, family_jaccard=0.1, spare_templates=False)
    groups = offsets_of(np.array([len(group) for group in grouped]))
    fields = [pa.array(field, pa.large_string()) for field in zip(*rows, strict=True)]
    verdicts = verify(fields, groups, params, MinHashParams(min_shingles=min_shingles))
    expected, similarities = plain_verify(rows, groups.tolist(), params, min_shingles)
    assert verdicts.representatives.tolist() == expected
    assert verdicts.jaccards.tolist() == pytest.approx(similarities)
    found = chains(fields, groups, params, MinHashParams(min_shingles=min_shingles))
    assert found.tolist() == plain_chains(rows, groups.tolist(), params, min_shingles)


def test_a_chain_is_not_closed() -> None:
    """Each text resembles its neighbours, the ends do not resemble each other: only neighbours of a survivor go."""
    text, steps = prose(1, 120), [prose(2)[:50], prose(3)[:50], prose(4)[:50]]
    chain = [text]
    for number, step in enumerate(steps):
        chain.append(with_edit(chain[-1], 100 * number, step))
    assert all(jaccard(a, b) >= 0.8 for a, b in pairwise(chain))
    assert jaccard(chain[0], chain[2]) < 0.8
    assert run(chain, params=VerificationParams(spare_templates=False)) == [0, 0, 2, 2]


@pytest.mark.parametrize("others", [0, 30])
def test_chains_are_closed_over_what_links_representatives(others: int) -> None:
    chain = [prose(1, 120)]
    for number, step in enumerate([prose(2)[:50], prose(3)[:50]]):
        chain.append(with_edit(chain[-1], 100 * number, step))
    rows = [[text] for text in [chain[0], chain[2], *(prose(100 + number) for number in range(others)), chain[1]]]
    params, groups = VerificationParams(), np.array([0, len(rows)])
    forms = [matching_forms(pa.array([row[0] for row in rows]))]
    assert verify(forms, groups, params, MinHashParams()).representatives.tolist() == [*range(len(rows) - 1), 0]
    found = chains(forms, groups, params, MinHashParams()).tolist()
    assert found == [0, 0, *range(2, 2 + others), 0]
    assert found == plain_chains(rows, [0, len(rows)], params, MinHashParams().min_shingles)


def test_templates_are_no_chains() -> None:
    rows = [FRAMES[0].format(f"{a} {b}") for a, b in combinations(WORDS[:12], 2)]
    forms = [matching_forms(pa.array(rows))]
    assert chains(forms, np.array([0, len(rows)]), VerificationParams(), MinHashParams()).tolist() == [
        *range(len(rows))
    ]


def test_the_same_question_with_another_answer_stays() -> None:
    assert run(["who wrote it"] * 3, [prose(1), prose(2), prose(1)]) == [0, 1, 0]


def test_another_short_question_with_the_same_answer_stays() -> None:
    assert run(["hours of the north branch", "hours of the south branch"], [prose(1)] * 2) == [0, 1]


def test_a_copy_with_an_edit_goes() -> None:
    text = prose(5)
    assert run(["q"] * 3, [text, with_edit(text, 50, "xxxxx yyyyy"), with_edit(text, 200, "zzzz")]) == [0, 0, 0]


FRAMES = (
    "please note that the opening hours of the branch in {} have changed and that from the first of next month on we "
    "shall welcome you from nine in the morning to six in the evening on all days of the week but sunday",
    "two men in {} jackets are standing on the platform of a railway station and look at the board with the departures",
    "这是关于{}的常见问题：请问如何重置我的账户密码？请先打开设置页面，然后选择账户与安全，再点击重置密码按钮，"
    "最后按照提示输入验证码并设置新的登录密码即可完成操作。如果仍有疑问，请在工作日上午九点到下午六点之间联系客服。",
)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("slots", [WORDS[:3], WORDS[:12], WORDS, [f"{n} {w}" for n in "abcde" for w in WORDS[:6]]])
def test_templates_with_other_slots_stay(frame: str, slots: list[str]) -> None:
    rows = [frame.format(slot) for slot in slots]
    assert max(jaccard(a, b) for a, b in pairwise(rows)) >= 0.8
    assert run(rows) == list(range(len(rows)))


def test_a_template_with_two_slots_stays() -> None:
    frame = prose(6, 40) + " {} " + prose(7, 30) + " {} " + prose(8, 20)
    rows = [frame.format(a, b) for a in WORDS[:5] for b in WORDS[5:10]]
    assert run(rows) == list(range(25))


def test_a_filled_template_that_is_copied_goes_once() -> None:
    rows = [FRAMES[0].format(slot) for slot in ["the capital of the north " + prose(1, 12), *WORDS[:5]]]
    copy = rows[0].replace("the north", "the norht")
    assert run([*rows, copy]) == [0, 1, 2, 3, 4, 5, 0]


@pytest.mark.parametrize("copies", [1, 2, 3, 6, 20])
@pytest.mark.parametrize("kind", ["replaced", "inserted", "appended"])
def test_families_of_edited_copies_go(copies: int, kind: str) -> None:
    text, generator = prose(9, 90), random.Random(copies)
    rows = [text]
    for _ in range(copies):
        start = len(text) if kind == "appended" else generator.randrange(len(text) - 30)
        new = "".join(generator.choices("abcdefgh", k=15))
        rows.append(with_edit(text, start, new) if kind == "replaced" else text[:start] + new + text[start:])
    assert run(rows) == [0] * (copies + 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"jaccard": 0.0}, "jaccard 0.0"),
        ({"jaccard": 0.5, "family_jaccard": 0.6}, "family_jaccard 0.6"),
        ({"jaccard": 1.5}, "jaccard 1.5"),
    ],
)
def test_wrong_params_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VerificationParams(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("fields", [1, 2])
def test_large_groups_are_verified_as_small_ones_are(fields: int) -> None:
    """More rows than are compared pair by pair: the index of rare shingles proposes all that resemble each other."""
    generator, rows = random.Random(fields), []
    for number in range(60):
        text = prose(500 + number, 25)
        rows += [[text] * fields, [with_edit(text, generator.randrange(60), "zq zq")] + [text] * (fields - 1)]
    rows = generator.sample([*rows, *[[""] * fields] * 2, *[["short"] * fields] * 2], len(rows) + 4)
    params = VerificationParams(spare_templates=False)
    columns = [pa.array(field, pa.large_string()) for field in zip(*rows, strict=True)]
    verdicts = verify(columns, np.array([0, len(rows)]), params, MinHashParams())
    expected, similarities = plain_verify(rows, [0, len(rows)], params, MinHashParams().min_shingles)
    assert verdicts.representatives.tolist() == expected
    assert verdicts.jaccards.tolist() == pytest.approx(similarities)


def test_a_template_of_many_rows_stays_and_its_copies_go() -> None:
    rows = [FRAMES[0].format(f"{a} {b}") for a, b in combinations(WORDS, 2)]
    edited = [with_edit(row, len(row) - 8, "q") for row in rows[::50]]
    expected = [*range(len(rows)), *range(0, len(rows), 50)]
    assert run(rows + edited) == expected


def copies_of(num_texts: int, num_copies: int) -> list[str]:
    """Texts first, then their edited copies in random order."""
    generator, texts = random.Random(7), [prose(900 + number) for number in range(num_texts)]
    edited = [with_edit(text, generator.randrange(len(text) - 9), "zq zq zq") for text in texts * num_copies]
    return [*texts, *generator.sample(edited, len(edited))]


@pytest.mark.parametrize("fields", [1, 2])
def test_a_group_in_pieces_loses_the_same_copies(fields: int, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = copies_of(8, 40)
    whole = run(*[texts] * fields, params=VerificationParams(spare_templates=False))
    assert whole[:8] == [*range(8)]
    assert set(whole[8:]) == set(range(8))
    size = sum(map(len, texts)) * fields
    monkeypatch.setattr(verification, "MAX_TEXT_BYTES", size // 12)
    assert run(*[texts] * fields, params=VerificationParams(spare_templates=False)) == whole
    monkeypatch.setattr(verification, "MAX_TEXT_BYTES", 1)
    assert run(*[texts] * fields) == [*range(len(texts))], "a piece has a row at least"


def test_more_representatives_than_are_carried_on_never_cost_a_row_that_resembles_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = [matching_forms(pa.array(copies_of(60, 6)))]
    size, groups, params = texts[0].nbytes, np.array([0, 420]), VerificationParams(spare_templates=False)
    whole = verify(texts, groups, params, MinHashParams()).representatives
    monkeypatch.setattr(verification, "MAX_TEXT_BYTES", size // 20)
    found = verify(texts, groups, params, MinHashParams())
    gone = np.flatnonzero(found.representatives != np.arange(420))
    assert 0 < len(gone) < np.count_nonzero(whole != np.arange(420))
    forms = texts[0].to_pylist()
    for row, kept in zip(gone.tolist(), found.representatives[gone].tolist(), strict=True):
        assert found.representatives[kept] == kept
        assert found.jaccards[row] == pytest.approx(jaccard(forms[row], forms[kept]))
        assert found.jaccards[row] >= 0.8


def test_a_template_in_pieces_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [FRAMES[0].format(f"{a} {b}") for a, b in combinations(WORDS, 2)]
    monkeypatch.setattr(verification, "MAX_TEXT_BYTES", sum(map(len, rows)) // 6)
    assert run(rows) == [*range(len(rows))]


@pytest.mark.parametrize("most", [1500, 40_000])
def test_groups_are_verified_as_if_each_were_alone(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator, rows, sizes = random.Random(3), [], []
    for number in range(40):
        text = prose(300 + number, 30)
        some = [text, *(with_edit(text, generator.randrange(60), "zq zq") for _ in range(generator.randrange(4)))]
        rows += some
        sizes.append(len(some))
    groups, forms = offsets_of(np.array(sizes)), matching_forms(pa.array(rows))
    monkeypatch.setattr(verification, "MAX_TEXT_BYTES", most)
    found = verify([forms], groups, VerificationParams(), MinHashParams()).representatives.tolist()
    expected = [start + row for start, end in pairwise(groups.tolist()) for row in run(rows[start:end])]
    assert found == expected
    assert sum(row != kept for row, kept in enumerate(found)) == len(rows) - 40 > 40


def test_memory_stays_where_a_group_is_larger_than_is_verified_at_once() -> None:
    """Ten times the text costs itself, as strings and in Arrow, and verdicts; at once it would take 15 times that."""
    small, large = (run_module("tests.transforms.duplicates.child", str(rows), "1") for rows in (4_000, 40_000))
    assert large["text_mib"] - small["text_mib"] >= 10
    assert large["kept"] == 40_000
    assert large["peak_mib"] - small["peak_mib"] < 5 * (large["text_mib"] - small["text_mib"])
