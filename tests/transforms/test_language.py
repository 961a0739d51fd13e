import os
import socket
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms import language as subject
from transforms.language import LanguageParams, wrong_language
from transforms.language_codes import KNOWN_TO_LANGDETECT, canonical
from transforms.normalise import normalise_texts

HUB = Path(os.environ.get("KALM_SHARED", Path(__file__).parents[3] / "shared")) / "hub" / "datasets"
PARAMS = LanguageParams()

SENTENCES = {
    "en": "The baker opens his shop before sunrise and sells warm rolls to the fishermen.",
    "de": "Der Bäcker öffnet seinen Laden vor Sonnenaufgang und verkauft den Fischern warme Brötchen.",
    "fr": "Le boulanger ouvre sa boutique avant l'aube et vend des petits pains chauds aux pêcheurs.",
    "es": "El panadero abre su tienda antes del amanecer y vende panecillos calientes a los pescadores.",
    "pl": "Piekarz otwiera swój sklep przed wschodem słońca i sprzedaje rybakom ciepłe bułki.",
    "ru": "Пекарь открывает свою лавку до восхода солнца и продаёт рыбакам тёплые булочки.",
    "ar": "يفتح الخباز دكانه قبل شروق الشمس ويبيع الخبز الساخن للصيادين في الميناء.",
    "hi": "बेकर सूर्योदय से पहले अपनी दुकान खोलता है और मछुआरों को गरम रोटियाँ बेचता है।",
    "zh": "面包师在日出之前打开店门，把热腾腾的小面包卖给港口的渔民，然后回到后面的厨房继续揉面。",
    "ja": "パン屋は日の出前に店を開け、温かいパンを港の漁師たちに売っています。",
    "ko": "제빵사는 해가 뜨기 전에 가게를 열고 항구의 어부들에게 따뜻한 빵을 팝니다.",
    "th": "คนทำขนมปังเปิดร้านก่อนพระอาทิตย์ขึ้นและขายขนมปังอุ่นๆ ให้ชาวประมง",
}


def wrong(text: str | None, *declared: str, params: LanguageParams = PARAMS) -> str | None:
    said: str | None = wrong_language(pa.array([text], pa.string()), declared, params)[0].as_py()
    return said


@pytest.mark.parametrize("declared", SENTENCES)
def test_sentences_are_in_their_language_and_in_no_other(declared: str) -> None:
    said = wrong_language(pa.array(SENTENCES.values()), [declared], PARAMS).to_pylist()
    assert [language for language, fault in zip(SENTENCES, said, strict=True) if fault is None] == [declared]


def test_any_declared_language_will_do() -> None:
    said = wrong_language(pa.array(SENTENCES.values()), ["en", "zh-Hant", "deu_Latn"], PARAMS)
    assert [code for code, fault in zip(SENTENCES, said.to_pylist(), strict=True) if fault is None] == [
        "en",
        "de",
        "zh",
    ]


def test_detail_names_both_models_and_the_declared() -> None:
    said = wrong(SENTENCES["fr"], "en", "de")
    assert said is not None
    assert said.startswith("fastText says fr (")
    assert "), langdetect says fr (" in said
    assert said.endswith("; declared: de, en")


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        (None, "en"),
        ("", "en"),
        ("Bäcker öffnen früher", "en"),  # 18 letters
        ("12 345 678 901 234 567 890 12 345 678", "en"),
        (SENTENCES["de"], "mul"),
        (SENTENCES["de"], "english"),
        (
            "Bakarinn opnar búðina sína fyrir sólarupprás og selur sjómönnunum heitar bollur.",
            "en",
        ),  # langdetect knows no is
        ("tsinghuauniversitylibrarycatalogueofrarebooks", "zh"),
        ("def add(a, b):\n    return {k: a[k] + b[k] for k in a if k in b} or None", "zh"),
        ("See https://example.org/how-to-open-a-bakery-before-sunrise and bakery@example.org", "zh"),
        ("THE BAKER SELLS WARM ROLLS TO THE FISHERMEN BEFORE SUNRISE", "en"),
        ("基于 Transformer 的 BERT 模型在 GLUE 与 SQuAD 上的微调方法", "zh"),
        ("港口的渔民", "yue"),
    ],
)
def test_everything_unclear_passes(text: str | None, declared: str) -> None:
    assert wrong(text, declared) is None


@pytest.mark.parametrize("declared", ["yo", "ha", "rw", "am", "ka"])
def test_languages_unknown_to_langdetect(declared: str) -> None:
    """Their own texts look like anything to the models; only what both are sure of is foreign there."""
    assert declared not in KNOWN_TO_LANGDETECT
    assert wrong("Ọmọ náà ń ka ìwé ní ilé ẹ̀kọ́ pẹ̀lú àwọn ọ̀rẹ́ rẹ̀ ní gbogbo ọjọ́.", declared) is None
    assert wrong("Yaro yana karatu a makaranta tare da abokansa kowace rana da safe.", declared) is None
    assert all(wrong(SENTENCES[language], declared) is not None for language in ("en", "fr", "ru", "zh"))


