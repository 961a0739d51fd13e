"""Labelled texts: intents, headlines, app descriptions, reviews and counterfactual sentences."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from catalog.sample_writer.evaluation import Files
from catalog.sample_writer.formats import Row, SourceFile, class_label
from catalog.sample_writer.grammar import read_lines
from catalog.sample_writer.planting import Ledger, Planter, cut_short, disguised, garbled, lightly_edited, retyped

NAMED = pa.schema([("text", pa.string()), ("label", pa.int64()), ("label_text", pa.string())])
INDEXED = pa.schema([("text", pa.string()), ("label", pa.int64()), ("idx", pa.int32())])
PLAIN = pa.schema([("text", pa.string()), ("label", pa.int64())])
TNEWS_CODES = ("100", "101", "102", "103", "104", "106", "107", "108", "109", "110", "112", "113", "114", "115", "116")
COUNTERFACTUAL = ("not-counterfactual", "counterfactual")
Built = tuple[Files, dict[str, Ledger]]


def sections(file: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yields each section of a material file: the words of its heading, and its lines."""
    heading: list[str] = []
    body: list[str] = []
    for line in read_lines(file):
        if line.startswith("##"):
            if heading:
                yield heading, body
            heading, body = line[2:].split(), []
        else:
            body.append(line)
    yield heading, body


def foreign(number: int) -> str:
    """Returns a passage in a language that the entry does not declare."""
    return read_lines("foreign.txt")[number].split("|")[1].strip()


def _conflict(planter: Planter, row: Row, **other: object) -> None:
    planter.reject("CONFLICTING_LABEL", row, {**row, **other})


def _copies(planter: Planter, same: Sequence[Row], altered: Sequence[Row] = ()) -> None:
    planter.reject("EXACT_DUPLICATE", *same, *(retyped(row, disguised, "text") for row in altered))


def banking77() -> Built:
    """Returns the Banking77 entry, as compressed CSV."""
    rows = [
        {"text": text, "label": int(number), "label_text": name}
        for (number, name), texts in sections("banking77.txt")
        for text in texts
    ]
    planter = Planter()
    planter.keep(*rows)
    _copies(planter, rows[3:4], rows[40:42])
    for text in (
        "My <b>new</b> card &amp; its letter never came",
        "&quot;Pending&quot; is all the app<br> says about my payment",
    ):
        planter.keep({**rows[25], "text": text}, note="kept_with_markup")
    planter.reject(
        "UNLABELLED",
        *({"text": text} for text in ("Please ring me back about my loan", "Who runs the branch in Dunford?")),
    )
    planter.reject("EMPTY_QUERY", {**rows[8], "text": None})
    _conflict(
        planter,
        {**rows[30], "text": "Nothing happens when I hold my card to it"},
        label=23,
        label_text="contactless_not_working",
    )
    planter.reject("REPETITIVE", {**rows[9], "text": "aaaa aaaaaa aaaaaaaa aaaa"})
    planter.reject("WRONG_LANGUAGE", {**rows[10], "text": foreign(8)})
    planter.reject("MALFORMED_ROW", b"my card is gone", b"the app shows an error,59")
    path = "datasets/mteb/banking77/default/train-00000-of-00001.csv.gz"
    return [SourceFile(path=path, schema=NAMED, rows=planter.shuffled("banking77"))], {"banking77": planter.ledger}


def _numbered(file: str) -> list[Row]:
    rows = [{"text": text, "label": int(number)} for (number, *_), texts in sections(file) for text in texts]
    return [{**row, "idx": i} for i, row in enumerate(rows)]


def tnews() -> Built:
    """Returns the TNews entry, as Parquet with the class codes in its metadata."""
    rows = _numbered("tnews.txt")
    planter = Planter()
    planter.keep(*rows)
    _copies(planter, rows[10:12])
    unknown = ("夜市摊主的一天从凌晨四点开始", "这份清单请收藏好")
    planter.reject("UNLABELLED", *({"text": text, "label": -1, "idx": 900 + i} for i, text in enumerate(unknown)))
    planter.reject("UNLABELLED", {"text": "老街改造方案公开征求意见", "label": None, "idx": 903})
    planter.reject("EMPTY_QUERY", {"text": None, "label": 4, "idx": 904})
    _conflict(planter, {"text": "老兵开农家乐，带动全村致富", "label": 9, "idx": 905}, label=13, idx=906)
    path = "datasets/C-MTEB/TNews-classification/default/train-00000-of-00001.parquet"
    schema = class_label(INDEXED, {"label": TNEWS_CODES})
    return [SourceFile(path=path, schema=schema, rows=planter.shuffled("tnews"))], {"tnews": planter.ledger}


def iflytek() -> Built:
    """Returns the IFlyTek entry, as compressed JSON lines; near copies of two descriptions stay, as they are short."""
    rows = _numbered("iflytek.txt")
    joined = [{**rows[at], "text": rows[at]["text"] + rows[at + 1]["text"]} for at in (3, 23)]
    rows = [row for row in rows if row["idx"] not in (3, 4, 23, 24)]
    planter = Planter()
    planter.keep(*rows, *joined)
    _copies(planter, rows[7:8], rows[9:10])
    near = ({**row, "text": lightly_edited(row["text"], "zh", i), "idx": 800 + i} for i, row in enumerate(joined))
    planter.keep(*near)
    planter.reject(
        "UNLABELLED", {"text": "每天一张老照片，记录城市的变化，支持评论和收藏。", "label": None, "idx": 810}
    )
    planter.reject(
        "WRONG_TYPE", {"text": 12345, "label": 5, "idx": 811}, {"text": {"zh": "记账"}, "label": 98, "idx": 812}
    )
    planter.reject("MALFORMED_ROW", cut_short(rows[20]))
    planter.reject("INVALID_UTF8", garbled(rows[20], "text", b"\xd0\xc2\xb0\xe6"))
    path = "datasets/C-MTEB/IFlyTek-classification/default/train-00000-of-00001.jsonl.zst"
    return [SourceFile(path=path, schema=INDEXED, rows=planter.shuffled("iflytek"))], {"iflytek": planter.ledger}


