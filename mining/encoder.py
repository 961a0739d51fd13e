"""The encoder under both miner and trainer: one definition of loading, prompts, truncation, pooling and normalisation.

Pooling is the model's own. Vectors are float32 of Euclidean length 1, so an inner product is a cosine.
"""

import gc
import math
import os
import re
import threading
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mining.forward import Flags, Forward, Graph, TorchGraph, UnreadableError, forward_of, has_plain_tokens
from mining.teacher import Teacher, TeacherParams, find_teacher
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = npt.NDArray[np.float32]

THREADS_VARIABLE = "KALM_ENCODER_THREADS"


def _fix_products(environment: MutableMapping[str, str], cpu_info: str) -> None:
    """Let MKL, in which torch multiplies, add in one order whatever the number of rows and threads (CNR mode, strict).

    Without it a text's vector depends, on some Intel CPUs, on how many texts are in its pass. On other makers' CPUs the
    mode would fall back to SSE2. What a user has set stays. MKL reads the variable at its first product.
    """
    if "GenuineIntel" in cpu_info:
        flags = set(re.findall(r"\bavx512f\b|\bavx2\b", cpu_info))
        if flags:
            environment.setdefault("MKL_CBWR", "AVX512,STRICT" if "avx512f" in flags else "AVX2,STRICT")


def _first_cpu(path: Path) -> str:
    """What Linux says of its first processor, nothing elsewhere; on machines with many the whole file takes long."""
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as lines:
        return "".join(takewhile(str.strip, lines))


_fix_products(os.environ, _first_cpu(Path("/proc/cpuinfo")))

_LOCK = threading.RLock()
#: The encoders of this process, the one that was asked for last at the end, and how many there are at most.
_LOADED: dict[Teacher, "Encoder"] = {}
_MOST_LOADED = 4


#: Words of its vocabulary that a tokenizer is asked for.
_ASKED = 100


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What a teacher says of texts.

    ``vectors``: float32 ``[texts, dims]`` of length 1, zeros where the model gave no direction; ``directed``: where it
    gave one; ``truncated``: which texts are longer than it reads; ``unreadable``: by place, what its tokenizer says of
    texts on which it raises.
    """

    vectors: Vectors
    directed: Flags
    truncated: Flags
    unreadable: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A loaded model and what is known of it. Get one from ``load_encoder``.

    A text's vector does not depend on what it is asked with, nor on the order (``mining.forward``).
    """

    model: "SentenceTransformer"
    teacher: Teacher
    forward: Forward

    @property
    def dims(self) -> int:
        """Number of components of a vector."""
        return self.teacher.dims

    @property
    def digest(self) -> str:
        """Digest of the model's files."""
        return self.teacher.digest

    @property
    def knows_truncated(self) -> bool:
        """Whether it is known which texts are longer than the teacher reads."""
        return self.forward.knows_truncated

    def encode_queries(self, texts: Sequence[str], instruction: str | None = None) -> Vectors:
        """Vectors of queries, float32 ``[len(texts), dims]``, behind the teacher's prompt for the instruction."""
        return self.encode(texts, self.teacher.prompt_for_query(instruction))

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Vectors of passages, float32 ``[len(texts), dims]``, behind the teacher's passage prompt, if it has one."""
        return self.encode(texts, self.teacher.prompt_for_passage())

    def encode(self, texts: Sequence[str], prompt: str = "") -> Vectors:
        """Vectors of texts behind a given prompt, float32 ``[len(texts), dims]`` of length 1.

        Raises ValueError where the model gives a vector that is not finite or has length 0.
        """
        return normalise(self._rough(texts, prompt)[0])

    def encode_each(self, texts: Sequence[str]) -> Encoded:
        """The same of texts that have their prompts already, and no error for one that the model gives no vector."""
        try:
            rough, truncated = self._rough(texts)
        except UnreadableError as error:
            return self._encode_readable(texts, error.reasons)
        vectors, directed = unit_rows(rough)
        return Encoded(vectors=vectors, directed=directed, truncated=truncated)

    def _encode_readable(self, texts: Sequence[str], unreadable: Mapping[int, str]) -> Encoded:
        readable = _places_without(texts, unreadable)
        found = self.encode_each([texts[place] for place in readable])
        vectors, (directed, truncated) = np.zeros((len(texts), self.dims), np.float32), np.zeros((2, len(texts)), bool)
        vectors[readable], directed[readable], truncated[readable] = found.vectors, found.directed, found.truncated
        return Encoded(vectors=vectors, directed=directed, truncated=truncated, unreadable=unreadable)

    def truncated(self, texts: Sequence[str]) -> Flags:
        """Which of texts, prompts included, are longer than the teacher reads; the model itself is not asked. One on
        which its tokenizer raises is none of them.
        """
        if not len(texts):
            return np.empty(0, np.bool_)
        try:
            return self.forward.truncated(texts)
        except UnreadableError as error:
            readable, found = _places_without(texts, error.reasons), np.zeros(len(texts), np.bool_)
            found[readable] = self.truncated([texts[place] for place in readable])
            return found

    def _rough(self, texts: Sequence[str], prompt: str = "") -> tuple[Vectors, Flags]:
        if not len(texts):
            return np.empty((0, self.dims), np.float32), np.empty(0, np.bool_)
        vectors, truncated = self.forward([prompt + text for text in texts] if prompt else texts)
        return vectors[:, : self.dims], truncated


