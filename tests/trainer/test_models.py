"""Students, and above all that a decoder's tokens see those after them, also after saving."""

import json
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Transformer
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers import models as token_models
from transformers import Olmo2Model, PreTrainedModel, PreTrainedTokenizerFast, Qwen2Model, StableLmModel

from mining.encoder import load_encoder
from schemas.errors import ConfigError
from trainer.models import (
    find_folder,
    learn_vocabulary,
    open_folder,
    open_model,
    sees_later_tokens,
    shape,
    write_random,
)

TEXTS = ["the cat sat on the mat", "a dog ran in the park", "der Hund schläft", "猫が寝ている"] * 5


def first_states(model: SentenceTransformer, texts: list[str]) -> torch.Tensor:
    """States of each text's first token, ``[texts, dims]``, as the model's own pipeline computes them."""
    features = {
        name: value.to(model.device) if isinstance(value, torch.Tensor) else value
        for name, value in model.preprocess(texts).items()
    }
    with torch.inference_mode():
        return model.eval()[0](features)["token_embeddings"][:, 0]


def weights(model: SentenceTransformer) -> list[torch.Tensor]:
    return list(model.state_dict().values())


def same(one: SentenceTransformer, other: SentenceTransformer) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


@pytest.fixture(scope="module")
def tiny() -> SentenceTransformer:
    return open_model("tiny", TEXTS, 32, 0)


@pytest.mark.parametrize("companion", ["the cat", "the cat sat on the mat and slept all day long"])
def test_a_later_token_changes_an_earlier_tokens_state(tiny, tmp_path, companion):
    tiny.save_pretrained(str(tmp_path), create_model_card=False)
    for model in (tiny, SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)):
        # Alone (no padding, so no mask is made) and beside a text of another length (padded on either side).
        for batch in ([], [companion]):
            mat = first_states(model, ["the cat sat on the mat", *batch])[0]
            dog = first_states(model, ["the cat sat on the dog", *batch])[0]
            assert (mat - dog).abs().max() > 0.01


def test_padding_changes_no_state(tiny):
    alone = first_states(tiny, ["the cat"])[0]
    padded = first_states(tiny, ["the cat", "the cat sat on the mat and slept all day long"])[0]
    assert torch.allclose(alone, padded, atol=1e-5)


def test_the_tiny_model_is_a_two_layer_decoder_with_mean_pooling_and_vectors_of_length_one(tiny):
    assert [type(module).__name__ for module in tiny] == ["Transformer", "Pooling", "Normalize"]
    assert (tiny[0].model.config.model_type, tiny[0].model.config.num_hidden_layers) == ("qwen2", 2)
    assert (tiny[1].pooling_mode, tiny[1].include_prompt, tiny.max_seq_length) == ("mean", True, 32)
    assert torch.allclose(torch.linalg.norm(torch.tensor(tiny.encode(TEXTS)), dim=1), torch.ones(len(TEXTS)))


def test_a_seed_gives_the_same_tiny_model_whatever_was_drawn_before(tiny):
    torch.rand(7)
    before = torch.get_rng_state()
    again = open_model("tiny", TEXTS, 32, 0)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(again, tiny)
    assert not same(open_model("tiny", TEXTS, 32, 1), tiny)
    assert again.tokenizer.get_vocab() == tiny.tokenizer.get_vocab()


@pytest.mark.parametrize("text", ["the cat", "Πλάτων", "漢字かな", "🦊\u200d𓀀", " two  blanks\n", "<|endoftext|>"])
def test_any_text_has_tokens_that_spell_it(text):
    tokenizer = learn_vocabulary(TEXTS)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_frequent_words_become_one_token():
    tokenizer = learn_vocabulary(TEXTS)
    assert tokenizer.tokenize("cat the") == ["cat", "Ġthe"]
    assert len(tokenizer) <= 4096


