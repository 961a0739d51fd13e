"""A small cross-encoder with random weights, written to a folder."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

_SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}


def make_cross_encoder(
    folder: Path, *, labels: int = 1, seed: int = 0, pickled: bool = False, embedding: bool = False
) -> Path:
    """A BERT of one layer that knows the letters; ``embedding``: without the layer that gives a score."""
    words = [*_SPECIAL.values(), *"abcdefghijklmnopqrstuvwxyz0123456789"]
    tokens = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokens.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    special = [("[CLS]", 2), ("[SEP]", 3)]
    tokens.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=special
    )
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=labels,
        max_position_embeddings=64,
        initializer_range=1.0,
    )
    model = BertModel(config) if embedding else BertForSequenceClassification(config)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokens, model_max_length=64, **_SPECIAL).save_pretrained(folder)
    if pickled:
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder
