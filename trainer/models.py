"""Students: a sentence-transformers folder, a Hugging Face decoder made bidirectional, or one that is made here.

Models are read from this machine only; nothing is downloaded and no code of a model is run.
"""

import math
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.gradcache import has_static_embedding_input
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, StaticEmbedding, Transformer
from transformers import Qwen2Config, Qwen2Model, Qwen2Tokenizer

from mining.encoder import check_tokens, load_encoder
from schemas.errors import ConfigError
from trainer.config import BUNDLED, PRESETS, QWEN, STATIC, TINY

_LEARNT_VOCABULARY = 4096
_SHAPES: dict[str, dict[str, Any]] = {
    TINY: {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    # As in the published config.json of Qwen/Qwen2-0.5B.
    QWEN: {
        "vocab_size": 151_936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "max_position_embeddings": 131_072,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
        "tie_word_embeddings": True,
    },
}
_LOCAL = {"local_files_only": True, "trust_remote_code": False}
_LOADING_ERRORS = (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError)


def open_model(name: str, texts: Iterable[str], max_seq_length: int, seed: int) -> SentenceTransformer:
    """The student of a preset's name, or the model in a folder, in float32, ready to train.

    A folder that ``SentenceTransformer.save_pretrained`` wrote is opened as it is. A plain Hugging Face model gets mean
    pooling and normalisation, and a decoder loses its causal mask (KaLM-Embedding's model). Prompts count in the
    pooling. ``texts`` serve to learn the vocabulary of a random model. A table of words (StaticEmbedding) reads all of
    a text and cannot be told otherwise. Raises ConfigError where there is no such model, or none that can be trained
    here.
    """
    if name in _SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            write_random(Path(folder), texts, seed, name)
            model = open_folder(name, Path(folder))
    elif name == STATIC:
        model = table_of_words()
    else:
        model = open_folder(name, find_folder(name))
    own = model.max_seq_length
    if own != math.inf:
        model.max_seq_length = min(own or max_seq_length, max_seq_length)
    if any(isinstance(module, Pooling) for module in model):
        model.set_pooling_include_prompt(True)
    return model


def table_of_words() -> SentenceTransformer:
    """A StaticEmbedding with the bundled model's tokens and their input embeddings, normalised: 384 dimensions.

    A text's vector is the mean over its tokens, whatever their order, so it takes thousands of texts a second on a CPU.
    """
    bundled = open_folder(BUNDLED, find_folder(BUNDLED))
    transformer: Any = bundled[0].model
    weights = transformer.get_input_embeddings().weight.detach().clone()
    return SentenceTransformer(modules=[StaticEmbedding(bundled.tokenizer, embedding_weights=weights), Normalize()])


def takes_prompts(model: SentenceTransformer, prompts: str) -> bool:
    """Whether a model's texts carry prompts, by the configuration's word for it (``always``, ``never``, ``auto``).

    A table of words cannot weigh a prompt against a text: the prompt's words would move the means of all queries to one
    place, away from the passages.
    """
    return prompts == "always" or (prompts == "auto" and not has_static_embedding_input(model))


def find_folder(name: str) -> Path:
    """The folder of the bundled model, or the one that was named. Raises ConfigError where it holds no model."""
    if name == BUNDLED:
        return Path(load_encoder(name).teacher.path)
    folder = Path(name).expanduser()
    if not any((folder / file).is_file() for file in ("modules.json", "config.json")):
        held = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) if folder.is_dir() else ""
        found = f"holds {held or 'nothing'}" if folder.is_dir() else "is not there"
        raise ConfigError(
            f"model {name!r} is neither {', '.join(PRESETS)} nor a folder with modules.json or config.json "
            f"({folder.absolute()} {found}); give the path of a model on this machine: nothing is downloaded"
        )
    return folder


