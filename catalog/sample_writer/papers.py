"""Titles and abstracts: the shared CSL file (zh) and SciFact's corpus, claims and judgments (en)."""

import json
import random
from collections.abc import Sequence

import pyarrow as pa

from catalog.sample_writer.evaluation import Files
from catalog.sample_writer.formats import Row, SourceFile, class_label
from catalog.sample_writer.grammar import Composer, Domain, Item, compose, read_domains, read_lines
from catalog.sample_writer.planting import (
    Ledger,
    Planter,
    cut_short,
    disguised,
    garbled,
    lightly_edited,
    longest,
    retyped,
)

CSL_SCHEMA = pa.schema(
    [("doc_id", pa.string()), ("title", pa.string()), ("abstract", pa.string()), ("keywords", pa.list_(pa.string()))]
    + [(name, pa.string()) for name in ("category", "category_eng", "discipline", "discipline_eng")]
)
PER_CATEGORY = 31
TEXTS = pa.schema([("_id", pa.string()), ("text", pa.string())])
PASSAGES = pa.schema([("_id", pa.string()), ("title", pa.string()), ("text", pa.string())])
QRELS = pa.schema([("query-id", pa.string()), ("corpus-id", pa.string()), ("score", pa.float64())])


class CslPlanter:
    """One file that two kinds of entry read: pairs (title, abstract), and title + abstract under a category."""

    def __init__(self) -> None:
        self.pairs, self.labelled = Planter(), Planter()

    def plant(self, pair_reason: str | None, label_reason: str | None, *rows: Row | bytes) -> None:
        """Adds the rows to both accounts, each with its own reason; None keeps them."""
        for planter, reason in ((self.pairs, pair_reason), (self.labelled, label_reason)):
            for row in rows:
                if reason:
                    planter.reject(reason, row)
                elif isinstance(row, dict):
                    planter.keep(row)

    def both(self, reason: str, *rows: Row | bytes) -> None:
        """Adds rows that are rejected for the same reason in both readings."""
        self.plant(reason, reason, *rows)


def csl_row(number: int, item: Item) -> Row:
    """Returns one CSL row; the domain's name is the category in both languages."""
    category, english = item.domain.split()
    return {
        "doc_id": f"csl-sample-{number:04d}",
        "title": item.title,
        "abstract": item.passage,
        "keywords": list(dict.fromkeys(item.asked.values())),
        "category": category,
        "category_eng": english,
        "discipline": category,
        "discipline_eng": "",
    }


def _by_label(domains: Sequence[Domain]) -> list[list[Domain]]:
    labels = dict.fromkeys(domain.name for domain in domains)
    return [[domain for domain in domains if domain.name == label] for label in labels]


def csl() -> tuple[Files, dict[str, Ledger]]:
    """Returns the CSL file, and the accounts of the three entries that read it."""
    composer = Composer(rng=random.Random("csl"), joiner="")
    groups = _by_label(read_domains("zh_papers.txt"))
    items = [item for group in groups for item in composer.cycle(group, PER_CATEGORY + 1)]
    rows = [csl_row(i, item) for i, item in enumerate(items)]
    spare, rows = (
        rows[PER_CATEGORY :: PER_CATEGORY + 1],
        [row for i, row in enumerate(rows) if (i + 1) % (PER_CATEGORY + 1)],
    )
    planter = CslPlanter()
    planter.plant(None, None, *rows)
    planter.both(
        "EXACT_DUPLICATE", *rows[50:53], *(retyped(row, disguised, "title", "abstract") for row in rows[70:72])
    )
    near = (
        {**row, "abstract": lightly_edited(row["abstract"], "zh", i)}
        for i, row in enumerate(longest(rows, "abstract", 4))
    )
    planter.both("NEAR_DUPLICATE", *({**row, "doc_id": row["doc_id"] + "b"} for row in near))
    _plant_csl_defects(planter, spare)
    path = "datasets/neuclir/csl/default/csl-00000-of-00001.jsonl.gz"
    source = SourceFile(path=path, schema=CSL_SCHEMA, rows=planter.pairs.shuffled("csl"))
    ledgers = dict.fromkeys(("csl-pretrain", "csl-finetune"), planter.pairs.ledger)
    return [source], {**ledgers, "csl-clustering": planter.labelled.ledger}


