"""The benchmark of mining's memory, on small corpora."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.mining_memory import mine, passages, queries_of, write_vectors
from mining.fixed_point import pack_vectors
from mining.mine import mine_block, mine_dataset
from mining.params import MiningParams
from mining.pools import Shard
from mining.relations import relate


def test_shards_that_lie_in_files_give_what_the_whole_corpus_in_memory_gives(tmp_path: Path) -> None:
    for number in range(2):
        write_vectors(tmp_path / str(number), 400, 32, number)
    found = mine(tmp_path, 2, 400, 32, 20)
    vectors = [np.fromfile(tmp_path / str(number), np.int16).reshape(400, 32) for number in range(2)]
    scored = queries_of(passages(400, 0), vectors[0], 20)
    corpus = pa.concat_tables([passages(400, 0), passages(400, 1)])
    shard = Shard(corpus, MiningParams(), np.concatenate(vectors))
    whole = mine_block(scored, shard, shard.relevant(relate(scored, symmetric=False)), None)
    assert found.equals(whole)
    assert found["missing"].to_pylist() == [0] * 20
    packed = corpus.append_column("vector", pack_vectors(np.concatenate(vectors)))
    asking = scored.select(["id", "query_hash", "positives", "negatives", "vector"])
    assert mine_dataset(asking, packed, MiningParams()).equals(whole)
