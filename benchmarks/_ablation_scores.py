"""What a student is worth on collections, query by query; texts are tokenized once for all students."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from torch.nn.functional import normalize

from trainer.evaluation_sets import Pairs, find_collections
from trainer.metrics import rank, retrieval_measures, standardised_ranks

Floats = npt.NDArray[np.float64]


class Scores:
    """Collections for students that share a tokenizer."""

    def __init__(self, folder: Path, names: Sequence[str], model: SentenceTransformer) -> None:
        self._sets = find_collections([folder / name for name in names])
        self._features = []
        for each in self._sets:
            sides = (each.first, each.second) if isinstance(each, Pairs) else (each.queries, each.passages)
            self._features.append([model.preprocess(list(texts)) for texts in sides])

    @torch.inference_mode()
    def __call__(self, model: SentenceTransformer) -> dict[str, Floats]:
        """By collection one value for each query (nDCG@10) or pair; the mean of these is nDCG@10 or Spearman's rho."""
        model.eval()
        found = {}
        for given, sides in zip(self._sets, self._features, strict=True):
            one, other = (normalize(model(dict(side))["sentence_embedding"], dim=-1).numpy() for side in sides)
            if isinstance(given, Pairs):
                cosines = np.einsum("nd,nd->n", one, other)
                found[given.name] = standardised_ranks(cosines) * standardised_ranks(np.asarray(given.scores))
            else:
                ranking = rank(one @ other.T, 10)
                each = [retrieval_measures(ranking[[i]], [judged]) for i, judged in enumerate(given.judged)]
                found[given.name] = np.array([measures["ndcg@10"] for measures in each])
        return found
