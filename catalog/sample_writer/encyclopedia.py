"""Passages of an invented encyclopaedia: natural-questions (en), JaQuAD (ja), RefGPT (zh) and the evaluation sets."""

import json
import random
from collections.abc import Sequence

import pyarrow as pa

from catalog.sample_writer.evaluation import Files, apart, evaluation, sharing
from catalog.sample_writer.formats import Row, SourceFile, class_label
from catalog.sample_writer.grammar import Composer, Domain, Item, read_domains, read_lines
from catalog.sample_writer.planting import Ledger, Planter, cut_short, disguised, garbled, lightly_edited, longest

PASSAGE = pa.struct([("docid", pa.string()), ("title", pa.string()), ("text", pa.string())])
NQ_SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("query", pa.string()),
        ("answers", pa.list_(pa.string())),
        ("positive_passages", pa.list_(PASSAGE)),
        ("negative_passages", pa.list_(PASSAGE)),
    ]
)
ANSWERS = pa.struct(
    [("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int32())), ("answer_type", pa.list_(pa.string()))]
)
JAQUAD_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "title", "context", "question", "question_type")] + [("answers", ANSWERS)]
)
REFGPT_SCHEMA = pa.schema([(name, pa.string()) for name in ("dialogue", "reference", "language", "type")])
#: So many passages in a row make a text of more than 100,000 characters, which is no passage any more.
LONG_PASSAGE = 340


def asked_in_english(question: str) -> str:
    """Returns a search query as a written question."""
    return question[:1].upper() + question[1:] + "?"


def draw(
    composer: Composer, domains: list[Domain], num_eval: int, count: int, *, by_word: bool
) -> tuple[list[Item], ...]:
    """Returns evaluation items, and ``count`` items apart from their questions."""
    held_out = composer.cycle(domains, num_eval)
    questions = [item.question for item in held_out]
    return held_out, apart(composer.cycle(domains, count), questions, by_word=by_word)


def passage(item: Item) -> Row:
    """Returns the item's passage in the Tevatron layout."""
    return {"docid": f"{item.domain}:{item.title}".replace(" ", "_"), "title": item.title, "text": item.passage}


def nq_row(number: int, item: Item, negatives: Sequence[Item]) -> Row:
    """Returns one natural-questions row."""
    return {
        "query_id": f"s{number:04d}",
        "query": item.question.lower(),
        "answers": [item.answer],
        "positive_passages": [passage(item)],
        "negative_passages": [passage(other) for other in negatives],
    }


def _neighbours(items: Sequence[Item], rng: random.Random) -> list[list[Item]]:
    by_domain: dict[str, list[Item]] = {}
    for item in items:
        by_domain.setdefault(item.domain, []).append(item)
    return [
        [other for other in rng.sample(by_domain[item.domain], min(3, len(by_domain[item.domain]))) if other != item]
        if rng.random() < 0.4
        else []
        for item in items
    ]


def _with_positive(row: Row, title: str | None, text: object) -> Row:
    return {**row, "positive_passages": [{**row["positive_passages"][0], "title": title, "text": text}]}


def _edited_positive(row: Row, number: int) -> Row:
    first = row["positive_passages"][0]
    return {
        **_with_positive(row, first["title"], lightly_edited(first["text"], "en", number)),
        "query_id": f"n{number}",
    }


def _disguised_nq(row: Row) -> Row:
    first = row["positive_passages"][0]
    return {**_with_positive(row, first["title"], disguised(first["text"])), "query": disguised(row["query"])}


def natural_questions(composer: Composer) -> tuple[Files, dict[str, Ledger]]:
    """Returns the natural-questions entry and the English evaluation set, whose questions leak into six rows."""
    domains = read_domains("en_encyclopedia.txt", "en_encyclopedia_2.txt")
    held_out, items = draw(composer, domains, 60, 700, by_word=True)
    held_out.sort(key=lambda item: -len(item.question.split()))
    asking = [asked_in_english(item.question) for item in held_out]
    items, spare = items[:572], items[572:590]
    rng = random.Random("natural-questions")
    rows = [nq_row(i, item, near) for i, (item, near) in enumerate(zip(items, _neighbours(items, rng), strict=True))]
    planter = Planter()
    planter.keep(*rows[:-6])
    planter.keep(*(marked_up(row, i) for i, row in enumerate(rows[-6:])), note="kept_with_markup")
    planter.ledger.notes["kept_sharing_a_phrase_with_evaluation"] = sharing(items, asking, by_word=True)
    _plant_copies(planter, rows)
    _plant_nq_defects(planter, [nq_row(900 + i, item, []) for i, item in enumerate(spare)])
    _plant_leaks(planter, held_out[:6], asking)
    path = "datasets/Tevatron/wikipedia-nq/default/train-00000-of-00001.jsonl.gz"
    source = SourceFile(path=path, schema=NQ_SCHEMA, rows=planter.shuffled("natural-questions"))
    return [source, *evaluation("sample-en", held_out, 40, asking)], {"natural-questions": planter.ledger}


