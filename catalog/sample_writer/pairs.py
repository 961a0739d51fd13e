"""Sentence pairs: inference (MultiNLI, OCNLI, AllNLI), paraphrase (AFQMC, nli_zh) and parallel text (NTREX)."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from catalog.sample_writer.evaluation import Files
from catalog.sample_writer.formats import Row, SourceFile, class_label
from catalog.sample_writer.grammar import read_lines
from catalog.sample_writer.labeled import Built, foreign, sections
from catalog.sample_writer.planting import Ledger, Planter, disguised, retyped

MNLI = pa.schema([("premise", pa.string()), ("hypothesis", pa.string()), ("label", pa.int64())])
MNLI_NAMES = ("entailment", "neutral", "contradiction")
OCNLI_NAMES = ("neutral", "entailment", "contradiction")
LABELLED_PAIR = pa.schema([("sentence1", pa.string()), ("sentence2", pa.string()), ("label", pa.int32())])
SCORED_PAIR = pa.schema(
    [("sentence1", pa.string()), ("sentence2", pa.string()), ("score", pa.int64()), ("idx", pa.int32())]
)
TRIPLET = pa.schema([(name, pa.string()) for name in ("anchor", "positive", "negative")])
NTREX = pa.schema([(name, pa.string()) for name in ("eng_Latn", "zho_Hans", "deu_Latn", "jpn_Jpan", "fra_Latn")])
WITHOUT_ENTAILMENT = 4
BELOW = "BELOW_THRESHOLD"


def fields(line: str) -> list[str]:
    """Returns the fields of a material line."""
    return [part.strip() for part in line.split("|")]


def _inference(file: str, names: Sequence[str], left: str, right: str) -> Planter:
    """Plants premises with an entailed, a neutral and a contradicted hypothesis; the last few lose the entailed one."""
    planter, groups = Planter(), [fields(line) for line in read_lines(file)]

    def row(premise: str | None, hypothesis: str | None, label: str | int | None) -> Row:
        return {left: premise, right: hypothesis, "label": names.index(label) if isinstance(label, str) else label}

    for premise, entailed, neutral, contradicted in groups[:-WITHOUT_ENTAILMENT]:
        planter.keep(row(premise, entailed, "entailment"))
        planter.reject("NEUTRAL", row(premise, neutral, "neutral"))
        planter.merge(row(premise, contradicted, "contradiction"))
    for premise, entailed, neutral, contradicted in groups[-WITHOUT_ENTAILMENT:]:
        planter.reject("UNLABELLED", row(premise, entailed, -1))
        planter.reject("NO_POSITIVE", row(premise, neutral, "neutral"), row(premise, contradicted, "contradiction"))
    for reason, premise, hypothesis, label in map(fields, read_lines(f"{file.removesuffix('.txt')}_defects.txt")):
        planter.reject(reason, row(premise or None, hypothesis or None, label or None))
    return planter


def multinli() -> Built:
    """Returns the MultiNLI entry, as Parquet with class names."""
    planter = _inference("multinli.txt", MNLI_NAMES, "premise", "hypothesis")
    path = "datasets/nyu-mll/multi_nli/default/train-00000-of-00001.parquet"
    schema = class_label(MNLI, {"label": MNLI_NAMES})
    return [SourceFile(path=path, schema=schema, rows=planter.shuffled("multinli"))], {"multinli": planter.ledger}


def ocnli() -> Built:
    """Returns the OCNLI entry, as compressed JSON lines of class ids in CLUE's order."""
    planter = _inference("ocnli.txt", OCNLI_NAMES, "sentence1", "sentence2")
    planter.reject("WRONG_TYPE", {"sentence1": ["他", "来了"], "sentence2": "他来过。", "label": 1})
    planter.reject("MALFORMED_ROW", '{"sentence1": "会议改到了周五"'.encode())
    rows = [{**row, "idx": i} if isinstance(row, dict) else row for i, row in enumerate(planter.shuffled("ocnli"))]
    path = "datasets/clue/clue/ocnli/train-00000-of-00001.jsonl.gz"
    return [SourceFile(path=path, schema=LABELLED_PAIR, rows=rows)], {"ocnli": planter.ledger}


def all_nli() -> Built:
    """Returns the AllNLI triplets, as Parquet."""
    rows = [dict(zip(TRIPLET.names, fields(line), strict=True)) for line in read_lines("all_nli.txt")]
    rows, spare = rows[:-3], rows[-3:]
    planter = Planter()
    planter.keep(*rows)
    planter.reject("EXACT_DUPLICATE", rows[2], retyped(rows[4], disguised, "anchor", "positive"))
    planter.reject("EMPTY_POSITIVE", {**spare[0], "positive": None})
    planter.reject("TOO_SHORT", {**spare[1], "anchor": "?!"})
    planter.reject("QUERY_IS_POSITIVE", {**spare[2], "positive": spare[2]["anchor"].upper()})
    question, text = fields(read_lines("foreign.txt")[10])
    planter.reject("WRONG_LANGUAGE", {"anchor": text, "positive": question, "negative": foreign(3)})
    path = "datasets/sentence-transformers/all-nli/triplet/dev-00000-of-00001.parquet"
    schema = class_label(TRIPLET, {})
    return [SourceFile(path=path, schema=schema, rows=planter.shuffled("all-nli"))], {"all-nli": planter.ledger}


