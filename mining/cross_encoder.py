"""A cross-encoder: a model that reads a question and a passage together and says how likely the one answers the other.

Like a teacher it is looked for on this machine only, no code of a model is run, and weights are safetensors unless a
pickle is allowed. What it says of a pair is a function of the pair alone: pairs of one number of tokens go together, so
that nothing is padded, and every pass has the same number of pairs (the last one is repeated where there are too few),
since a product's last bits depend on how many rows it has.
"""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mining.teacher import files_digest, find_folder
from mining.weights import CROSS_ENCODER, check_weights
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

Shares = npt.NDArray[np.float32]
Pair = tuple[str, str]

#: Pairs of a forward pass on a CPU, where few leave room in its caches, and on a GPU.
_BATCH, _GPU_BATCH = 8, 64
_LOCK = threading.RLock()


@dataclass(frozen=True, kw_only=True)
class CrossModel:
    """A cross-encoder whose files are on this machine; ``digest`` is ``mining.teacher.files_digest`` of its folder."""

    name: str
    path: str
    digest: str


@lru_cache(maxsize=16)
def find_cross_encoder(name: str, *, pickled: bool = False) -> CrossModel:
    """The cross-encoder in a folder, or of an id in the local Hugging Face cache.

    ``pickled``: weights that are a pickle are accepted. Raises ConfigError where it is not on this machine, or where
    its folder holds no cross-encoder that this project can use.
    """
    remedy = ", give the path of its folder, or set mining.cross_encoder to null"
    folder = find_folder("cross-encoder", name, remedy)
    config = _read(name, folder / "config.json", {})
    modules = json.dumps(_read(name, folder / "modules.json", []))
    architectures = " ".join(map(str, config.get("architectures") or []))
    if "ForSequenceClassification" not in architectures and "cross_encoder" not in modules:
        raise ConfigError(
            f"cross-encoder {name!r}: {folder} is no cross-encoder: its config.json names the architecture "
            f"{architectures or 'of none'}, which gives no score of a pair; an embedding model would be given "
            "a layer of random weights: give the folder that CrossEncoder.save_pretrained wrote"
        )
    check_weights(name, folder, config, pickled=pickled, kind=CROSS_ENCODER)
    return CrossModel(name=name, path=str(folder), digest=files_digest(folder))


def _read(name: str, path: Path, absent: Any) -> Any:
    try:
        value = json.loads(path.read_text("utf-8")) if path.is_file() else absent
    except (ValueError, OSError, RecursionError) as error:
        raise ConfigError(f"cross-encoder {name!r}: {path} cannot be read ({error}): fetch the model again") from error
    if not isinstance(value, type(absent)):
        raise ConfigError(f"cross-encoder {name!r}: {path} is not what it should be: fetch the model again")
    return value


@dataclass(frozen=True, kw_only=True)
class CrossScorer:
    """A cross-encoder at work, loaded once per process when it is first asked. It travels to workers by its names."""

    model: CrossModel
    max_tokens: int = 512
    pickled: bool = False

    def __call__(self, pairs: Sequence[Pair]) -> Shares:
        """For each pair (question, passage) how likely they belong together, float32 in [0, 1].

        Longer pairs are cut to ``max_tokens``. Raises ConfigError where the model cannot be used, or where its files
        are not those that the run was planned with.
        """
        with _LOCK:  # threads that ask at once shall not load it twice
            model = _load(self.model, self.max_tokens, self.pickled)
        return score_pairs(model, pairs)


def score_pairs(model: "CrossEncoder", pairs: Sequence[Pair]) -> Shares:
    """The sigmoid of a model's score of each pair."""
    import torch

    scores = np.zeros(len(pairs), np.float32)
    if not len(pairs):
        return scores
    asked = [list(pair) for pair in pairs]
    tokens = model.tokenizer(asked, truncation=True, max_length=model.max_seq_length)["input_ids"]
    lengths = np.array([len(each) for each in tokens])
    batch = _GPU_BATCH if model.device.type == "cuda" else _BATCH
    for length in np.unique(lengths).tolist():
        places = np.flatnonzero(lengths == length)
        some = [pairs[place] for place in places.tolist()]
        some += some[-1:] * (-len(some) % batch)
        told = model.predict(some, batch_size=batch, show_progress_bar=False, activation_fn=torch.nn.Sigmoid())
        scores[places] = told[: len(places)]
    return scores


@lru_cache(maxsize=2)
def _load(found: CrossModel, max_tokens: int, pickled: bool) -> "CrossEncoder":
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging

    here = find_cross_encoder(found.path, pickled=pickled)
    if here.digest != found.digest:
        raise ConfigError(
            f"cross-encoder {found.name!r} has the digest {here.digest} on this worker, but the run was planned with "
            f"{found.digest}; its files in {found.path} are another version: give every worker the same files"
        )
    logging.disable_progress_bar()
    try:
        model: CrossEncoder = CrossEncoder(
            found.path,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": None if pickled else True},
        )
    except Exception as error:  # whatever a library says of a stranger's files, the files are what is to be mended
        raise ConfigError(
            f"cross-encoder {found.name!r}: sentence-transformers cannot load {found.path}: {error}; give a folder "
            "that opens with CrossEncoder(path)"
        ) from error
    if model.num_labels != 1:
        raise ConfigError(
            f"cross-encoder {found.name!r} gives {model.num_labels} scores for a pair, where one is needed (num_labels "
            "in its config.json); a classifier of pairs: choose a reranker"
        )
    model.max_seq_length = min(model.max_seq_length or max_tokens, max_tokens)
    model.eval()
    return model