@settings(deadline=None, max_examples=20)
@given(st.permutations(list(SENTENCES.values())), st.integers(0, len(SENTENCES)))
def test_a_verdict_depends_on_nothing_but_the_text(texts: list[str], start: int) -> None:
    alone = [wrong(text, "en", "ru") for text in texts[start:]]
    assert wrong_language(pa.array(texts)[start:], ["ru", "en"], PARAMS).to_pylist() == alone


def test_models_load_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the language check opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    subject._fasttext_model.cache_clear()
    subject._langdetect_factory.cache_clear()
    assert wrong(SENTENCES["es"], "en") is not None


@pytest.mark.parametrize(
    ("change", "still_found"),
    [
        ({}, 11),
        ({"fasttext_many": 1.0, "fasttext_sure": 1.0}, 4),
        ({"min_letters": 48}, 7),
        ({"many_letters": 300, "langdetect_few": 1.0}, 1),
        ({"max_word": 5.0}, 7),
        ({"max_signs": 0.0}, 11),
    ],
)
def test_each_threshold_is_asked(change: dict[str, float], still_found: int) -> None:
    said = wrong_language(pa.array(SENTENCES.values()), ["en"], replace(PARAMS, **change))  # type: ignore[arg-type]
    assert pc.count(said).as_py() == still_found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fasttext_few": 1.5}, "fasttext_few is 1.5; it is a share"),
        ({"max_signs": -0.1}, "max_signs is -0.1; it is a share"),
        ({"min_letters": 60}, "min_letters 60 must lie in 1..many_letters"),
        ({"head": 10}, "head 10 must lie in min_letters..reach"),
    ],
)
def test_thresholds_out_of_range_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PARAMS, **change)  # type: ignore[arg-type]


def column(path: str, name: str, rows: int) -> pa.Array:
    texts = pq.read_table(HUB / f"{path}-00000-of-00001.parquet", columns=[name]).column(0).combine_chunks()
    return normalise_texts(texts.slice(0, rows))


@pytest.mark.skipif(not HUB.is_dir(), reason="no directory of real data in hub layout (KALM_SHARED)")
@pytest.mark.parametrize(
    ("path", "name", "declared"),
    [
        ("zejunwang1/CSTS/CINLID/train", "phrase1", "zh"),
        ("C-MTEB/AFQMC/default/train", "sentence1", "zh"),
        ("CLUEbenchmark/QBQTC/dataset/test", "query", "zh"),
        ("clue/clue/drcd/test", "question", "zh-Hant"),
        ("SkelterLabsInc/JaQuAD/default/validation", "question", "ja"),
        ("mteb/amazon_counterfactual/de/train", "text", "de"),
        ("mteb/banking77/default/train", "text", "en"),
        ("gonglinyuan/CoSQA/default/validation", "code", "en"),
        ("Davlan/sib200/yor_Latn/train", "text", "yor_Latn"),
        ("SemRel/SemRel2024/hau/train", "sentence1", "ha"),
        ("SemRel/SemRel2024/kin/train", "sentence1", "rw"),
        ("SemRel/SemRel2024/ind/test", "sentence1", "id"),
        ("SemRel/SemRel2024/arq/train", "sentence1", "arq"),
        ("Davlan/sib200/kor_Hang/train", "text", "kor_Hang"),
        ("google/xquad/xquad.hi/validation", "question", "hi"),
        ("PhilipMay/stsb_multi_mt/pl/train", "sentence1", "pl"),
    ],
)
def test_at_most_one_genuine_row_in_a_hundred_is_lost(path: str, name: str, declared: str) -> None:
    texts = column(path, name, 600)
    assert pc.count(wrong_language(texts, [declared], PARAMS)).as_py() <= 0.01 * len(texts)


@pytest.mark.skipif(not HUB.is_dir(), reason="no directory of real data in hub layout (KALM_SHARED)")
@pytest.mark.parametrize("declared", ["en", "zh", "yo"])
def test_nearly_all_planted_sentences_are_found(declared: str) -> None:
    """Sentences cut after 50 letters, 15 for each language known to langdetect but sw, of which fastText is unsure."""
    path = HUB / "mteb/NTREXBitextMining/default/test-00000-of-00001.parquet"
    rows = pq.read_table(path).slice(0, 40)
    names = [name for name in rows.column_names if canonical(name) in KNOWN_TO_LANGDETECT - {declared, "sw"}]
    planted = [cut for name in names for cut in cut_after(50, rows.column(name).to_pylist())[:15]]
    found = pc.count(wrong_language(pa.array(planted), [declared], PARAMS)).as_py()
    assert found >= (0.95 if declared != "yo" else 0.9) * len(planted)


def cut_after(letters: int, texts: list[str]) -> list[str]:
    ends = [[end for end in range(len(text)) if sum(map(str.isalpha, text[:end])) == letters][:1] for text in texts]
    return [text[: end[0]] for text, end in zip(texts, ends, strict=True) if end]
