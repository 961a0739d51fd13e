"""A tiny teacher: a random BERT of one layer, saved and loaded like any sentence-transformers model.

Its vectors are nearly bags of random word vectors, so texts that share words are near each other, which is enough for
every step of mining to have something to do.
"""

import json
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, StaticEmbedding, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from tests.e2e.running import ROOT

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
DIMS = 32
LENGTH = 128
_WORDS = 4096


def sample_lines() -> list[str]:
    """Texts that the sample was written from, in all its languages."""
    paths = sorted((ROOT / "catalog" / "sample_writer" / "material").glob("*.txt"))
    return [line for path in paths for line in path.read_text("utf-8").splitlines() if line.strip()]


def learn_tokenizer(lines: list[str]) -> PreTrainedTokenizerFast:
    """Byte pairs, so that no script is unknown."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=_WORDS, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=LENGTH, **names)


def random_bert(num_words: int) -> BertModel:
    """One layer of small weights over large random word vectors, blind to positions."""
    config = BertConfig(
        vocab_size=num_words,
        hidden_size=DIMS,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * DIMS,
        max_position_embeddings=LENGTH,
    )
    model = BertModel(config)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.normal_()
        model.embeddings.position_embeddings.weight.zero_()
    return model


def forget_unknown_letters(teacher: Path) -> None:
    """Mend a saved teacher's tokenizer so that it raises on a text with a letter that is not ASCII's: it names a token
    for what is unknown that its vocabulary lacks.
    """
    (path,) = teacher.rglob("tokenizer.json")
    saved = json.loads(path.read_text("utf-8"))
    saved["pre_tokenizer"] = {"type": "Whitespace"}
    saved["model"]["unk_token"] = "[MISSING]"
    path.write_text(json.dumps(saved), "utf-8")


def save_tiny_teacher(folder: Path) -> Path:
    """Write the teacher below ``folder``; gives the path for ``--teacher``. What all texts share is subtracted."""
    torch.manual_seed(0)
    lines = sample_lines()
    tokenizer = learn_tokenizer(lines)
    random_bert(len(tokenizer)).save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"), max_seq_length=LENGTH)
    pooled = SentenceTransformer(modules=[transformer, Pooling(DIMS, pooling_mode="mean")], device="cpu")
    mean = pooled.encode(lines[::5], show_progress_bar=False).mean(axis=0)
    centre = Dense(DIMS, DIMS, activation_function=torch.nn.Identity())
    with torch.no_grad():
        centre.linear.weight.copy_(torch.eye(DIMS))
        centre.linear.bias.copy_(-torch.from_numpy(mean))
    SentenceTransformer(modules=[*pooled, centre], device="cpu").save_pretrained(str(folder / "teacher"))
    return folder / "teacher"


def save_table_teacher(folder: Path, dims: int, seed: int = 0) -> Path:
    """Write a table of random word vectors, the cheapest teacher there is; gives the path for ``--teacher``."""
    tokenizer = learn_tokenizer(sample_lines()[::7])
    weights = np.random.default_rng(seed).normal(size=(len(tokenizer), dims)).astype(np.float32)
    table = StaticEmbedding(tokenizer.backend_tokenizer, embedding_weights=weights)
    SentenceTransformer(modules=[table, Normalize()], device="cpu").save_pretrained(str(folder))
    return folder
