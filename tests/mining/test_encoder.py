"""The encoder with real weights: the bundled all-MiniLM-L6-v2."""

import gc
import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer

from mining.encoder import (
    _LOADED,
    THREADS_VARIABLE,
    _fix_products,
    _import_models,
    _set_threads,
    load_encoder,
    normalise,
)
from mining.forward import Graph
from mining.teacher import TeacherParams, find_teacher
from schemas.errors import ConfigError

PAIRS = {
    "how do vaccines work": "A vaccine trains the immune system to recognise a pathogen without causing the disease.",
    "capital of Australia": "Canberra was founded in 1913 as the seat of the Australian government.",
    "reverse a list in python": "Call list.reverse() to turn the elements around in place, or slice with [::-1].",
    "why is the sky blue": "Sunlight is scattered by air molecules, short wavelengths far more than long ones.",
    "symptoms of iron deficiency": "Too little iron leads to tiredness, pale skin and shortness of breath.",
    "who painted the Mona Lisa": "Leonardo da Vinci worked on the portrait from about 1503 in Florence.",
}
OTHERS = [
    "The match ended in a draw after extra time.",
    "Interest rates were left unchanged by the central bank.",
    "Fold the egg whites in gently and bake for twenty minutes.",
    "The train to the coast runs every half hour on weekdays.",
]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("minilm")


def folder_with_prompts(folder: Path, prompts: dict[str, str]) -> Path:
    """The bundled model under links, with prompts of its own."""
    bundled = Path(find_teacher("minilm").path)
    for path in bundled.rglob("*"):
        if path.is_file() and path.name != "config_sentence_transformers.json":
            (folder / path.relative_to(bundled)).parent.mkdir(parents=True, exist_ok=True)
            (folder / path.relative_to(bundled)).symlink_to(path)
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    return folder


def test_each_query_ranks_its_own_passage_first(encoder):
    passages = encoder.encode_passages([*PAIRS.values(), *OTHERS])
    scores = encoder.encode_queries(list(PAIRS)) @ passages.T
    assert scores.argmax(axis=1).tolist() == list(range(len(PAIRS)))


def test_vectors_are_float32_of_length_one_and_those_of_sentence_transformers(encoder):
    texts = [*PAIRS, *PAIRS.values(), "word " * 60]
    vectors = encoder.encode(texts)
    assert (vectors.dtype, vectors.shape) == (np.float32, (len(texts), encoder.dims))
    assert np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1).max() < 1e-6
    expected = SentenceTransformer(encoder.teacher.path, device="cpu", local_files_only=True).encode(texts)
    assert np.abs(vectors @ expected.T - expected @ expected.T).max() < 1e-5


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_texts_give_the_same_bytes_whatever_the_number_of_threads(encoder, threads):
    texts = sorted([*PAIRS, *PAIRS.values(), *OTHERS] * 2, key=len)
    expected = encoder.encode(texts)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        other = replace(encoder, forward=replace(encoder.forward, threads=threads, tokens_per_pass=64))
        assert (other.encode(texts) == expected).all()
    finally:
        torch.set_num_threads(before)


def test_passes_run_at_once_each_on_one_thread_and_torch_keeps_its_number(encoder):
    met, both = [], threading.Barrier(2, timeout=60)

    def graph(features):
        both.wait()  # a second pass that did not run beside the first would never come
        met.append(torch.get_num_threads())
        return encoder.forward.graph(features)

    before = torch.get_num_threads()
    replace(encoder.forward, graph=graph, threads=2, tokens_per_pass=8)(["a b c", "d e f"])
    assert met == [1, 1]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_a_vector_does_not_depend_on_companions_order_or_the_size_of_a_pass(backend):
    if backend == "openvino":
        pytest.importorskip("openvino")
    encoder = load_encoder("minilm", TeacherParams(backend=backend))
    texts = [*PAIRS, *PAIRS.values(), *OTHERS, "x", "word " * 60, "word " * 61, "word " * 400]
    whole, order = encoder.encode(texts), np.random.default_rng(5).permutation(len(texts))
    assert (encoder.encode([texts[place] for place in order]) == whole[order]).all()
    assert (np.concatenate([encoder.encode([text]) for text in texts[::3]]) == whole[::3]).all()
    assert (np.concatenate([encoder.encode(texts[:7]), encoder.encode(texts[7:])]) == whole).all()
    small = replace(encoder, forward=replace(encoder.forward, tokens_per_pass=48))
    assert (small.encode(texts) == whole).all()


