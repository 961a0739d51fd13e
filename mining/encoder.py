"""The encoder under both miner and trainer: one definition of loading, prompts, truncation, pooling and normalisation.

Pooling is the model's own. Vectors are float32 of Euclidean length 1, so an inner product is a cosine.
"""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mining.teacher import Teacher, TeacherParams, find_teacher
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = npt.NDArray[np.float32]

THREADS_VARIABLE = "KALM_ENCODER_THREADS"
#: Padded lengths are multiples of this: fewer shapes, and the width that matrix units like.
PAD_TO_MULTIPLE_OF = 8

_LOCK = threading.RLock()


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A loaded model and what is known of it. Get one from ``load_encoder``.

    Texts are cut into forward passes in the order in which they come; a vector's last bits depend on its companions, so
    a caller that wants the same bytes again gives the same texts in the same order, shortest first to pad little.
    """

    model: "SentenceTransformer"
    teacher: Teacher

    @property
    def dims(self) -> int:
        """Number of components of a vector."""
        return self.teacher.dims

    @property
    def digest(self) -> str:
        """Digest of the model's files."""
        return self.teacher.digest

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
        size = self.teacher.params.batch_size
        passes = [self._forward(list(texts[start : start + size]), prompt) for start in range(0, len(texts), size)]
        return normalise(np.concatenate(passes)) if passes else np.empty((0, self.dims), np.float32)

    def _forward(self, texts: list[str], prompt: str) -> Vectors:
        # One call per pass: over several, `encode` would cut its own batches. A tokenizer serves one thread at a time.
        with _LOCK:
            vectors = self.model.encode(
                texts,
                prompt=prompt,
                batch_size=len(texts),
                processing_kwargs={"text": {"pad_to_multiple_of": PAD_TO_MULTIPLE_OF}},
                show_progress_bar=False,
            )
        return np.asarray(vectors, dtype=np.float32)


def normalise(vectors: npt.NDArray[np.floating]) -> Vectors:
    """Rows scaled to Euclidean length 1, in float64, as float32. Raises ValueError for a row without a direction."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt(np.einsum("nd,nd->n", wide, wide))
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if bad.size:
        raise ValueError(
            f"vector {bad[0]} of {len(vectors)} has length {lengths[bad[0]]}, so it has no direction; the model "
            "overflows in its precision or its weights are damaged: use precision='float32', and check the model's "
            "files"
        )
    unit: Vectors = (wide / lengths[:, None]).astype(np.float32)
    return unit


def load_encoder(name: str, params: TeacherParams | None = None, digest: str | None = None) -> Encoder:
    """The encoder of a teacher, loaded once per process whatever asks for it.

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
        return _load(teacher)


@lru_cache(maxsize=4)
def _load(teacher: Teacher) -> Encoder:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    _set_threads()
    logging.disable_progress_bar()
    try:
        model = SentenceTransformer(
            teacher.path,
            device="cuda" if torch.cuda.is_available() else "cpu",
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
    return Encoder(model=model, teacher=teacher)


def _check(model: "SentenceTransformer", teacher: Teacher) -> None:
    dims = model.get_embedding_dimension()
    if dims is not None and dims != teacher.dims:
        raise ConfigError(
            f"teacher {teacher.name!r}: its files state {teacher.dims} dimensions, but the loaded model gives "
            f"{dims}; a pooling that joins several vectors, or a truncated model: add a Dense module or choose "
            "another teacher"
        )
    own = model.max_seq_length
    model.max_seq_length = min(own, teacher.params.max_tokens) if own else teacher.params.max_tokens


def _set_threads() -> None:
    """Gives torch ``KALM_ENCODER_THREADS`` threads, for machines where several workers share the cores."""
    import torch

    wanted = os.environ.get(THREADS_VARIABLE)
    if wanted is None:
        return
    if not wanted.isdigit() or int(wanted) < 1:
        raise ConfigError(
            f"{THREADS_VARIABLE}={wanted!r} must be a whole number of threads, at least 1; unset it to use all cores"
        )
    torch.set_num_threads(int(wanted))
