"""What people deduplicate with, on the same texts: ``python -m benchmarks._dedup_peers NAME INPUT.parquet FOLDER``.

Runs in the environment of ``benchmarks/peers.txt`` and needs nothing of this project but ``_measure``. Each peer is
used as its documentation shows, the first of several similar texts stays. Tells which rows went.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks._measure import cpu_seconds, tell

SIZE, PERMUTATIONS, THRESHOLD = 5, 128, 0.8
#: Texts whose shingle sets are held at a time.
CHUNK = 10_000


def shingles(text: str) -> set[str]:
    """Runs of five characters."""
    return {text[i : i + SIZE] for i in range(max(1, len(text) - SIZE + 1))}


def datasketch_signatures(texts: Sequence[str]) -> Any:
    """datasketch with xxhash and its 32-bit scheme."""
    import xxhash
    from datasketch import MinHash

    def hashed(data: bytes) -> int:
        return xxhash.xxh3_64_intdigest(data) >> 32

    for text in texts:
        minhash = MinHash(num_perm=PERMUTATIONS, hashfunc=hashed, scheme="affine32")
        minhash.update_batch([shingle.encode() for shingle in shingles(text)])
        yield minhash


def datasketch(path: Path, _: Path) -> list[int]:
    """MinHashLSH at the threshold: a text that finds an earlier one goes."""
    from datasketch import MinHashLSH

    index, removed = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS), []
    for row, minhash in enumerate(datasketch_signatures(pq.read_table(path).column("text").to_pylist())):
        if index.query(minhash):
            removed.append(row)
        else:
            index.insert(row, minhash, check_duplication=False)
    return removed


def rensa(path: Path, _: Path) -> list[int]:
    """RMinHashLSH with 16 bands and a look at the estimated similarity, as in its README."""
    from rensa import RMinHash, RMinHashLSH

    texts = pq.read_table(path).column("text").to_pylist()
    index, kept, removed = RMinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, num_bands=16), {}, []
    for start in range(0, len(texts), CHUNK):
        sets = [list(shingles(text)) for text in texts[start : start + CHUNK]]
        for row, minhash in enumerate(RMinHash.from_token_sets(sets, PERMUTATIONS, 1), start):
            if any(minhash.jaccard(kept[other]) >= THRESHOLD for other in index.query(minhash)):
                removed.append(row)
            else:
                index.insert(row, minhash)
                kept[row] = minhash
    return removed


def datatrove(path: Path, folder: Path) -> list[int]:
    """Its four stages with their defaults (words, 14 buckets of 8), two workers.

    They are forked: its default, a server that forks, starts later and hides the workers' CPU time.
    """
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter

    source = folder / "source"
    source.mkdir(parents=True)
    table = pq.read_table(path)
    table = table.append_column("id", [[str(row) for row in range(table.num_rows)]])
    half = table.num_rows // 2
    pq.write_table(table.slice(0, half), source / "0.parquet")
    pq.write_table(table.slice(half), source / "1.parquet")
    config, at = MinhashConfig(), str(folder)
    stages = [
        ([ParquetReader(str(source)), MinhashDedupSignature(f"{at}/signatures", config=config)], 2),
        ([MinhashDedupBuckets(f"{at}/signatures", f"{at}/buckets", config=config)], config.num_buckets),
        ([MinhashDedupCluster(f"{at}/buckets", f"{at}/clusters", config=config)], 1),
        ([ParquetReader(str(source)), MinhashDedupFilter(f"{at}/clusters"), ParquetWriter(f"{at}/kept")], 2),
    ]
    for number, (pipeline, tasks) in enumerate(stages):
        LocalPipelineExecutor(
            pipeline, tasks=tasks, workers=2, logging_dir=f"{at}/logs/{number}", start_method="fork"
        ).run()
    files = sorted((folder / "kept").rglob("*.parquet"))
    kept = {int(name) for file in files for name in pq.read_table(file, columns=["id"]).column("id").to_pylist()}
    return [row for row in range(table.num_rows) if row not in kept]


def kernel(sign: Callable[[Sequence[str]], Any], path: Path) -> dict[str, Any]:
    """Signatures alone, shingling included."""
    texts = pq.read_table(path).column("text").to_pylist()
    started, cpu = time.perf_counter(), cpu_seconds()
    for _ in sign(texts):
        pass
    return {"docs": len(texts), "seconds": time.perf_counter() - started, "cpu_seconds": cpu_seconds() - cpu}


def rensa_signatures(texts: Sequence[str]) -> Any:
    """rensa behind shingling in Python."""
    from rensa import RMinHash

    for start in range(0, len(texts), CHUNK):
        sets = [list(shingles(text)) for text in texts[start : start + CHUNK]]
        yield from RMinHash.from_token_sets(sets, PERMUTATIONS, 1)


PEERS: dict[str, Callable[[Path, Path], list[int]]] = {"datasketch": datasketch, "rensa": rensa, "datatrove": datatrove}
KERNELS = {"datasketch": datasketch_signatures, "rensa": rensa_signatures}


def whole(name: str, path: Path, folder: Path) -> dict[str, Any]:
    """Texts to kept texts; writes the numbers of the removed rows to ``removed.npy``."""
    folder.mkdir(parents=True)
    started, cpu = time.perf_counter(), cpu_seconds()
    removed = PEERS[name](path, folder)
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - cpu
    np.save(folder / "removed.npy", np.array(removed, np.int64))
    return {"docs": pq.ParquetFile(path).metadata.num_rows, "seconds": seconds, "cpu_seconds": cpu}


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    tell(**(kernel(KERNELS[rest[0]], Path(rest[1])) if what == "kernel" else whole(what, Path(rest[0]), Path(rest[1]))))