def test_openvino_gives_torchs_vectors_but_for_the_last_bits(encoder):
    pytest.importorskip("openvino")
    other = load_encoder("minilm", TeacherParams(backend="openvino"))
    texts = [*PAIRS, *PAIRS.values(), *OTHERS, "word " * 300]
    assert np.abs(other.encode(texts) - encoder.encode(texts)).max() < 1e-5
    assert (other.truncated(texts) == encoder.truncated(texts)).all()


def test_texts_longer_than_the_teacher_reads_are_told(encoder):
    texts = ["word " * 254, "word " * 255, "", "a short one"]  # of 256 tokens two are special
    expected = [False, True, False, False]
    assert encoder.truncated(texts).tolist() == encoder.encode_each(texts).truncated.tolist() == expected
    assert load_encoder("minilm", TeacherParams(max_tokens=8)).truncated(texts).tolist() == [True, True, False, False]
    assert encoder.truncated([]).tolist() == []


def test_the_first_components_can_be_kept(encoder):
    short = load_encoder("minilm", TeacherParams(dims=32))
    texts = [*PAIRS]
    assert short.dims == 32
    assert np.allclose(short.encode(texts), normalise(encoder.encode(texts)[:, :32]), atol=1e-6)


def test_a_text_without_a_vector_does_not_take_the_others_along(encoder):
    bad = int(encoder.model.tokenizer("penguin")["input_ids"][1])
    broken = replace(encoder.forward, graph=_without(encoder.forward.graph, bad))
    found = replace(encoder, forward=broken).encode_each([*PAIRS, "a penguin swims", *OTHERS])
    assert np.flatnonzero(~found.directed).tolist() == [len(PAIRS)]
    assert (found.vectors[found.directed] == encoder.encode([*PAIRS, *OTHERS])).all()


class _Refusing:
    """The teacher's own tokenizer, but for texts with a word, on which it raises what it is told to."""

    def __init__(self, tokenizer, word, error):
        self.tokenizer, self.word, self.error = tokenizer, word, error

    def __getattr__(self, name):
        return getattr(self.tokenizer, name)

    def __call__(self, texts, **options):
        if any(self.word in text for text in texts):
            raise self.error
        return self.tokenizer(texts, **options)


#: What pyo3 raises where Rust gives up: no Exception.
PanicException = type("PanicException", (BaseException,), {})


@pytest.mark.parametrize("error", [ValueError("no such letter"), PanicException("index out of bounds")])
def test_a_text_on_which_the_tokenizer_raises_does_not_take_the_others_along(encoder, error):
    refusing = replace(
        encoder, forward=replace(encoder.forward, tokenizer=_Refusing(encoder.model.tokenizer, "penguin", error))
    )
    texts = [*PAIRS, "a penguin swims", *OTHERS, "penguins"]
    places = [len(PAIRS), len(texts) - 1]
    found = refusing.encode_each(texts)
    assert found.unreadable == dict.fromkeys(places, f"{type(error).__name__}: {error}")
    assert np.flatnonzero(~found.directed).tolist() == places
    assert (found.vectors[found.directed] == encoder.encode([*PAIRS, *OTHERS])).all()
    assert not found.vectors[places].any()
    long = "word " * 1000
    assert refusing.truncated(["penguin", long, "short"]).tolist() == [False, True, False]
    with pytest.raises(ValueError, match=rf"cannot read 1 of 2 texts; the first begins 'a penguin': .*{error}"):
        refusing.encode(["ok", "a penguin"])


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt()])
def test_an_error_that_is_none_of_the_texts_is_not_taken_for_one(encoder, error):
    tokenizer = _Refusing(encoder.model.tokenizer, "penguin", error)
    with pytest.raises(type(error)):
        replace(encoder, forward=replace(encoder.forward, tokenizer=tokenizer)).encode_each(["a penguin"])


def test_a_tokenizer_that_raises_on_texts_only_together_is_an_error(encoder):
    class Together(_Refusing):
        def __call__(self, texts, **options):
            if len(texts) > 1:
                raise self.error
            return self.tokenizer(texts, **options)

    tokenizer = Together(encoder.model.tokenizer, "", ValueError("one at a time"))
    with pytest.raises(ValueError, match="one at a time"):
        replace(encoder, forward=replace(encoder.forward, tokenizer=tokenizer)).encode_each(["a", "b"])


