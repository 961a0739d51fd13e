"""Texts to vectors as the model gives them: tokens once, forward passes of one shape each, and what the model cut off.

A pass holds texts of one padded length only, and the padded length of a text follows from its own tokens. So neither
padding nor mask of a text depends on its companions, and its vector is a function of the text alone: whatever else is
asked, in whatever order (a test says so, to the last bit). On a CPU several passes run at once, each on one thread:
cores that share a pass wait for each other at every product.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Rough = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Features = Mapping[str, npt.NDArray[np.int64]]
#: A model's graph: token ids, mask and whatever else it reads, each ``[texts, tokens]``, to vectors ``[texts, dims]``.
Graph = Callable[[Features], Rough]

#: Padded lengths are multiples of this: fewer shapes, and the width that matrix units like.
PAD_TO_MULTIPLE_OF = 8
#: Tokens of a forward pass where nothing else is asked. Longer passes leave a CPU's caches; a GPU wants to be filled.
CPU_TOKENS, GPU_TOKENS = 2_048, 16_384
#: Characters of a text that an error quotes.
_QUOTED = 120
#: What a tokenizer may give and we know how to pad.
_KNOWN_FEATURES = frozenset({"input_ids", "attention_mask", "token_type_ids"})
#: White space around, several words, another script: where our tokens differ from the model's own, here they do.
_PROBES = ("  A probe, with Capitals and spaces around.\n", "语言", "x")


class UnreadableError(ValueError):
    """A model cannot read texts: its tokenizer raises, or has no word for them. ``reasons``: by the place of each among
    the texts that were asked, what it says.
    """

    def __init__(self, texts: Sequence[str], reasons: Mapping[int, str]) -> None:
        place, reason = next(iter(reasons.items()))
        super().__init__(
            f"the model cannot read {len(reasons)} of {len(texts)} texts; the first begins "
            f"{texts[place][:_QUOTED]!r}: {reason}. Take the text out, or use another model"
        )
        self.reasons = dict(reasons)


def unreadable(tokenise: Callable[[list[str]], object], texts: Sequence[str]) -> dict[int, str]:
    """Those of texts, by place, that a tokenizer raises on by themselves, with what it says."""
    reasons: dict[int, str] = {}
    for place, text in enumerate(texts):
        try:
            tokenise([text])
        except BaseException as error:
            if not is_of_text(text, error):
                raise
            reasons[place] = f"{type(error).__name__}: {error}"
    return reasons


def is_of_text(text: object, error: BaseException) -> bool:
    """Whether an error of a tokenizer is about the text: not where memory was short, nor where it was given no text.

    A tokenizer in Rust that gives up raises pyo3's ``PanicException``, which is no ``Exception``.
    """
    is_panic = type(error).__name__ == "PanicException"
    return isinstance(text, str) and (is_panic or (isinstance(error, Exception) and not isinstance(error, MemoryError)))


class Forward(Protocol):
    """How a model is asked."""

    def __call__(self, texts: Sequence[str]) -> tuple[Rough, Flags]:
        """Vectors ``[texts, dims]``, not normalised, and which texts were cut at the model's limit.

        Raises UnreadableError for texts on which the tokenizer raises, or of which a table of words has none.
        """

    def truncated(self, texts: Sequence[str]) -> Flags:
        """Which texts are longer than the model reads, without asking it."""

    @property
    def knows_truncated(self) -> bool:
        """Whether ``truncated`` says anything: where it is not known what a model cuts off, all are False."""


def padded_lengths(lengths: npt.NDArray[np.int64], limit: int) -> npt.NDArray[np.int64]:
    """Each text's length in tokens, rounded up to a multiple of 8, but never above the limit."""
    return np.minimum(-(-lengths // PAD_TO_MULTIPLE_OF) * PAD_TO_MULTIPLE_OF, np.maximum(limit, lengths))


def passes(padded: npt.NDArray[np.int64], tokens_per_pass: int) -> Iterator[npt.NDArray[np.int64]]:
    """Rows of each forward pass, shortest first: texts of one padded length, as many as fit the budget of tokens."""
    order = np.argsort(padded, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(padded[order])) + 1):
        if rows.size:
            step = max(1, tokens_per_pass // max(1, int(padded[rows[0]])))
            yield from (rows[start : start + step] for start in range(0, len(rows), step))


def _readable(question: Callable[[list[str]], Any], texts: Sequence[str], tokenise: Any = None) -> Any:
    """What a question about texts gives. Raises UnreadableError where it fails and ``tokenise`` (else the question
    itself) raises on single texts.
    """
    try:
        return question(list(texts))
    except BaseException as error:
        if not is_of_text("", error):
            raise
        reasons = unreadable(tokenise or question, texts)
        if not reasons:
            raise
        raise UnreadableError(texts, reasons) from error


@dataclass(frozen=True, kw_only=True)
class TokenForward:
    """A transformer, asked by tokens that we made: each text is tokenised once, and passes are cut by tokens."""

    tokenizer: Any
    limit: int
    graph: Graph
    tokens_per_pass: int
    #: Passes that run at once; above 1, each on one thread of torch's.
    threads: int = 1
    #: A tokenizer keeps how it was last asked to cut, so it serves one thread at a time; passes need no lock.
    lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)

    def __call__(self, texts: Sequence[str]) -> tuple[Rough, Flags]:
        """Vectors of texts, and which of these were cut."""
        ids, truncated = self.tokenise(texts)
        padded = padded_lengths(np.array([len(own) for own in ids], np.int64), self.limit)
        cut = list(passes(padded, self.tokens_per_pass))
        found = self._ask([self._features(ids, rows, padded[rows[0]]) for rows in cut])
        vectors = np.empty((len(ids), found[0].shape[1]), np.float32)
        for rows, values in zip(cut, found, strict=True):
            vectors[rows] = values
        return vectors, truncated

    @property
    def knows_truncated(self) -> bool:
        """The tokens are ours, so what is cut off is known."""
        return True

    def truncated(self, texts: Sequence[str]) -> Flags:
        """Which texts have more tokens than the limit."""
        return self.tokenise(texts)[1]

    def tokenise(self, texts: Sequence[str]) -> tuple[list[list[int]], Flags]:
        """Token ids of each text, special ones included, cut at the limit; and which were cut."""
        with self.lock:
            found = _readable(self._tokenise, texts)
        # What was cut off comes as further rows of the same text.
        owners = np.asarray(found["overflow_to_sample_mapping"], np.int64)
        first = np.flatnonzero(np.diff(owners, prepend=-1))
        ids = [found["input_ids"][row] for row in first]
        if nothing := [place for place, own in enumerate(ids) if not own]:
            raise UnreadableError(texts, dict.fromkeys(nothing, "its tokenizer makes no token of it"))
        return ids, np.bincount(owners, minlength=len(texts)) > 1

    def _tokenise(self, texts: list[str]) -> Any:
        return self.tokenizer(
            texts,
            truncation=True,
            max_length=self.limit,
            return_overflowing_tokens=True,
            return_token_type_ids=False,
            return_attention_mask=False,
        )

    def _ask(self, features: Sequence[Features]) -> list[Rough]:
        if self.threads == 1:
            return [self.graph(own) for own in features]
        import torch

        before = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(self.threads, "encoder", torch.set_num_threads, (1,)) as pool:
                return list(pool.map(self.graph, features))
        finally:  # a number set in any thread is the one that later threads begin with
            torch.set_num_threads(before)

    def _features(self, ids: Sequence[Sequence[int]], rows: npt.NDArray[np.int64], length: int) -> Features:
        tokens = np.full((len(rows), length), self.tokenizer.pad_token_id or 0, np.int64)
        mask = np.zeros_like(tokens)
        for place, row in enumerate(rows):
            own = ids[row]
            there = slice(length - len(own), None) if self.tokenizer.padding_side == "left" else slice(len(own))
            tokens[place, there], mask[place, there] = own, 1
        features = {"input_ids": tokens, "attention_mask": mask}
        if "token_type_ids" in self.tokenizer.model_input_names:
            features["token_type_ids"] = np.zeros_like(tokens)
        return features


@dataclass(frozen=True, kw_only=True)
class PlainForward:
    """A model whose tokens are its own affair (a table of words, a tokenizer in Python), asked through its ``encode``.

    One text at a time, since what it pads is not known either; a table of words, which pads nothing, gets all at once.
    Nothing is known of what it cuts off; a table reads everything.
    """

    model: "SentenceTransformer"
    pads: bool
    lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)

    def __call__(self, texts: Sequence[str]) -> tuple[Rough, Flags]:
        """Vectors of texts; none is known to be cut."""
        with self.lock:
            vectors = np.asarray(_readable(self._encode, texts, self.model.preprocess), np.float32)
        if not self.pads and (unknown := np.flatnonzero(~vectors.any(axis=1)).tolist()):
            raise UnreadableError(texts, dict.fromkeys(unknown, "it has no vector for any of its words"))
        return vectors, self.truncated(texts)

    def _encode(self, texts: list[str]) -> Any:
        return self.model.encode(texts, batch_size=1 if self.pads else len(texts), show_progress_bar=False)

    @property
    def knows_truncated(self) -> bool:
        """A table of words reads everything; of others it is not known."""
        return not self.pads

    def truncated(self, texts: Sequence[str]) -> Flags:
        """False for each text."""
        return np.zeros(len(texts), np.bool_)


