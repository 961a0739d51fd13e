"""Whether a model folder's weights can be loaded, by their files alone: before any row is read, and without torch.

Weights are safetensors: a length, a JSON header with each tensor's type, shape and place, and the data
(https://github.com/huggingface/safetensors). Pickles (``.bin``, ``.pt``) can run code and are refused unless asked for.
"""

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError

_HEADER = struct.Struct("<Q")
_MAX_HEADER_BYTES = 100 << 20
_BITS = {"BOOL": 8, "U8": 8, "I8": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32}
_BITS |= {"F64": 64, "I64": 64, "U64": 64, "F8_E5M2": 8, "F8_E4M3": 8}
#: How the matrix of word vectors is called in the models of transformers.
_WORD_VECTORS = ("word_embeddings.weight", "embed_tokens.weight", "wte.weight", "tok_embeddings.weight")
#: And in a StaticEmbedding, as sentence-transformers and model2vec save it.
_TABLES = ("embedding.weight", "embeddings")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
#: Pickles beside weights that no loading reads.
_NO_WEIGHTS = frozenset({"training_args.bin"})


@dataclass(frozen=True)
class Kind:
    """What a person calls a model, the class of sentence-transformers that saves it, the key that allows pickles."""

    word: str
    loader: str
    key: str


TEACHER = Kind("teacher", "SentenceTransformer", "teacher.pickled_weights")
CROSS_ENCODER = Kind("cross-encoder", "CrossEncoder", "mining.cross_pickled_weights")


def check_weights(
    name: str, folder: Path, config: Mapping[str, Any], *, pickled: bool = False, kind: Kind = TEACHER
) -> None:
    """Raise ConfigError, which names the model, where weights are missing, damaged, pickled or of another shape.

    ``config``: the transformer's ``config.json``. ``pickled``: weights that are a pickle are accepted, unseen.
    """
    model = f"{kind.word} {name!r}"
    files = sorted(path for path in folder.glob("*.safetensors") if path.is_file())
    if not files:
        _check_pickles(model, folder, pickled, kind)
        return
    _check_index(model, folder)
    shapes: dict[str, list[int]] = {}
    for path in files:
        shapes |= _shapes(model, path)
    _check_shapes(model, folder, shapes, config)


def table_width(name: str, folder: Path) -> int | None:
    """The dimensions of a table of words (StaticEmbedding), which no configuration states; None where it is not there.

    Raises ConfigError where a file of weights is damaged.
    """
    for path in sorted(folder.glob("*.safetensors")):
        shapes = _shapes(f"{TEACHER.word} {name!r}", path)
        for key in _TABLES:
            if len(shapes.get(key, [])) == 2:
                return shapes[key][1]
    return None


def _check_pickles(model: str, folder: Path, pickled: bool, kind: Kind) -> None:
    found = [p.name for p in sorted(folder.iterdir()) if p.suffix in _PICKLES and p.name not in _NO_WEIGHTS]
    if found and not pickled:
        raise ConfigError(
            f"{model}: the only weights in {folder} are {', '.join(found)}, a pickle, which can run code; "
            f"save it as safetensors ({kind.loader}(path).save_pretrained(new_path)), or say that you trust it "
            f"with {kind.key}"
        )
    if not found:
        raise ConfigError(
            f"{model}: {folder} holds no weights (*.safetensors); a download that was broken off: fetch it "
            f"again, or give the folder that {kind.loader}.save_pretrained wrote"
        )


def _check_index(model: str, folder: Path) -> None:
    """All files that an index of several names must be there."""
    path = folder / "model.safetensors.index.json"
    if not path.is_file():
        return
    try:
        wanted = set(json.loads(path.read_text("utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(model, path, f"it is no index of weights ({error!r})") from error
    missing = sorted(str(file) for file in wanted if not (folder / str(file)).is_file())
    if missing:
        raise _damaged(model, path, f"it names {', '.join(missing[:3])}, which are not there")


def _shapes(model: str, path: Path) -> dict[str, list[int]]:
    """The shape of each tensor of a file, whose header must agree with its size."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = _HEADER.unpack(file.read(_HEADER.size))
            if length > min(size, _MAX_HEADER_BYTES):
                raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
            header = json.loads(file.read(length))
        tensors = {key: value for key, value in header.items() if key != "__metadata__"}
        end = max((_end_of(tensor) for tensor in tensors.values()), default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError) as error:
        raise _damaged(model, path, f"it is no safetensors file ({error})") from error
    if _HEADER.size + length + end != size:
        raise _damaged(model, path, f"its header says {_HEADER.size + length + end:,} bytes, it has {size:,}")
    return {key: list(tensor["shape"]) for key, tensor in tensors.items()}


def _end_of(tensor: Mapping[str, Any]) -> int:
    start, end = tensor["data_offsets"]
    bits = _BITS.get(tensor["dtype"])
    if bits is not None and (end - start) * 8 != math.prod(tensor["shape"]) * bits:
        raise ValueError(f"a tensor of shape {tensor['shape']} and type {tensor['dtype']} in {end - start} bytes")
    return int(end)


def _check_shapes(model: str, folder: Path, shapes: Mapping[str, list[int]], config: Mapping[str, Any]) -> None:
    """The word vectors must be as many and as long as the configuration says."""
    stated = [config.get("vocab_size"), config.get("embedding_size") or config.get("hidden_size")]
    for key, shape in shapes.items():
        if key.endswith(_WORD_VECTORS) and len(shape) == 2 and None not in stated and shape != stated:
            raise ConfigError(
                f"{model}: the weights in {folder} do not fit its config.json: {key} has the shape {shape}, "
                f"but vocab_size and hidden_size there are {stated}; files of two models, or an edited config: fetch "
                "the model again"
            )


def _damaged(model: str, path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{model}: {path} is damaged or not whole: {why}; a download that was broken off: fetch it again"
    )


def model_folder(folder: Path, modules: Iterable[Mapping[str, Any]]) -> Path:
    """The folder of the transformer among a model's modules: the first, or the model's own where none are listed."""
    return next((folder / str(module.get("path", "")) for module in modules), folder)
