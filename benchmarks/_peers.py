"""What people run today for the same work: ``python -m benchmarks._peers prepare|embed|mine FOLDER TEACHER``.

Each is the plain use of public libraries with their defaults, and imports nothing of this project but the way to tell
its time and memory. ``FOLDER`` holds what ``benchmarks._inputs`` wrote.
"""

import html
import re
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks._measure import tell

_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_NUM_PERM = 128
_SHINGLE = 5


def clean(row: dict[str, Any]) -> dict[str, str]:
    """All texts of a row as one: entities and tags gone, NFC, white space folded."""
    text = "\n".join(value for value in row.values() if isinstance(value, str))
    text = unicodedata.normalize("NFC", _TAG.sub(" ", html.unescape(text)))
    return {"clean": _SPACE.sub(" ", text).strip()}


def prepare(folder: Path, teacher: str) -> dict[str, Any]:
    """``datasets`` loads and cleans, datasketch's MinHashLSH drops what collides: nothing is verified, and nothing
    else (language, other filters, labels, evaluation sets, accounts of what was dropped) is done.
    """
    from datasets import concatenate_datasets, disable_progress_bars, load_dataset

    disable_progress_bars()
    started = time.perf_counter()
    cache = str(folder / "cache")
    loaded = [load_dataset("parquet", data_files=str(path), split="train", cache_dir=cache) for path in _rows(folder)]
    cleaned = concatenate_datasets([rows.map(clean, remove_columns=rows.column_names) for rows in loaded])
    wanted = cleaned.filter(lambda row: len(row["clean"]) > 0)
    kept = list(distinct(wanted["clean"]))
    wanted.select(kept).to_parquet(folder / "kept.parquet")
    return {"rows": len(cleaned), "kept": len(kept), "seconds": time.perf_counter() - started}


def _rows(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def distinct(texts: Iterable[str]) -> Iterator[int]:
    """Positions of the texts that collide with none before them."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=0.8, num_perm=_NUM_PERM)
    for number, text in enumerate(texts):
        signature = MinHash(num_perm=_NUM_PERM)
        signature.update_batch({text[i : i + _SHINGLE].encode() for i in range(max(1, len(text) - _SHINGLE + 1))})
        if not index.query(signature):
            index.insert(str(number), signature)
            yield number


def embed(folder: Path, teacher: str) -> dict[str, Any]:
    """``SentenceTransformer.encode`` over all texts at once; importing and loading count, as they do in the
    stage.
    """
    import pyarrow.parquet as pq

    texts = pq.read_table(folder / "texts.parquet").column("text").to_pylist()
    started = time.perf_counter()
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(teacher, local_files_only=True)
    vectors = model.encode(texts, batch_size=32, show_progress_bar=False)
    return {"texts": len(vectors), "seconds": time.perf_counter() - started}


def mine(folder: Path, teacher: str) -> dict[str, Any]:
    """``mine_hard_negatives`` for each dataset, in KaLM's window of ranks, with the vectors in its own cache.

    The first of two rounds fills that cache and is not counted; loading the model, which the function wants even so,
    is not counted either.
    """
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(teacher, local_files_only=True)
    names = sorted(path.stem for path in folder.glob("*.pairs"))
    if not (folder / "cache").exists():
        for name in names:
            _mine(folder, name, model)
    started = time.perf_counter()
    pairs = sum(_mine(folder, name, model) for name in names)
    return {"pairs": pairs, "seconds": time.perf_counter() - started}


def _mine(folder: Path, name: str, model: Any) -> int:
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives

    given = Dataset.from_parquet(str(folder / f"{name}.pairs"), cache_dir=str(folder / "arrow"), keep_in_memory=True)
    corpus = Dataset.from_parquet(str(folder / f"{name}.corpus"), cache_dir=str(folder / "arrow"), keep_in_memory=True)
    mine_hard_negatives(
        given,
        model,
        anchor_column_name="query",
        positive_column_name="positive",
        corpus=list(corpus["text"]),
        range_min=50,
        range_max=100,
        relative_margin=0.05,
        num_negatives=7,
        sampling_strategy="random",
        output_format="n-tuple",
        output_scores=True,
        use_faiss=True,
        cache_folder=str(folder / "cache"),
        verbose=False,
    )
    return len(given)


def main(argv: Sequence[str]) -> dict[str, Any]:
    """Run the peer of a stage."""
    return {"prepare": prepare, "embed": embed, "mine": mine}[argv[0]](Path(argv[1]), argv[2])


if __name__ == "__main__":
    tell(**main(sys.argv[1:]))