def _places_without(texts: Sequence[str], left_out: Mapping[int, str]) -> list[int]:
    return [place for place in range(len(texts)) if place not in left_out]


def unit_rows(vectors: npt.NDArray[np.floating]) -> tuple[Vectors, Flags]:
    """Rows scaled to Euclidean length 1, in float64, as float32, and which rows have a direction; zeros elsewhere."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt(np.einsum("nd,nd->n", wide, wide))
    directed = np.isfinite(lengths) & (lengths > 0)
    unit = np.zeros(vectors.shape, np.float32)
    unit[directed] = wide[directed] / lengths[directed, None]
    return unit, directed


def normalise(vectors: npt.NDArray[np.floating]) -> Vectors:
    """Rows scaled to Euclidean length 1, in float64, as float32. Raises ValueError for a row without a direction."""
    unit, directed = unit_rows(vectors)
    bad = np.flatnonzero(~directed)
    if bad.size:
        raise ValueError(
            f"vector {bad[0]} of {len(vectors)} has length {np.linalg.norm(vectors[bad[0]])}, so it has no direction; "
            "the model overflows in its precision or its weights are damaged: use precision='float32', and check the "
            "model's files"
        )
    return unit


def load_encoder(
    name: str,
    params: TeacherParams | None = None,
    digest: str | None = None,
    on_load: Callable[[], None] = lambda: None,
    alone: bool = False,
) -> Encoder:
    """The encoder of a teacher, loaded once per process whatever asks for it; ``on_load`` is called by who loads it.
    ``alone``: a process that loads it lets go of those that it has loaded before, as far as nobody uses them.

    ``digest`` is that of the teacher the caller planned with: a worker whose files differ is refused with ConfigError.
    Other errors are those of ``find_teacher``; a folder that sentence-transformers cannot load is a ConfigError too.
    """
    teacher = find_teacher(name, params or TeacherParams())
    if digest is not None and teacher.digest != digest:
        raise ConfigError(
            f"teacher {name!r} has the digest {teacher.digest} on this worker, but the run was planned with {digest}; "
            f"its files in {teacher.path} are another version: give every worker the same files"
        )
    with _LOCK:  # threads that ask at once shall not load it twice
        encoder = _LOADED.pop(teacher, None)
        if encoder is None:
            _let_go(0 if alone else _MOST_LOADED - 1)
            encoder = _load(teacher)
            on_load()
        _LOADED[teacher] = encoder
        return encoder


def _let_go(most: int) -> None:
    """Keep so many encoders at most, those that were asked for last."""
    if len(_LOADED) <= most:
        return
    for teacher in list(_LOADED)[: len(_LOADED) - most]:
        del _LOADED[teacher]
    gc.collect()  # a model refers to itself


def _load(teacher: Teacher) -> Encoder:
    _import_models()
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    threads = _set_threads()
    logging.disable_progress_bar()
    try:
        model = SentenceTransformer(
            teacher.path,
            device=_device(teacher.params.backend),
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={
                "dtype": getattr(torch, teacher.params.precision),
                "use_safetensors": None if teacher.params.pickled_weights else True,
            },
        )
    except Exception as error:  # whatever a library says of a stranger's files, the files are what is to be mended
        raise ConfigError(
            f"teacher {teacher.name!r}: sentence-transformers cannot load {teacher.path}: {error}; an incomplete "
            "folder, weights that do not fit config.json, or a model that needs code of its own, which is never run: "
            "give a folder that opens with SentenceTransformer(path)"
        ) from error
    _check(model.eval(), teacher)
    forward = forward_of(model, _graph(model, teacher), teacher.params.tokens_per_pass, threads)
    return Encoder(model=model, teacher=teacher, forward=forward)


def _import_models() -> None:
    """The libraries beneath, which make so many objects that looking for garbage takes a sixth of their import."""
    collects = gc.isenabled()
    gc.disable()
    try:
        import sentence_transformers  # noqa: F401
    finally:
        if collects:
            gc.enable()


def _device(backend: str) -> str:
    import torch

    return "cuda" if backend == "torch" and torch.cuda.is_available() else "cpu"


def _graph(model: "SentenceTransformer", teacher: Teacher) -> Graph:
    torch_graph = TorchGraph(model)
    if teacher.params.backend == "torch":
        return torch_graph
    if not has_plain_tokens(model):
        raise ConfigError(
            f"teacher {teacher.name!r}: teacher.backend=openvino is for transformers with a fast tokenizer, and this "
            f"model begins with {type(model[0]).__name__}: set teacher.backend=torch"
        )
    from mining.openvino_graph import openvino_graph

    return openvino_graph(teacher.name, model, torch_graph)


def check_tokens(whose: str, tokenizer: Any) -> None:
    """Raise ConfigError for a fast tokenizer that makes no token of words of its own vocabulary.

    In a folder of a Qwen2 model transformers opens Qwen2's tokenizer class, whatever was saved there
    (``findings/qwen2_folder_replaces_tokenizer.sh``): of another kind of vocabulary that makes nothing, silently.
    """
    if not getattr(tokenizer, "is_fast", False):
        return
    words = [word for token in tokenizer.get_vocab() if (word := token.lstrip("#Ġ▁")).isascii() and word.isalpha()]
    if words and not any(tokenizer(sorted(words)[:_ASKED], add_special_tokens=False)["input_ids"]):
        raise ConfigError(
            f"{whose}: its tokenizer, opened as {type(tokenizer).__name__}, makes no token of words of its own "
            f"vocabulary ({', '.join(sorted(words)[:3])}, ...). Of a Qwen2 model transformers opens byte-level "
            "BPE, whatever was saved: give the model a tokenizer of that kind"
        )


def _check(model: "SentenceTransformer", teacher: Teacher) -> None:
    dims, kept = model.get_embedding_dimension(), teacher.params.dims
    if dims is not None and (dims != teacher.dims if kept is None else dims < kept):
        raise ConfigError(
            f"teacher {teacher.name!r}: its files state {teacher.dims} dimensions, but the loaded model gives "
            f"{dims}; a pooling that joins several vectors, or a truncated model: add a Dense module or choose "
            "another teacher"
        )
    check_tokens(f"teacher {teacher.name!r}", model.tokenizer)
    own = model.max_seq_length
    if own != math.inf:  # a table of words reads everything and cannot be told otherwise
        model.max_seq_length = min(own, teacher.params.max_tokens) if own else teacher.params.max_tokens


def _set_threads() -> int:
    """``KALM_ENCODER_THREADS``, for machines where several workers share the cores, or the threads that torch takes."""
    import torch

    wanted = os.environ.get(THREADS_VARIABLE)
    if wanted is None:
        return _threads_of_torch()
    if not wanted.isdigit() or int(wanted) < 1:
        raise ConfigError(
            f"{THREADS_VARIABLE}={wanted!r} must be a whole number of threads, at least 1; unset it to use all cores"
        )
    torch.set_num_threads(int(wanted))
    return int(wanted)


@cache
def _threads_of_torch() -> int:
    """Torch's own number, asked before the first pass: while passes run, a new thread is told of one."""
    import torch

    return torch.get_num_threads()
