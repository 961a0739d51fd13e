"""A model as mteb asks it; texts of a task are encoded once for all dimensions. Needs the mteb package."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper

if TYPE_CHECKING:
    from mteb.types import Array
    from sentence_transformers import SentenceTransformer


class KeptVectors(SentenceTransformerEncoderWrapper):
    """mteb's own wrapper, with its choice of prompts and the model's similarity, over vectors that stay in memory.

    Of one task: which prompt texts get depends on it.
    """

    def __init__(self, model: "SentenceTransformer") -> None:
        super().__init__(model)
        self._kept: dict[tuple[Any, ...], Array] = {}
        self._dim: int | None = None

    def at(self, dim: int) -> Self:
        """The same with so many first components."""
        self._dim = dim
        return self

    def encode(self, inputs: Any, **asked: Any) -> "Array":
        """Vectors of texts. Raises ValueError where the model gives one that is not finite."""
        texts = tuple(text for batch in inputs for text in batch["text"])
        key = (asked.get("prompt_type"), texts)
        if key not in self._kept:
            vectors = super().encode(inputs, **asked)
            if not np.isfinite(np.asarray(vectors)).all():
                raise ValueError(
                    "the model gives vectors that are not finite: its weights or its precision are at fault"
                )
            self._kept[key] = vectors
        return self._kept[key][:, : self._dim]