def open_folder(name: str, folder: Path) -> SentenceTransformer:
    """The model in a folder; a plain one gets pooling and normalisation. Raises ConfigError where it cannot be
    loaded.
    """
    kwargs = {"dtype": torch.float32}
    try:
        if (folder / "modules.json").is_file():
            model = SentenceTransformer(
                str(folder), model_kwargs=kwargs, local_files_only=True, trust_remote_code=False
            )
            check_tokens(f"model {name!r}", model.tokenizer)
            return model
        transformer = Transformer(
            str(folder), model_kwargs=_LOCAL | kwargs, config_kwargs=dict(_LOCAL), processor_kwargs=dict(_LOCAL)
        )
    except _LOADING_ERRORS as error:
        raise ConfigError(
            f"model {name!r}: sentence-transformers cannot load {folder}: {error}; the folder may lack files, or the "
            "model may need code of its own, which is never run"
        ) from error
    _see_later_tokens(name, transformer)
    _pad(name, transformer)
    check_tokens(f"model {name!r}", transformer.tokenizer)
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="mean")
    return SentenceTransformer(modules=[transformer, pooling, Normalize()])


def _see_later_tokens(name: str, transformer: Transformer) -> None:
    """Takes a decoder's causal mask away, for good: ``is_causal`` is saved with the model's configuration."""
    if sees_later_tokens(transformer):
        return
    # As an argument of loading it would be lost: transformers takes only attributes that a configuration declares.
    transformer.model.config.is_causal = False
    if not sees_later_tokens(transformer):
        raise ConfigError(
            f"model {name!r} is of type {transformer.model.config.model_type!r}, whose tokens see only those before "
            "them even with is_causal=False, so a mean over them is no good embedding; choose another decoder (Qwen, "
            "Llama, Mistral, Gemma, ...) or an encoder"
        )


def sees_later_tokens(transformer: Transformer) -> bool:
    """Whether states depend on tokens after their own, in batches without padding and in batches with it.

    Two sequences that differ in their last token are compared, alone and beside a longer one, by the attention
    implementation that is in use: some architectures drop the mask in batches with padding only.
    """
    ids = [[0, 1, 2], [0, 1, 3]]
    padded = [[*row, 0] for row in ids] + [[0, 1, 2, 3]]
    mask = [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    return _differ(transformer, ids, [[1, 1, 1]] * 2) and _differ(transformer, padded, mask)


def _differ(transformer: Transformer, ids: list[list[int]], mask: list[list[int]]) -> bool:
    device = transformer.model.device
    inputs = {"input_ids": torch.tensor(ids, device=device), "attention_mask": torch.tensor(mask, device=device)}
    with torch.inference_mode():
        states_BTD = transformer.model(**inputs).last_hidden_state
    return not torch.allclose(states_BTD[0, :2], states_BTD[1, :2], rtol=1e-4, atol=1e-5)


def _pad(name: str, transformer: Transformer) -> None:
    """Gives a tokenizer without a padding token its end-of-text token; the attention mask hides either."""
    tokenizer = transformer.tokenizer
    if tokenizer is None or not (tokenizer.pad_token or tokenizer.eos_token):
        raise ConfigError(
            f"model {name!r}: its tokenizer has neither a padding nor an end-of-text token, so texts cannot be padded "
            "to one length; set pad_token in its tokenizer_config.json"
        )
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token


def write_random(folder: Path, texts: Iterable[str], seed: int, name: str = TINY) -> None:
    """Write a random Qwen2 decoder of a preset's shape with a vocabulary learnt from ``texts``.

    ``tiny`` has two layers of 64 dimensions, ``qwen2-0.5b`` the 24 of 896 and the 494 million weights of Qwen2-0.5B,
    whose table of words is larger than what is learnt here.
    """
    tokenizer = learn_vocabulary(texts)
    tokenizer.save_pretrained(folder)
    config = shape(
        name,
        len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        Qwen2Model(config).save_pretrained(folder)


def shape(name: str, num_tokens: int, **tokens: int | None) -> Qwen2Config:
    """The configuration of a preset, with ``num_tokens`` words where its vocabulary is not the published one."""
    return Qwen2Config(**({"vocab_size": num_tokens} | _SHAPES[name] | tokens))


def learn_vocabulary(texts: Iterable[str]) -> Qwen2Tokenizer:
    """Qwen2's byte-level BPE with at most 4,096 tokens: any text in any script has tokens, whatever it learnt from."""
    # Qwen2's own class, because loading a Qwen2 folder makes that of any tokenizer in it.
    tokenizer: Qwen2Tokenizer = Qwen2Tokenizer().train_new_from_iterator(
        texts, vocab_size=_LEARNT_VOCABULARY, show_progress=False
    )
    return tokenizer