def _plant_csl_defects(planter: CslPlanter, spare: Sequence[Row]) -> None:
    planter.plant("EMPTY_QUERY", None, {**spare[0], "title": None}, {**spare[1], "title": None})
    planter.plant("EMPTY_POSITIVE", None, {**spare[2], "abstract": None}, {**spare[3], "abstract": None})
    planter.plant("TOO_SHORT", None, {**spare[4], "title": "桥"})
    planter.plant("QUERY_IS_POSITIVE", None, {**spare[5], "abstract": spare[5]["title"] + "。"})
    planter.plant(None, "UNLABELLED", {**spare[6], "category": None}, {**spare[7], "category": None})
    planter.plant(None, "CONFLICTING_LABEL", spare[8])
    planter.plant("EXACT_DUPLICATE", "CONFLICTING_LABEL", {**spare[8], "category": "艺术学", "category_eng": "Art"})
    for line in read_lines("foreign.txt")[6:8]:
        title, abstract = line.split("|")
        planter.both("WRONG_LANGUAGE", {**spare[9], "title": title.strip(), "abstract": abstract.strip()})
    planter.both("WRONG_TYPE", {**spare[10], "abstract": 3.14}, {**spare[11], "title": {"zh": spare[11]["title"]}})
    closed_twice = json.dumps(spare[12], ensure_ascii=False).encode() + b"}"
    planter.both("MALFORMED_ROW", cut_short(spare[12]), closed_twice)
    planter.both("INVALID_UTF8", garbled(spare[12], "abstract", b"\xb2\xe2"))


def scifact() -> tuple[Files, dict[str, Ledger]]:
    """Returns SciFact's three files: a claim has one or two passages, and some have a passage judged 0."""
    rng = random.Random("scifact")
    composer = Composer(rng=rng)
    domains = {domain.name: domain for domain in read_domains("en_science.txt")}
    items = composer.cycle(list(domains.values()), 460)
    judged, others = items[:262], items[262:]
    bench = _Judgments()
    for item in judged[:250]:
        bench.judge("keep", item, 1.0)
    for item in judged[:250:4]:
        second = _second_passage(composer, domains[item.domain], item)
        if second:
            bench.judge_also(item, second, 1.0)
    for item, other in zip(judged[3:250:9], others, strict=False):
        bench.judge_also(item, other, 0.0)
    _plant_scifact_defects(bench, judged[250:], others[40:44])
    for item in others:
        bench.passage(item)
    for item in others[-8:]:
        bench.query(item.question)
    return bench.files(), {"scifact": bench.planter.ledger}


def _second_passage(composer: Composer, domain: Domain, item: Item) -> Item | None:
    for _ in range(40):
        second = compose(domain, composer.rng, given=item.asked)
        if composer.passages.admit(second.passage):
            return second
    return None


class _Judgments:
    """Corpus, claims and judgments in the making, with the account of the judgments."""

    def __init__(self) -> None:
        self.corpus: list[Row] = []
        self.queries: list[Row] = []
        self.planter = Planter()
        self._ids: dict[str, str] = {}

    def passage(self, item: Item) -> str:
        if item.passage not in self._ids:
            self._ids[item.passage] = self.add_passage(item.title, item.passage)
        return self._ids[item.passage]

    def add_passage(self, title: str | None, text: str | None) -> str:
        number = str(4000 + 7 * len(self.corpus))
        self.corpus.append({"_id": number, "title": title, "text": text})
        return number

    def query(self, text: str | None) -> str:
        number = str(1 + len(self.queries))
        self.queries.append({"_id": number, "text": text[:1].upper() + text[1:] if text else text})
        if text:
            self._ids[f"query: {text}"] = number
        return number

    def judge(self, reason: str, item: Item, score: float) -> None:
        self.row(reason, self.query(item.question), self.passage(item), score)

    def judge_also(self, item: Item, other: Item, score: float) -> None:
        self.row("merge", self._ids[f"query: {item.question}"], self.passage(other), score)

    def row(self, reason: str, query: str, passage: str, score: float) -> None:
        row = {"query-id": query, "corpus-id": passage, "score": score}
        if reason in ("keep", "merge"):
            {"keep": self.planter.keep, "merge": self.planter.merge}[reason](row)
        else:
            self.planter.reject(reason, row)

    def files(self) -> Files:
        base = "datasets/mteb/scifact"
        return [
            SourceFile(path=f"{base}/corpus/corpus-00000-of-00001.jsonl.gz", schema=PASSAGES, rows=self.corpus),
            SourceFile(
                path=f"{base}/queries/queries-00000-of-00001.parquet", schema=class_label(TEXTS, {}), rows=self.queries
            ),
            SourceFile(
                path=f"{base}/default/train-00000-of-00001.tsv", schema=QRELS, rows=self.planter.shuffled("scifact")
            ),
        ]


def _plant_scifact_defects(bench: _Judgments, spare: Sequence[Item], others: Sequence[Item]) -> None:
    bench.row("DANGLING_ID", "1", "999999", 1.0)
    bench.row("DANGLING_ID", "88888", bench.passage(others[0]), 1.0)
    bench.judge("NO_POSITIVE", spare[0], 0.0)
    bench.judge("NO_POSITIVE", spare[1], 0.0)
    bench.row("EMPTY_QUERY", bench.query(None), bench.passage(spare[2]), 1.0)
    bench.row("EMPTY_POSITIVE", bench.query(spare[3].question), bench.add_passage(None, None), 1.0)
    bench.row("TOO_SHORT", bench.query("Sepsis"), bench.passage(spare[4]), 1.0)
    query, text = read_lines("foreign.txt")[8].split("|")
    bench.row("WRONG_LANGUAGE", bench.query(query.strip()), bench.add_passage(None, text.strip()), 1.0)
