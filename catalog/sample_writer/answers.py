"""Graded answer sentences (TREC QA, en), compared answers (WebGPT, en) and similar cases (CAIL2019-SCM, zh)."""

import random
from collections.abc import Sequence

import pyarrow as pa

from catalog.sample_writer.evaluation import Files
from catalog.sample_writer.formats import Row, SourceFile
from catalog.sample_writer.grammar import Composer, Domain, Item, compose, read_domains, read_lines
from catalog.sample_writer.planting import Ledger, Planter, cut_short, garbled, lightly_edited, longest
from catalog.sample_writer.variety import Variety

TREC_SCHEMA = pa.schema(
    [("label", pa.int64()), ("question", pa.string()), ("answer", pa.string()), ("key", pa.int64())]
)
CAIL_SCHEMA = pa.schema([(name, pa.string()) for name in ("A", "B", "C", "label")])

WEBGPT_SCHEMA = pa.schema(
    [
        ("question", pa.struct([("dataset", pa.string()), ("id", pa.string()), ("full_text", pa.string())])),
        ("quotes_0", pa.struct([("title", pa.list_(pa.string())), ("extract", pa.list_(pa.string()))])),
        ("answer_0", pa.string()),
        ("score_0", pa.float64()),
        ("quotes_1", pa.struct([("title", pa.list_(pa.string())), ("extract", pa.list_(pa.string()))])),
        ("answer_1", pa.string()),
        ("score_1", pa.float64()),
    ]
)


def trecqa() -> tuple[Files, dict[str, Ledger]]:
    """Returns the TREC QA entry: questions with candidate sentences, graded 1 where the sentence answers."""
    composer = Composer(rng=random.Random("trecqa"))
    items = composer.cycle(read_domains("en_news.txt"), 200)
    sentences, planter = Variety(), Planter()
    asked = [n for n, item in enumerate(items[:150]) if _plant_candidates(planter, n, item, sentences)]
    strays = [sentence for item in items[155:195] for sentence in item.sentences if sentences.admit(sentence)]
    for number, item in enumerate(items[150:155], start=150):
        pair = strays.pop(), strays.pop()
        planter.reject("NO_POSITIVE", *(trec_row(0, item, sentence, number) for sentence in pair))
    for number in asked[:50:10]:
        planter.reject("UNUSED_GRADE", trec_row(2, items[number], strays.pop(), number))
    planter.reject("EMPTY_QUERY", {**trec_row(1, items[196], strays.pop(), 196), "question": None})
    planter.reject("EMPTY_POSITIVE", {**trec_row(1, items[197], "", 197), "answer": None})
    planter.reject("MALFORMED_ROW", f"1\t{items[198].question}".encode(), b"0")
    path = "datasets/lucadiliello/trecqa/default/train-00000-of-00001.tsv.zst"
    source = SourceFile(path=path, schema=TREC_SCHEMA, rows=planter.shuffled("trecqa"))
    return [source], {"trecqa": planter.ledger}


def trec_row(label: int, item: Item, sentence: str, key: int) -> Row:
    """Returns one graded candidate."""
    return {"label": label, "question": item.question, "answer": sentence, "key": key}


def _plant_candidates(planter: Planter, number: int, item: Item, sentences: Variety) -> bool:
    """Plant the graded sentences of a question; gives whether one of them answers it (none is planted otherwise)."""
    admitted = [sentence for sentence in item.sentences if sentences.admit(sentence)]
    graded = [trec_row(int(item.answer in sentence), item, sentence, number) for sentence in admitted]
    answering = [row for row in graded if row["label"]]
    if answering:
        planter.keep(answering[0])
        planter.merge(*answering[1:], *(row for row in graded if not row["label"]))
    return bool(answering)


def cail() -> tuple[Files, dict[str, Ledger]]:
    """Returns the CAIL2019-SCM entry: case A, and the like case among B and C."""
    rng = random.Random("cail")
    domains, texts = read_domains("zh_cases.txt"), Variety(ceiling=0.45)
    rows = [_triple(rng, domains, number, texts) for number in range(52)]
    rows, spare = rows[:46], rows[46:]
    planter = Planter()
    planter.keep(*rows)
    planter.reject("EXACT_DUPLICATE", rows[4])
    planter.reject("NEAR_DUPLICATE", {**(long := longest(rows, "A", 1)[0]), "A": lightly_edited(long["A"], "zh")})
    planter.reject("UNLABELLED", {**spare[0], "label": None}, {**spare[1], "label": None})
    planter.reject("EMPTY_QUERY", {**spare[2], "A": None})
    planter.reject("QUERY_IS_POSITIVE", {**spare[3], spare[3]["label"]: spare[3]["A"]})
    planter.reject("MALFORMED_ROW", cut_short(spare[4], 0.9))
    planter.reject("INVALID_UTF8", garbled(spare[4], "A", b"\xc3\x28"))
    path = "datasets/cail2019-scm/default/train-00000-of-00001.jsonl"
    return [SourceFile(path=path, schema=CAIL_SCHEMA, rows=planter.shuffled("cail"))], {"cail2019-scm": planter.ledger}


