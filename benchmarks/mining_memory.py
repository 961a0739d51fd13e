"""How much memory mining needs for a corpus whose vectors lie in files: at most one pool shard of it is resident.

    python -m benchmarks.mining_memory [--passages=1000000,4000000] [--shard=1000000] [--dims=384] [--queries=240]
                                       [--write=docs/mining.md]

Each corpus is mined in a process of its own, shard after shard, with the rules of the default parameters. A shard's
vectors are a memory map of int16, so the peak counts the pages of it that were read, which is all of them.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks._measure import peak_bytes, run_module, tell
from benchmarks._report import fill, machine, numbers, table, versions
from mining.beam import choose_from_shards, shard_tables
from mining.candidates import score_named
from mining.fixed_point import Fixed, pack_vectors, quantise, unpack_vectors
from mining.mine import judged_rows
from mining.params import MiningParams
from mining.pools import Shard
from mining.relations import relate
from schemas.rows import ID

HEADER = ("passages", "pool shards", "vectors of a shard, GiB", "peak, GiB", "of it before the first shard, GiB")
_GIB = 1 << 30
#: Vectors that are drawn at once.
_BLOCK = 10_000


def draw(rng: np.random.Generator, num: int, dims: int) -> Fixed:
    """Unit vectors, evenly over all directions."""
    drawn = rng.standard_normal((num, dims), np.float32)
    return quantise(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def write_vectors(path: Path, num: int, dims: int, seed: int) -> None:
    """A file of int16 vectors, written by blocks."""
    rng = np.random.default_rng(seed)
    with path.open("wb") as file:
        for start in range(0, num, _BLOCK):
            file.write(draw(rng, min(_BLOCK, num - start), dims).tobytes())


def passages(num: int, seed: int) -> pa.Table:
    """``PASSAGES`` of a shard, without vectors: hashes are drawn."""
    data = np.random.default_rng([seed, 1]).bytes(16 * num)
    return pa.table(
        {
            "text_hash": pa.FixedSizeBinaryArray.from_buffers(ID, num, [None, pa.py_buffer(data)]),
            "part": pa.array(np.full(num, seed)),
            "row": pa.array(np.arange(num, dtype=np.int32)),
            "field": pa.DictionaryArray.from_arrays(np.zeros(num, np.int8), ["positives"]).cast(pa.string()),
            "element": pa.array(np.zeros(num, np.int32)),
        }
    )


def queries_of(corpus: pa.Table, vectors: Fixed, num: int) -> pa.Table:
    """Rows (``SCORED`` and ``vector``) whose positives are the first passages of a shard, and who ask near these."""
    named = corpus.slice(0, num).append_column("vector", pack_vectors(np.array(vectors[:num])))
    hashes = named["text_hash"].combine_chunks()
    near = unpack_vectors(named["vector"]).astype(np.float32) + np.random.default_rng(0).normal(
        scale=1000, size=(num, vectors.shape[1])
    ).astype(np.float32)
    lists = pa.ListArray.from_arrays(pa.array(np.arange(num + 1, dtype=np.int32)), hashes)
    none = pa.ListArray.from_arrays(pa.array(np.zeros(num + 1, np.int32)), hashes.slice(0, 0))
    asking = {
        "id": hashes,
        "query_hash": pa.array([value[::-1] for value in hashes.to_pylist()], ID),
        "positives": lists,
        "negatives": none,
        "vector": pack_vectors(quantise(near / np.linalg.norm(near, axis=1, keepdims=True))),
    }
    return score_named(pa.table(asking), named)


def mine(folder: Path, shards: int, size: int, dims: int, num_queries: int) -> pa.Table:
    """``MINED`` of the queries, from one shard after the other."""
    scored = queries_of(passages(size, 0), _mapped(folder, 0, size, dims), num_queries)
    listed, named = zip(*(search(scored, folder, number, size, dims) for number in range(shards)), strict=True)
    return choose_from_shards(scored, pa.concat_tables(listed), pa.concat_tables(named), MiningParams(), None)


def _mapped(folder: Path, number: int, size: int, dims: int) -> Fixed:
    return np.memmap(folder / str(number), np.int16, "r", shape=(size, dims))


def search(scored: pa.Table, folder: Path, number: int, size: int, dims: int) -> tuple[pa.Table, pa.Table]:
    """What one shard gives; nothing of it stays in memory."""
    shard = Shard(passages(size, number), MiningParams(), _mapped(folder, number, size, dims))
    relevant, judged = shard.relevant(relate(scored, symmetric=False)), judged_rows(scored, None)
    lists = shard.search(scored, unpack_vectors(scored["vector"]), relevant, judged)
    listed, named = shard_tables(shard, number, scored["id"], lists, shard.named(lists.keys))
    return listed, named


def run_side(count: int, size: int, dims: int, num_queries: int) -> None:
    """One corpus: its files, then what the process needed before, and at most."""
    with tempfile.TemporaryDirectory() as place:
        folder, shards = Path(place), -(-count // size)
        for number in range(shards):
            write_vectors(folder / str(number), min(size, count), dims, number)
        write_vectors(folder / "few", 1000, dims, 0)
        (folder / "0.few").mkdir()
        (folder / "few").rename(folder / "0.few" / "0")
        mine(folder / "0.few", 1, 1000, dims, 24)  # compiles and loads what is needed
        before = peak_bytes()
        mined = mine(folder, shards, min(size, count), dims, num_queries)
    assert not sum(mined["missing"].to_pylist())
    tell(before=before, peak=peak_bytes())


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mining_memory", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--passages", default="1000000,4000000", help="sizes of corpora (default: 1000000,4000000)")
    parser.add_argument("--shard", type=int, default=1_000_000, help="passages of a pool shard (default: 1000000)")
    parser.add_argument("--dims", type=int, default=384, help="dimensions (default: 384)")
    parser.add_argument("--queries", type=int, default=240, help="queries (default: 240)")
    parser.add_argument("--write", type=Path, help="document whose block bench:mining-memory is filled")
    parser.add_argument("--side", type=int, help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    arguments = build_parser().parse_args(argv)
    if arguments.side:
        run_side(arguments.side, arguments.shard, arguments.dims, arguments.queries)
        return 0
    sizes = [f"--{name}={getattr(arguments, name)}" for name in ("shard", "dims", "queries")]
    facts, lines = machine(), []
    for count in numbers(arguments.passages):
        told = run_module("benchmarks.mining_memory", f"--side={count}", *sizes)
        vectors = 2 * arguments.dims * min(count, arguments.shard)
        gib = [f"{number / _GIB:.2f}" for number in (vectors, told["peak"], told["before"])]
        lines.append((f"{count:,}", str(-(-count // arguments.shard)), *gib))
    command = " ".join([f"--passages={arguments.passages}", *sizes])
    notes = [f"`python -m benchmarks.mining_memory {command}`", facts, versions(("numba", "numpy", "pyarrow"))]
    text = table(HEADER, lines) + "\n\n" + "\n".join(f"- {note}" for note in notes)
    print(text)
    if arguments.write:
        fill(arguments.write, "mining-memory", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