def marked_up(row: Row, number: int) -> Row:
    """Returns the row with tags, entities or control characters in its passage, as crawled text has them."""
    first = row["positive_passages"][0]
    words = first["text"].split(" ")
    marks = (
        ("<b>", "</b>"),
        ("&quot;", "&quot;"),
        ("\x07", ""),
        ("<i>", "</i><br/>"),
        ("&amp; ", ""),
        ("\ufffd\ufffd", ""),
    )
    before, after = marks[number % len(marks)]
    words[4] = f"{before}{words[4]}{after}"
    return _with_positive(row, first["title"], " ".join(words))


def _plant_copies(planter: Planter, rows: Sequence[Row]) -> None:
    planter.reject("EXACT_DUPLICATE", *rows[10:13], *(_disguised_nq(row) for row in rows[20:23]))
    planter.reject("NEAR_DUPLICATE", *(_edited_positive(row, i) for i, row in enumerate(rows[30:38])))


def _plant_nq_defects(planter: Planter, spare: Sequence[Row]) -> None:
    planter.reject("EMPTY_QUERY", {**spare[0], "query": None}, {**spare[1], "query": "  "})
    planter.reject("EMPTY_POSITIVE", _with_positive(spare[2], None, None), _with_positive(spare[3], "", " "))
    short = zip(spare[4:7], ("photosynthesis", "gravity", "Why"), strict=True)
    planter.reject("TOO_SHORT", *({**row, "query": word} for row, word in short))
    bodies = (row["positive_passages"][0]["text"] for row in planter.rows[:LONG_PASSAGE] if isinstance(row, dict))
    long_text = " ".join(bodies)
    planter.reject("TOO_LONG", _with_positive(spare[7], "Collected notes", long_text))
    for row, line in zip(spare[8:12], read_lines("foreign.txt")[:4], strict=True):
        query, text = line.split("|")
        planter.reject("WRONG_LANGUAGE", {**_with_positive(row, None, text.strip()), "query": query.strip()})
    same = (_with_positive(row, None, row["query"].capitalize() + " ") for row in spare[12:14])
    planter.reject("QUERY_IS_POSITIVE", *same)
    planter.reject("REPETITIVE", {**spare[14], "query": "ha ha ha ha ha ha ha ha ha ha ha ha"})
    planter.reject("WRONG_TYPE", {**spare[15], "query": 4711}, _with_positive(spare[16], "Numbers", {"value": 12}))
    _plant_broken_lines(planter, spare[17])


def _plant_broken_lines(planter: Planter, row: Row) -> None:
    line = json.dumps(row, ensure_ascii=False).encode()
    planter.reject("MALFORMED_ROW", cut_short(row), line[:-1] + b",", b"[" + line)
    planter.reject("INVALID_UTF8", garbled(row, "query", b"\xff\xfe "), garbled(row, "query_id", b"\xe4\xb8"))


def _plant_leaks(planter: Planter, leaked: Sequence[Item], asking: Sequence[str]) -> None:
    rows = [nq_row(950 + i, item, []) for i, item in enumerate(leaked)]
    forms = (
        asking[0],
        asking[1],
        asking[2].upper(),
        asking[3].replace(" ", "  ").replace("?", " ?!"),
        f"please tell me {asking[4].rstrip('?')}",
        f"{asking[5].rstrip('?')} exactly",
    )
    planter.reject("LEAKED_EVALUATION", *({**row, "query": form} for row, form in zip(rows, forms, strict=True)))


def jaquad_row(number: int, item: Item) -> Row:
    """Returns one JaQuAD row; the answer's start is its place in the context."""
    start = item.passage.find(item.answer)
    answers = {"text": [item.answer], "answer_start": [start], "answer_type": ["Object"]}
    return {
        "id": f"tr-{number // 10:03d}-{number % 10:02d}-000",
        "title": item.title,
        "context": item.passage,
        "question": item.question,
        "question_type": ("Syntactic variation", "Lexical variation (synonymy)")[number % 2],
        "answers": answers,
    }