def _triple(rng: random.Random, domains: Sequence[Domain], number: int, texts: Variety) -> Row:
    same = domains[number % len(domains)]
    other = domains[(number + 1 + number // len(domains) % (len(domains) - 1)) % len(domains)]
    case, like, unlike = (_case(rng, domain, texts) for domain in (same, same, other))
    label = rng.choice("BC")
    choices = {"B": like, "C": unlike} if label == "B" else {"B": unlike, "C": like}
    return {"A": case, **choices, "label": label}


def _case(rng: random.Random, domain: Domain, texts: Variety) -> str:
    for _ in range(400):
        passage = compose(domain, rng, joiner="").passage
        if texts.admit(passage):
            return passage
    raise RuntimeError(f"domain {domain.name!r} gave no new case: add alternatives to zh_cases.txt")


def webgpt_row(number: int, question: object, better: str | None, worse: str, *, tie: bool = False) -> Row:
    """Returns one comparison; the better answer stands on either side, and a tie has equal scores."""
    score = 0.0 if tie else (1.0, 0.5, 0.25)[number % 3]
    sides = [(better, score), (worse, -score if score else 0.0)]
    if number % 2:
        sides.reverse()
    row: Row = {"question": {"dataset": "sample", "id": f"w{number}", "full_text": question}}
    for side, (answer, value) in enumerate(sides):
        row |= {f"quotes_{side}": {"title": [], "extract": []}, f"answer_{side}": answer, f"score_{side}": value}
    return row


def webgpt() -> tuple[Files, dict[str, Ledger]]:
    """Returns the WebGPT comparisons: a question, two answers and which of them people preferred."""
    triples = [tuple(part.strip() for part in line.split("|")) for line in read_lines("en_explanations.txt")]
    rows = [webgpt_row(i, *triple) for i, triple in enumerate(triples[:-12])]
    spare = triples[-12:]
    planter = Planter()
    planter.keep(*rows)
    planter.reject("TIE", *(webgpt_row(i, *triple, tie=True) for i, triple in enumerate(spare[:5])))
    planter.reject("EXACT_DUPLICATE", *rows[2:4])
    near = (
        webgpt_row(10 + i, q, lightly_edited(best, "en", i), other) for i, (q, best, other) in enumerate(triples[10:12])
    )
    planter.reject("NEAR_DUPLICATE", *near)
    _plant_webgpt_defects(planter, spare[5:])
    path = "datasets/openai/webgpt_comparisons/default/train-00000-of-00001.jsonl"
    source = SourceFile(path=path, schema=WEBGPT_SCHEMA, rows=planter.shuffled("webgpt"))
    return [source], {"webgpt-comparisons": planter.ledger}


def _plant_webgpt_defects(planter: Planter, spare: Sequence[tuple[str, ...]]) -> None:
    planter.reject("EMPTY_QUERY", webgpt_row(1, None, *spare[0][1:]))
    planter.reject("EMPTY_POSITIVE", webgpt_row(2, spare[1][0], None, spare[1][2]))
    planter.reject("TOO_SHORT", webgpt_row(3, "Whips", *spare[2][1:]))
    planter.reject("REPETITIVE", webgpt_row(4, "hahahahahaha hahaha ha", *spare[3][1:]))
    question, text = (part.strip() for part in read_lines("foreign.txt")[9].split("|"))
    planter.reject("WRONG_LANGUAGE", webgpt_row(5, question, text, spare[4][2]))
    planter.reject("WRONG_TYPE", webgpt_row(6, 12, *spare[4][1:]))
    planter.reject("MALFORMED_ROW", cut_short(webgpt_row(7, *spare[5])))
    planter.reject("INVALID_UTF8", garbled(webgpt_row(8, *spare[6]), "answer_0", b"\x80\x81 "))