def test_a_plain_decoder_is_causal_and_becomes_bidirectional(tmp_path):
    write_random(tmp_path, TEXTS, 0)
    assert not sees_later_tokens(Transformer(str(tmp_path)))
    model = open_folder("x", tmp_path)
    assert sees_later_tokens(model[0])
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling", "Normalize"]


def test_half_precision_weights_are_trained_in_float32(tmp_path):
    write_random(tmp_path, TEXTS, 0)
    Transformer(str(tmp_path)).model.bfloat16().save_pretrained(tmp_path)
    assert {weight.dtype for weight in weights(open_folder("x", tmp_path))} == {torch.float32}


def write_decoder(folder: Path, kind: type[PreTrainedModel], **special_tokens: str) -> None:
    """A random decoder of another architecture, whose tokenizer has these special tokens and no others."""
    words = Tokenizer(token_models.WordLevel({"a": 0, "b": 1, "<end>": 2, "c": 3}, unk_token="a"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, **special_tokens).save_pretrained(folder)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokens = {"vocab_size": 4, "max_position_embeddings": 24, "pad_token_id": 2, "bos_token_id": 2, "eos_token_id": 2}
    kind(kind.config_class(num_key_value_heads=2, **sizes, **tokens)).save_pretrained(folder)


def test_another_decoder_becomes_bidirectional_and_pads_with_its_end_of_text(tmp_path):
    write_decoder(tmp_path, Olmo2Model, eos_token="<end>")
    assert not sees_later_tokens(Transformer(str(tmp_path)))
    model = open_model(str(tmp_path), [], 512, 0)
    assert sees_later_tokens(model[0])
    assert (model.tokenizer.pad_token, model.max_seq_length) == ("<end>", 24)
    alone, beside = model.encode(["a b"])[0], model.encode(["a b", "a b b c a"])[0]
    assert abs(alone - beside).max() < 1e-5


@pytest.mark.parametrize("whole", [False, True])
def test_a_tokenizer_that_transformers_opens_as_another_and_that_reads_nothing_is_refused(tmp_path, whole):
    if whole:
        open_model("tiny", TEXTS, 32, 0).save_pretrained(str(tmp_path), create_model_card=False)
    else:
        write_random(tmp_path, TEXTS, 0)
    words = Tokenizer(token_models.WordLevel({"[UNK]": 0, "rain": 1, "falls": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", pad_token="[UNK]").save_pretrained(tmp_path)
    told = r"opened as Qwen2Tokenizer, makes no token of words of its own vocabulary \(\w+, \w+"
    with pytest.raises(ConfigError, match=f"model .*{told}"):
        open_model(str(tmp_path), [], 32, 0)
    if whole:
        with pytest.raises(ConfigError, match=f"teacher .*{told}"):
            load_encoder(str(tmp_path))


def test_a_tokenizer_that_cannot_pad_is_refused(tmp_path):
    write_decoder(tmp_path, Olmo2Model)
    with pytest.raises(ConfigError, match="neither a padding nor an end-of-text token"):
        open_model(str(tmp_path), [], 32, 0)


def test_a_decoder_that_stays_causal_is_refused(tmp_path):
    # StableLM loses its mask only in batches with padding: alone, a text would get another vector.
    write_decoder(tmp_path, StableLmModel, eos_token="<end>")
    with pytest.raises(ConfigError, match="'stablelm', whose tokens see only those before them"):
        open_model(str(tmp_path), [], 32, 0)


@pytest.mark.parametrize("padded", [False, True])
def test_a_decoder_that_obeys_in_one_kind_of_batch_only_is_found_out(monkeypatch, tmp_path, padded):
    write_random(tmp_path, TEXTS, 0)
    transformer = open_folder("x", tmp_path)[0]
    assert sees_later_tokens(transformer)
    forward = transformer.model.forward

    def sometimes_causal(input_ids, attention_mask):
        transformer.model.config.is_causal = bool((attention_mask == 0).any()) == padded
        return forward(input_ids=input_ids, attention_mask=attention_mask)

    monkeypatch.setattr(transformer.model, "forward", sometimes_causal)
    assert not sees_later_tokens(transformer)


def test_the_half_billion_shape_is_that_of_qwen2():
    with torch.device("meta"):
        model = Qwen2Model(shape("qwen2-0.5b", 4096, pad_token_id=0))
    assert sum(weight.numel() for weight in model.parameters()) == 494_032_768
    assert (model.config.hidden_size, model.config.num_hidden_layers) == (896, 24)


def test_a_table_of_words_has_the_bundled_models_words_and_reads_all_of_a_text(tmp_path):
    model = open_model("static", [], 8, 0)
    assert model.get_embedding_dimension() == 384
    words = open_model("minilm", [], 16, 0)[0].model.get_input_embeddings().weight
    tokens = model.tokenizer.encode("cat", add_special_tokens=False).ids
    expected = torch.nn.functional.normalize(words[tokens].mean(0), dim=0).detach().numpy()
    assert model.encode(["cat"])[0] == pytest.approx(expected, abs=1e-5)
    long = "one two three four five six seven eight nine ten"
    assert abs(model.encode([long]) - model.encode([long + " zebra"])).max() > 1e-3
    model.save_pretrained(str(tmp_path), create_model_card=False)
    again = open_model(str(tmp_path), [], 8, 0)
    assert (again.encode([long]) == model.encode([long])).all()


def test_a_plain_encoder_keeps_its_configuration(tmp_path):
    bundled = find_folder("minilm")
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).symlink_to(bundled / name)
    model = open_folder("x", tmp_path)
    assert not hasattr(model[0].model.config, "is_causal")
    expected = load_encoder("minilm").encode_passages(TEXTS[:2])
    assert torch.allclose(torch.tensor(model.encode(TEXTS[:2])), torch.tensor(expected), atol=1e-5)


def test_the_bundled_model_opens_by_name_and_by_folder():
    folder = find_folder("minilm")
    named = open_model("minilm", [], 512, 0)
    assert (named.max_seq_length, named.get_embedding_dimension()) == (256, 384)
    assert open_model(str(folder), [], 16, 0).max_seq_length == 16


def test_opening_leaves_the_teacher_that_is_loaded_alone():
    model = open_model("minilm", [], 16, 0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    assert load_encoder("minilm").encode(["a text"]).any()
    assert load_encoder("minilm").model.max_seq_length == 256


def test_prompts_count_in_the_pooling_whatever_the_folder_says(tiny, tmp_path):
    tiny.save_pretrained(str(tmp_path), create_model_card=False)
    config = tmp_path / "1_Pooling" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"include_prompt": False}))
    model = open_model(str(tmp_path), [], 32, 0)
    assert model[1].include_prompt


@pytest.mark.parametrize("name", ["", "no/such/folder", "minlm"])
def test_a_name_that_is_no_model(name):
    with pytest.raises(ConfigError, match=r"is neither tiny, static, minilm, qwen2-0\.5b nor a folder") as caught:
        open_model(name, [], 32, 0)
    assert f"model {name!r}" in caught.value.message


def test_a_folder_without_a_model(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=r"holds notes\.txt"):
        open_model(str(tmp_path), [], 32, 0)


@pytest.mark.parametrize("harm", ["weights", "no weights", "config", "modules"])
def test_a_folder_that_cannot_be_loaded(tmp_path, harm):
    write_random(tmp_path, TEXTS, 0)
    if harm == "weights":
        (tmp_path / "model.safetensors").write_bytes(b"cut off")
    elif harm == "no weights":
        (tmp_path / "model.safetensors").unlink()
    elif harm == "config":
        (tmp_path / "config.json").write_text('{"model_type": "no-such-model"}')
    else:
        (tmp_path / "modules.json").write_text("[")
    with pytest.raises(ConfigError, match=r"sentence-transformers cannot load|is damaged|holds no weights") as caught:
        open_model(str(tmp_path), [], 32, 0)
    assert repr(str(tmp_path)) in caught.value.message