def _without(graph: Graph, token: int) -> Graph:
    """A model whose vectors for texts with a token are not numbers."""

    def changed(features):
        vectors = graph(features).copy()
        vectors[(features["input_ids"] == token).any(axis=1)] = np.nan
        return vectors

    return changed


def test_a_text_of_which_a_table_has_no_word_does_not_take_the_others_along(tmp_path):
    encoder = load_encoder(str(static_model(tmp_path / "table")))
    found = encoder.encode_each(["\u200b", "a penguin", "\u200b \u200b"])
    assert found.unreadable == dict.fromkeys([0, 2], "it has no vector for any of its words")
    assert found.directed.tolist() == [False, True, False]
    assert np.array_equal(found.vectors[1:2], encoder.encode(["a penguin"]))
    with pytest.raises(ValueError, match=r"cannot read 1 of 1 texts; the first begins .*: it has no vector for any"):
        encoder.encode(["\u200b"])


def test_a_text_of_which_a_tokenizer_makes_no_token_does_not_take_the_others_along(encoder):
    class Bare:
        """The same tokenizer without special tokens."""

        pad_token_id, padding_side = encoder.model.tokenizer.pad_token_id, "right"
        model_input_names = encoder.model.tokenizer.model_input_names

        def __call__(self, texts, **options):
            return encoder.model.tokenizer(texts, add_special_tokens=False, **options)

    bare = replace(encoder, forward=replace(encoder.forward, tokenizer=Bare()))
    found = bare.encode_each(["\u200b", "a penguin"])
    assert found.unreadable == {0: "its tokenizer makes no token of it"}
    assert found.directed.tolist() == [False, True]
    assert np.array_equal(found.vectors[1:], bare.encode(["a penguin"]))
    assert bare.truncated(["\u200b", "a penguin " * 400]).tolist() == [False, True]


def static_model(folder: Path) -> Path:
    """A table of words as sentence-transformers saves it."""
    words = load_encoder("minilm").model.tokenizer.backend_tokenizer
    table = StaticEmbedding(Tokenizer.from_str(words.to_str()), embedding_dim=16)
    table.tokenizer.no_truncation()
    SentenceTransformer(modules=[table], device="cpu").save_pretrained(str(folder))
    return folder


def test_a_table_of_words_is_a_teacher(tmp_path):
    folder = static_model(tmp_path / "static")
    (folder / "config.json").write_text('{"hidden_size": 16}')
    encoder, texts = load_encoder(str(folder)), [*PAIRS, *PAIRS.values(), "word " * 600]
    expected = normalise(SentenceTransformer(str(folder), device="cpu", local_files_only=True).encode(texts))
    assert (encoder.encode(texts) == expected).all()
    assert (encoder.encode(texts[::-1]) == expected[::-1]).all()
    assert not encoder.truncated(texts).any()
    assert encoder.forward.knows_truncated
    pytest.importorskip("openvino")
    with pytest.raises(ConfigError, match="begins with StaticEmbedding"):
        load_encoder(str(folder), TeacherParams(backend="openvino"))


def test_texts_are_truncated_at_the_lower_of_both_limits(encoder):
    long, longer = encoder.encode(["word " * 260, "word " * 300])
    assert np.abs(long - longer).max() < 1e-6  # the model's own limit is 256 tokens
    short = load_encoder("minilm", TeacherParams(max_tokens=8))
    one, two = short.encode(["a b c d e f g", "a b c d e f some other words follow"])
    assert np.abs(one - two).max() < 1e-6


def test_no_texts_give_no_vectors(encoder):
    assert encoder.encode([]).shape == (0, 384)


def test_who_loads_a_model_is_told_and_nobody_else(tmp_path):
    loads = []
    folder = str(static_model(tmp_path))
    for _ in range(2):
        load_encoder(folder, on_load=lambda: loads.append(folder))
    assert loads == [folder]


def test_a_model_is_loaded_once(encoder):
    assert load_encoder("minilm") is encoder
    assert load_encoder("minilm", TeacherParams(), encoder.digest) is encoder


def test_bfloat16_changes_a_vector_a_little(encoder):
    rough = load_encoder("minilm", TeacherParams(precision="bfloat16"))
    cosines = np.einsum("nd,nd->n", rough.encode(list(PAIRS)), encoder.encode(list(PAIRS)))
    assert cosines.min() > 0.999
    assert rough.teacher.key != encoder.teacher.key