def jaquad() -> tuple[Files, dict[str, Ledger]]:
    """Returns the JaQuAD entry."""
    composer = Composer(rng=random.Random("jaquad"), joiner="")
    rows = [jaquad_row(i, item) for i, item in enumerate(composer.cycle(read_domains("ja_encyclopedia.txt"), 320))]
    rows, spare = rows[:307], rows[307:]
    planter = Planter()
    planter.keep(*rows)
    planter.reject(
        "EXACT_DUPLICATE", rows[5], rows[6], *({**row, "question": disguised(row["question"])} for row in rows[7:9])
    )
    near = (
        {**row, "id": f"{row['id']}-b", "context": lightly_edited(row["context"], "ja", i)}
        for i, row in enumerate(longest(rows, "context", 5))
    )
    planter.reject("NEAR_DUPLICATE", *near)
    nothing: Row = {"text": [], "answer_start": [], "answer_type": []}
    planter.reject("UNANSWERABLE", *({**row, "answers": nothing} for row in spare[:4]))
    planter.reject("EMPTY_QUERY", {**spare[4], "question": None})
    planter.reject("EMPTY_POSITIVE", {**spare[5], "context": None})
    planter.reject("TOO_SHORT", {**spare[6], "question": "何"})
    planter.reject("REPETITIVE", {**spare[7], "question": "ああああああああああああああああ"})
    planter.reject("QUERY_IS_POSITIVE", {**spare[8], "context": spare[8]["question"] + "\n"})
    foreign = zip(spare[9:11], read_lines("foreign.txt")[4:6], strict=True)
    planter.reject(
        "WRONG_LANGUAGE",
        *(
            {**row, "question": q.strip(), "context": text.strip()}
            for row, line in foreign
            for q, text in [line.split("|")]
        ),
    )
    path = "datasets/SkelterLabsInc/JaQuAD/default/train-00000-of-00001.parquet"
    schema = class_label(JAQUAD_SCHEMA, {})
    return [SourceFile(path=path, schema=schema, rows=planter.shuffled("jaquad"))], {"jaquad": planter.ledger}


def dialogue(item: Item, number: int, question: str | None = None) -> str:
    """Returns a conversation of two turns about the item, with one of the two forms of speaker tags in use upstream."""
    user, helper = (("<user>: ", "<assistant>: "), ("<human 1>: ", "<assistant 1>: "))[number % 5 == 0]
    follow = ("谢谢，还有别的值得一提吗？", "明白了。能再多说一点吗？", "这真有意思，还有呢？")[number % 3]
    turns = (
        user + (question or item.question),
        helper + f"是{item.answer}。",
        user + follow,
        helper + item.sentences[-1],
    )
    return "\n".join(turns)


def refgpt_row(number: int, item: Item, question: str | None = None) -> Row:
    """Returns one RefGPT row."""
    return {"dialogue": dialogue(item, number, question), "reference": item.passage, "language": "zh", "type": "fact"}


def refgpt() -> tuple[Files, dict[str, Ledger]]:
    """Returns the RefGPT entry and the Chinese evaluation set, whose questions leak into three rows."""
    composer = Composer(rng=random.Random("refgpt"), joiner="")
    held_out, items = draw(composer, read_domains("zh_encyclopedia.txt"), 40, 230, by_word=False)
    held_out.sort(key=lambda item: -len(item.question))
    asking = [item.question for item in held_out]
    items, spare = items[:150], items[150:159]
    rows = [refgpt_row(i, item) for i, item in enumerate(items)]
    planter = Planter()
    planter.keep(*rows)
    planter.ledger.notes["kept_sharing_a_phrase_with_evaluation"] = sharing(items, asking, by_word=False)
    planter.reject("EXACT_DUPLICATE", rows[3], rows[4])
    near = (
        {**row, "reference": lightly_edited(row["reference"], "zh", i)}
        for i, row in enumerate(longest(rows, "reference", 3))
    )
    planter.reject("NEAR_DUPLICATE", *near)
    forms = (asking[0], asking[1].replace("？", " ?"), f"你好，我想问一下，{asking[2]}")
    planter.reject(
        "LEAKED_EVALUATION", *(refgpt_row(1, item, form) for item, form in zip(held_out, forms, strict=False))
    )
    _plant_refgpt_defects(planter, spare)
    path = "datasets/Mutonix/RefGPT-Fact/default/zh-00000-of-00001.jsonl.zst"
    source = SourceFile(path=path, schema=REFGPT_SCHEMA, rows=planter.shuffled("refgpt"))
    return [source, *evaluation("sample-zh", held_out, 30, asking)], {"refgpt": planter.ledger}


def _plant_refgpt_defects(planter: Planter, spare: Sequence[Item]) -> None:
    rows = [refgpt_row(1, item) for item in spare]
    planter.reject("NO_TURN", {**rows[0], "dialogue": rows[0]["reference"]}, {**rows[1], "dialogue": ""})
    planter.reject("NO_TURN", {**rows[2], "dialogue": "<assistant>: " + spare[2].sentences[0]})
    planter.reject("EMPTY_POSITIVE", {**rows[3], "reference": None})
    planter.reject("TOO_SHORT", refgpt_row(1, spare[4], "嗯"))
    planter.reject("REPETITIVE", {**rows[5], "reference": "哈" * 60})
    planter.reject("QUERY_IS_POSITIVE", {**rows[6], "reference": spare[6].question})
    query, text = read_lines("foreign.txt")[6].split("|")
    planter.reject("WRONG_LANGUAGE", {**refgpt_row(1, spare[7], query.strip()), "reference": text.strip()})
    planter.reject("MALFORMED_ROW", cut_short(rows[8]))