def _reviews(name: str) -> list[Row]:
    return [
        {"text": text, "label": int(label)}
        for (shop, label), texts in sections("reviews.txt")
        if shop == name
        for text in texts
    ]


def waimai() -> Built:
    """Returns the Waimai entry, as CSV."""
    rows = _reviews("waimai")
    planter = Planter()
    planter.keep(*rows)
    _copies(planter, rows[5:6], rows[40:41])
    planter.reject("REPETITIVE", {"text": "好" * 16, "label": 1}, {"text": "呵呵呵呵呵呵呵呵呵呵呵", "label": 0})
    planter.reject("EMPTY_QUERY", {"text": None, "label": 1})
    _conflict(planter, {"text": "送餐员打了三次电话才找到楼", "label": 1}, label=0)
    planter.reject("MALFORMED_ROW", "味道一般".encode())
    path = "datasets/C-MTEB/waimai-classification/default/train-00000-of-00001.csv"
    return [SourceFile(path=path, schema=PLAIN, rows=planter.shuffled("waimai"))], {"waimai": planter.ledger}


def onlineshopping() -> Built:
    """Returns the OnlineShopping entry, as Parquet."""
    rows = _reviews("shopping")
    planter = Planter()
    planter.keep(*rows)
    marked = (
        "尺寸合适&#44;做工<b>扎实</b>，值得推荐给大家",
        "用了两周&hellip;&hellip;屏幕开始闪\x0b，心情很差",
        "鞋盒压扁了<br/>鞋子倒是没事\ufffd，勉强给好评",
    )
    planter.keep(
        *({"text": text, "label": label} for text, label in zip(marked, (1, 0, 1), strict=True)),
        note="kept_with_markup",
    )
    _copies(planter, rows[12:13], rows[30:31])
    planter.reject("REPETITIVE", {"text": "垃圾" * 14, "label": 0}, {"text": "!!!!!!!!!!!!!!!!!!", "label": 0})
    planter.reject("WRONG_LANGUAGE", {"text": foreign(9), "label": 1})
    planter.reject("UNLABELLED", {"text": "还没有拆封，等过年再用，到时候再来追评。", "label": None})
    planter.reject("EMPTY_QUERY", {"text": " \n", "label": 0})
    _conflict(planter, {"text": "东西还行，就是等的时间长了一些，下次买别的颜色。", "label": 1}, label=0)
    path = "datasets/C-MTEB/OnlineShopping-classification/default/train-00000-of-00001.parquet"
    schema = class_label(PLAIN, {})
    return [SourceFile(path=path, schema=schema, rows=planter.shuffled("shopping"))], {"onlineshopping": planter.ledger}


def amazoncounterfactual() -> Built:
    """Returns the AmazonCounterfactual entry: four configurations in four formats, with copies across two of them."""
    configs: dict[str, Planter] = {}
    for (config, label), texts in sections("counterfactual.txt"):
        rows = ({"text": text, "label": int(label), "label_text": COUNTERFACTUAL[int(label)]} for text in texts)
        configs.setdefault(config, Planter()).keep(*rows)
    _plant_counterfactual_defects(configs)
    endings = {"en-ext": "csv.zst", "en": "jsonl", "de": "tsv.gz", "ja": "parquet"}
    base = "datasets/mteb/amazon_counterfactual"
    files = [
        SourceFile(
            path=f"{base}/{config}/train-00000-of-00001.{endings[config]}",
            schema=class_label(NAMED, {}),
            rows=planter.shuffled(config),
        )
        for config, planter in configs.items()
    ]
    return files, {"amazoncounterfactual": _total(planter.ledger for planter in configs.values())}


def _plant_counterfactual_defects(configs: dict[str, Planter]) -> None:
    first = {config: [row for row in planter.rows if isinstance(row, dict)] for config, planter in configs.items()}
    quoted = ({**row, "text": f'"{row["text"]}"'} for row in first["en"][2:4])
    configs["en-ext"].reject("EXACT_DUPLICATE", *quoted)
    _copies(configs["ja"], first["ja"][4:6])
    _conflict(
        configs["de"],
        {**first["de"][0], "text": "Ohne Netz geht damit leider gar nichts."},
        label=0,
        label_text=COUNTERFACTUAL[0],
    )
    configs["de"].reject("WRONG_LANGUAGE", {**first["de"][1], "text": foreign(6)})
    configs["de"].reject("MALFORMED_ROW", b"nur ein Feld")
    configs["ja"].reject("UNLABELLED", {"text": "届いたばかりなので、使ってから改めて感想を書きます。", "label": None})
    configs["en"].reject("EMPTY_QUERY", {**first["en"][0], "text": ""})
    configs["en"].reject("MALFORMED_ROW", cut_short(first["en"][5], 0.8))
    configs["en"].reject("INVALID_UTF8", garbled(first["en"][5], "text", b"\xe9t\xe9 "))


def _total(ledgers: Iterator[Ledger]) -> Ledger:
    total = Ledger()
    for ledger in ledgers:
        total.rows += ledger.rows
        total.merged += ledger.merged
        total.rejected += ledger.rejected
    return total