def test_a_models_own_prompts_stand_before_its_texts(encoder, tmp_path):
    folder = folder_with_prompts(tmp_path, {"query": "query: ", "document": "passage: "})
    prompted = load_encoder(str(folder))
    assert prompted.digest != encoder.digest
    assert np.allclose(prompted.encode_queries(["a cat"], "ignored"), encoder.encode(["query: a cat"]), atol=1e-6)
    assert np.allclose(prompted.encode_passages(["a cat"]), encoder.encode(["passage: a cat"]), atol=1e-6)
    assert np.allclose(prompted.encode(["a cat"]), encoder.encode(["a cat"]), atol=1e-6)


def test_a_worker_with_other_files_is_refused():
    with pytest.raises(ConfigError, match="planned with 0000"):
        load_encoder("minilm", None, "0" * 64)


def test_a_folder_that_does_not_load_is_an_error_with_its_remedy(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert", "hidden_size": 24}')
    with pytest.raises(ConfigError, match=r"holds no weights .*fetch it again"):
        load_encoder(str(tmp_path))


def test_wrong_dimensions_are_noticed_on_loading(tmp_path):
    folder = folder_with_prompts(tmp_path, {})
    (folder / "1_Pooling" / "config.json").unlink()
    config = {"embedding_dimension": 384, "pooling_mode": ["mean", "cls"]}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="state 384 dimensions, but the loaded model gives 768"):
        load_encoder(str(folder))


def test_the_number_of_threads_comes_from_the_environment(monkeypatch):
    threads = torch.get_num_threads()
    try:
        monkeypatch.setenv(THREADS_VARIABLE, "1")
        assert _set_threads() == torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setenv(THREADS_VARIABLE, "many")
    with pytest.raises(ConfigError, match="KALM_ENCODER_THREADS='many'"):
        _set_threads()


@pytest.mark.parametrize("row", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_a_vector_without_direction_is_refused(row):
    with pytest.raises(ValueError, match="vector 1 of 2"):
        normalise(np.array([[3.0, 4.0], row]))


def test_normalising_keeps_the_direction():
    assert np.allclose(normalise(np.array([[3.0, 4.0]], dtype=np.float32)), [[0.6, 0.8]])


@pytest.mark.parametrize(
    ("cpu", "before", "after"),
    [
        ("vendor_id : GenuineIntel\nflags : fpu avx2 avx512f avx512bw", None, "AVX512,STRICT"),
        ("vendor_id : GenuineIntel\nflags : fpu avx2 fma", None, "AVX2,STRICT"),
        ("vendor_id : GenuineIntel\nflags : fpu avx2 avx512f", "COMPATIBLE", "COMPATIBLE"),
        ("vendor_id : GenuineIntel\nflags : fpu sse4_2", None, None),
        ("vendor_id : AuthenticAMD\nflags : fpu avx2 avx512f", None, None),
        ("", None, None),
    ],
)
def test_products_are_strict_where_the_cpu_has_a_mode_for_it(cpu, before, after):
    environment = {} if before is None else {"MKL_CBWR": before}
    _fix_products(environment, cpu)
    assert environment.get("MKL_CBWR") == after


@pytest.mark.parametrize("collects", [True, False])
def test_the_import_leaves_the_garbage_collector_as_it_was(collects):
    try:
        if not collects:
            gc.disable()
        _import_models()
        assert gc.isenabled() == collects
    finally:
        gc.enable()


def test_a_teacher_that_is_to_be_alone_takes_the_place_of_others():
    params = [TeacherParams(max_tokens=length) for length in (16, 17)]
    loads: list[int] = []
    first = load_encoder("minilm", params[0], on_load=lambda: loads.append(0))
    assert load_encoder("minilm", params[0], on_load=lambda: loads.append(0), alone=True) is first
    second = load_encoder("minilm", params[1], on_load=lambda: loads.append(1), alone=True)
    assert list(_LOADED.values()) == [second]
    assert load_encoder("minilm", params[0], on_load=lambda: loads.append(0)) is not first
    assert load_encoder("minilm", params[1], on_load=lambda: loads.append(1)) is second
    assert loads == [0, 1, 0]


def test_those_that_were_asked_for_last_stay():
    params = [TeacherParams(max_tokens=length) for length in range(20, 25)]
    for each in params:
        load_encoder("minilm", each)
        load_encoder("minilm", params[0])
    assert [teacher.params.max_tokens for teacher in _LOADED] == [22, 23, 24, 20]