def _scored(planter: Planter, lines: Sequence[str], column: str, *, least: int, most: int) -> None:
    """Plants scored pairs: for each first text one positive is kept; others, and negatives beside it, are merged."""
    pairs = [(a, b, int(score)) for a, b, score in map(fields, lines)]
    leading: set[str] = set()
    positive = {a for a, _, score in pairs if score >= least}
    for a, b, score in pairs:
        row = {"sentence1": a, "sentence2": b, column: score}
        if score >= least and a not in leading:
            leading.add(a)
            planter.keep(row)
        elif score >= least or (score <= most and a in positive):
            planter.merge(row)
        else:
            planter.reject(BELOW, row)


def afqmc() -> Built:
    """Returns the AFQMC entry, as JSON lines."""
    planter = Planter()
    _scored(planter, read_lines("afqmc.txt"), "score", least=1, most=0)
    unknown = (
        ("怎么申请分期", "分期的申请入口在哪", -1),
        ("今天能到账吗", "明天几点到账", -1),
        ("转出限额", "转入限额", None),
    )
    planter.reject("UNLABELLED", *({"sentence1": a, "sentence2": b, "score": score} for a, b, score in unknown))
    planter.reject("EMPTY_QUERY", {"sentence1": None, "sentence2": "如何更改昵称", "score": 1})
    planter.reject("EMPTY_POSITIVE", {"sentence1": "为什么收不到通知", "sentence2": None, "score": 1})
    planter.reject("TOO_SHORT", {"sentence1": "？？", "sentence2": "我的钱在哪里", "score": 1})
    planter.reject("QUERY_IS_POSITIVE", {"sentence1": "怎么绑定新卡？", "sentence2": "怎么绑定新卡", "score": 1})
    planter.reject("MALFORMED_ROW", '{"sentence1": "忘记密码", "sentence2": '.encode())
    rows = [{**row, "idx": i} if isinstance(row, dict) else row for i, row in enumerate(planter.shuffled("afqmc"))]
    path = "datasets/C-MTEB/AFQMC/default/train-00000-of-00001.jsonl"
    return [SourceFile(path=path, schema=SCORED_PAIR, rows=rows)], {"afqmc": planter.ledger}


def nli_zh() -> Built:
    """Returns the nli_zh entry: five configurations in five formats; STS-B scores run from 0 to 5."""
    endings = {"ATEC": "parquet", "BQ": "csv", "LCQMC": "jsonl.gz", "PAWSX": "tsv", "STS-B": "parquet"}
    files: Files = []
    total = Ledger()
    for (config,), lines in sections("nli_zh.txt"):
        planter = Planter(ledger=total)
        least, most = (4, 2) if config == "STS-B" else (1, 0)
        _scored(planter, lines, "label", least=least, most=most)
        if config == "LCQMC":
            planter.reject("UNLABELLED", {"sentence1": "鸡蛋煮几分钟", "sentence2": "煮鸡蛋要多久", "label": None})
        path = f"datasets/shibing624/nli_zh/{config}/train-00000-of-00001.{endings[config]}"
        files.append(SourceFile(path=path, schema=class_label(LABELLED_PAIR, {}), rows=planter.shuffled(config)))
    return files, {"nli-zh": total}


def ntrex() -> Built:
    """Returns the NTREX entry: parallel sentences in five languages, as compressed TSV."""
    names = NTREX.names
    rows = [dict(zip(names, fields(line), strict=True)) for line in read_lines("ntrex.txt")]
    planter = Planter()
    planter.keep(*rows)
    planter.reject("EXACT_DUPLICATE", rows[6])
    planter.reject("EMPTY_QUERY", {**rows[9], "eng_Latn": None, "fra_Latn": None})
    planter.reject("QUERY_IS_POSITIVE", dict.fromkeys(names, "The press office could not be reached for comment."))
    planter.reject("WRONG_LANGUAGE", dict(zip(names, _russian(), strict=False)))
    planter.reject("MALFORMED_ROW", b"Nobody translated this line.")
    path = "datasets/mteb/NTREXBitextMining/default/test-00000-of-00001.tsv.gz"
    return [SourceFile(path=path, schema=NTREX, rows=planter.shuffled("ntrex"))], {"ntrex": planter.ledger}


def _russian() -> Iterator[str]:
    for number in (2, 6, 7):
        yield from (sentence.strip(" .") + "." for sentence in foreign(number).split(". "))
