"""A teacher's graph in OpenVINO, an extra: the same weights at float32, on a CPU in less time.

Converted straight from the loaded torch model, all of its modules, so that pooling has one definition. Numbers of lower
precision are not offered: int8 changed the nearest ten of one text in fourteen.
"""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mining.forward import Features, Graph, Rough
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: Components of unit vectors of both graphs may differ by this; what is seen is a few 1e-7.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class OpenvinoGraph:
    """A compiled graph. Each call has a request of its own, so that threads may share it."""

    compiled: Any
    names: tuple[str, ...]

    def __call__(self, features: Features) -> Rough:
        """Vectors of a pass."""
        request = self.compiled.create_infer_request()
        vectors: Rough = np.array(request.infer([features[name] for name in self.names])[0], np.float32)
        return vectors


def openvino_graph(name: str, model: "SentenceTransformer", torch_graph: Graph) -> OpenvinoGraph:
    """The graph of a model that lies on the CPU at float32.

    Raises ConfigError where OpenVINO is not installed, cannot convert the model, or gives other vectors than torch.
    """
    try:
        import openvino
    except ImportError as error:
        raise ConfigError(
            f"teacher {name!r}: teacher.backend=openvino needs the package openvino, which is not installed; install "
            "it with `pip install 'kalm-curation[openvino]'`, or leave teacher.backend at torch"
        ) from error
    example = _example(model, 2, 16)
    names = tuple(example)
    try:
        converted = _convert(openvino, model, example)
    except Exception as error:  # torch and OpenVINO raise whatever they like
        raise ConfigError(
            f"teacher {name!r}: OpenVINO {openvino.__version__} cannot convert the model: {error}; "
            "set teacher.backend=torch"
        ) from error
    graph = OpenvinoGraph(openvino.Core().compile_model(converted, "CPU", _settings()), names)
    _compare(name, graph, torch_graph, _example(model, 3, 40))
    return graph


def _example(model: "SentenceTransformer", texts: int, tokens: int) -> dict[str, Any]:
    """Features of a pass: some tokens of the vocabulary, the last text half padding."""
    mask = np.ones((texts, tokens), np.int64)
    mask[-1, tokens // 2 :] = 0
    values = np.arange(texts * tokens, dtype=np.int64).reshape(texts, tokens) % len(model.tokenizer)
    features = {"input_ids": values, "attention_mask": mask}
    if "token_type_ids" in model.tokenizer.model_input_names:
        features["token_type_ids"] = np.zeros_like(values)
    return features


def _convert(openvino: Any, model: "SentenceTransformer", example: Features) -> Any:
    import torch

    names = tuple(example)

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.model(dict(zip(names, values, strict=True)))["sentence_embedding"]
            return found

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated in torch, and says what it takes for a constant
        converted = openvino.convert_model(
            Whole().eval(), example_input=tuple(torch.from_numpy(example[name]) for name in names)
        )
    for port in converted.inputs:
        port.get_node().set_partial_shape(openvino.PartialShape([-1, -1]))
    converted.validate_nodes_and_infer_types()
    return converted


def _settings() -> dict[str, Any]:
    import torch

    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }


def _compare(name: str, graph: Graph, torch_graph: Graph, features: Features) -> None:
    """A traced graph may have kept a number of the example; another shape brings it to light."""
    ours, theirs = _unit(graph(features)), _unit(torch_graph(features))
    gap = float(np.abs(ours - theirs).max())
    if not gap <= _TOLERANCE:
        raise ConfigError(
            f"teacher {name!r}: its vectors by OpenVINO are off from those by torch by {gap:.3g} in a component, more "
            f"than {_TOLERANCE}; the model does something that a traced graph does not hold: set teacher.backend=torch"
        )


def _unit(vectors: Rough) -> Rough:
    unit: Rough = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
