"""The loss as sentence-transformers' trainer calls it: passes through the model, then the pure functions."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from sentence_transformers.util.distributed import all_gather_with_grad
from torch import Tensor, nn

from trainer.batches import OWN, Features, Layout
from trainer.losses import LossParams, objective

_WHOLE = 2**31  # a pass is one mini-batch of the gradient cache


class Objective(CachedLossMixin, nn.Module):
    """KaLM's objective over a batch of distinct texts (``trainer.batches``).

    ``cached``: gradient caching (Gao et al. 2021, arXiv 2101.06983): each pass is computed twice, and the activations
    of one pass only are alive at a time; gradients are the same. A StaticEmbedding cannot be cut into passes, so it is
    never cached.
    """

    def __init__(self, model: SentenceTransformer, params: LossParams, cached: bool = False) -> None:
        super().__init__()
        self.model = model
        self.params = params
        self.cached = cached
        self.mini_batch_size = _WHOLE

    def forward(self, passes: Sequence[Features], layout: Mapping[str, Tensor]) -> Any:
        """The loss, or its parts by name, which the trainer adds and logs. ``layout`` is ``Layout.tensors``."""
        if self.cached:
            return self.forward_cached(passes, layout)  # type: ignore[arg-type]  # handed on to calculate_loss as is
        return self._parts(torch.cat([self.model(features)["sentence_embedding"] for features in passes]), layout)

    def calculate_loss(self, reps: list[list[Tensor]], labels: Any = None, *, with_backward: bool = False) -> Tensor:
        """The loss from the vectors of all passes; with ``with_backward`` back-propagated to these, and detached."""
        parts = self._parts(torch.cat([vectors for column in reps for vectors in column]), labels)
        loss = torch.stack(list(parts.values())).sum()
        if with_backward:
            loss.backward()
            loss = loss.detach()
        return loss

    def _parts(self, vectors_TD: Tensor, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if OWN in tensors:
            vectors_TD = all_gather_with_grad(vectors_TD[tensors[OWN]])
        layout = Layout.from_tensors(tensors)
        queries_QD, passages_PD = vectors_TD[layout.queries_Q], vectors_TD[layout.passages_P]
        contrastive, distilled = objective(queries_QD, passages_PD, layout.candidates, self.params)
        return {"contrastive": contrastive} | ({"distilled": distilled} if self.params.kl_share else {})