@dataclass(frozen=True)
class TorchGraph:
    """All modules of a model as torch runs them, on the device where they lie."""

    model: "SentenceTransformer"

    def __call__(self, features: Features) -> Rough:
        """Vectors of a pass."""
        import torch

        with torch.inference_mode():
            tensors = {name: torch.from_numpy(values).to(self.model.device) for name, values in features.items()}
            vectors: Rough = self.model(tensors)["sentence_embedding"].float().cpu().numpy()
        return vectors


def forward_of(model: "SentenceTransformer", graph: Graph, tokens_per_pass: int | None, threads: int) -> Forward:
    """The way in which a loaded model is asked; by its own ``encode`` where our tokens would not be its own.

    ``threads``: passes that run at once where the model lies on the CPU.
    """
    if not has_plain_tokens(model):
        return PlainForward(model=model, pads=type(model[0]).__name__ != "StaticEmbedding")
    on_cpu = model.device.type == "cpu"
    return TokenForward(
        tokenizer=model.tokenizer,
        limit=int(model.max_seq_length or model.tokenizer.model_max_length),
        graph=graph,
        tokens_per_pass=tokens_per_pass or (CPU_TOKENS if on_cpu else GPU_TOKENS),
        threads=threads if on_cpu else 1,
    )


def has_plain_tokens(model: "SentenceTransformer") -> bool:
    """Whether the model reads what its fast tokenizer makes of a text and nothing else, so that we may tokenise."""
    tokenizer = model.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        return False
    refused = unreadable(tokenizer, _PROBES)
    probes = [probe for place, probe in enumerate(_PROBES) if place not in refused]
    own = model.preprocess(probes)
    features = {name for name, values in own.items() if hasattr(values, "shape")}
    if not {"input_ids", "attention_mask"} <= features <= _KNOWN_FEATURES:
        return False
    rows = zip(own["input_ids"].tolist(), own["attention_mask"].tolist(), strict=True)
    theirs = [[token for token, there in zip(*row, strict=True) if there] for row in rows]
    ours = tokenizer(probes, truncation=True, max_length=model.max_seq_length)["input_ids"]
    types = own.get("token_type_ids")
    return theirs == ours and (types is None or not types.any())
