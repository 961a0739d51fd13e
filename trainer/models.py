"""Students: a sentence-transformers folder, a Hugging Face decoder made bidirectional, or a tiny random one.

Models are read from this machine only; nothing is downloaded and no code of a model is run.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import Qwen2Config, Qwen2Model, Qwen2Tokenizer

from mining.encoder import load_encoder
from schemas.errors import ConfigError
from trainer.config import BUNDLED, TINY

_TINY_VOCABULARY = 4096
_LOCAL = {"local_files_only": True, "trust_remote_code": False}
_LOADING_ERRORS = (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError)


def open_model(name: str, texts: Iterable[str], max_seq_length: int, seed: int) -> SentenceTransformer:
    """The student called ``tiny`` or ``minilm``, or the model in a folder, in float32, ready to train.

    A folder that ``SentenceTransformer.save_pretrained`` wrote is opened as it is. A plain Hugging Face model gets mean
    pooling and normalisation, and a decoder loses its causal mask (KaLM-Embedding's model). Prompts count in the
    pooling. ``texts`` serve to learn the tiny model's vocabulary. Raises ConfigError where there is no such model, or
    none that can be trained here.
    """
    if name == TINY:
        with tempfile.TemporaryDirectory() as folder:
            write_tiny(Path(folder), texts, seed)
            model = open_folder(name, Path(folder))
    else:
        model = open_folder(name, find_folder(name))
    model.max_seq_length = min(model.max_seq_length or max_seq_length, max_seq_length)
    model.set_pooling_include_prompt(True)
    return model


def find_folder(name: str) -> Path:
    """The folder of the bundled model, or the one that was named. Raises ConfigError where it holds no model."""
    if name == BUNDLED:
        return Path(load_encoder(name).teacher.path)
    folder = Path(name).expanduser()
    if not any((folder / file).is_file() for file in ("modules.json", "config.json")):
        held = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) if folder.is_dir() else ""
        found = f"holds {held or 'nothing'}" if folder.is_dir() else "is not there"
        raise ConfigError(
            f"model {name!r} is neither {TINY!r} nor {BUNDLED!r} nor a folder with modules.json or config.json "
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
            return SentenceTransformer(str(folder), model_kwargs=kwargs, local_files_only=True, trust_remote_code=False)
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
    """Whether states depend on tokens after their own: two sequences that differ in their last token are compared."""
    ids_BT = torch.tensor([[0, 1, 2], [0, 1, 3]], device=transformer.model.device)
    with torch.inference_mode():
        states_BTD = transformer.model(input_ids=ids_BT, attention_mask=torch.ones_like(ids_BT)).last_hidden_state
    return not torch.allclose(states_BTD[0, :-1], states_BTD[1, :-1], rtol=1e-4, atol=1e-5)


def _pad(name: str, transformer: Transformer) -> None:
    """Gives a tokenizer without a padding token its end-of-text token; the attention mask hides either."""
    tokenizer = transformer.tokenizer
    if tokenizer is None or not (tokenizer.pad_token or tokenizer.eos_token):
        raise ConfigError(
            f"model {name!r}: its tokenizer has neither a padding nor an end-of-text token, so texts cannot be padded "
            "to one length; set pad_token in its tokenizer_config.json"
        )
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token


def write_tiny(folder: Path, texts: Iterable[str], seed: int) -> None:
    """Write a random two-layer Qwen2 decoder of 64 dimensions with a vocabulary learnt from ``texts``."""
    tokenizer = learn_vocabulary(texts)
    tokenizer.save_pretrained(folder)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        Qwen2Model(config).save_pretrained(folder)


def learn_vocabulary(texts: Iterable[str]) -> Qwen2Tokenizer:
    """Qwen2's byte-level BPE with at most 4,096 tokens: any text in any script has tokens, whatever it learnt from."""
    # Qwen2's own class, because loading a Qwen2 folder makes that of any tokenizer in it.
    tokenizer: Qwen2Tokenizer = Qwen2Tokenizer().train_new_from_iterator(
        texts, vocab_size=_TINY_VOCABULARY, show_progress=False
    )
    return tokenizer
