"""What is known to be relevant to a question: by whoever asks the same, in whatever spelling."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mining.candidates import Rows, flat
from transforms.flow.kernels import kernel


@dataclass(frozen=True, kw_only=True)
class Relations:
    """Questions in groups, and what is relevant to each group.

    ``ids`` are those of the rows, ``groups`` their groups. ``clusters`` and ``vectors`` (hashes) are relevant to the
    groups
    ``cluster_groups`` and ``vector_groups``.
    """

    ids: pa.Array
    groups: Rows
    num_groups: int
    clusters: pa.Array
    cluster_groups: Rows
    vectors: pa.Array
    vector_groups: Rows

    def of(self, ids: pa.Array) -> Rows:
        """The group of each row."""
        groups: Rows = self.groups[pc.index_in(ids, value_set=self.ids).to_numpy(zero_copy_only=False).astype(np.int64)]
        return groups


def relate(questions: pa.Table, *, symmetric: bool) -> Relations:
    """The relations of all rows of a dataset: ``id``, ``cluster``, ``positives_clusters``, ``positives_vectors``.

    Rows whose questions have one form for matching are a group: what is a positive of one is relevant to all. Where
    both sides are alike (``symmetric``), whatever is linked through any number of positives is one group: of A -> B,
    B -> C and F -> A the texts F, B and C are all relevant to A. Raises ValueError for ids that repeat.
    """
    ids, own = questions["id"].combine_chunks(), questions["cluster"].combine_chunks()
    if (distinct := len(pc.unique(ids))) != len(ids):
        raise ValueError(
            f"{len(ids)} rows have only {distinct} distinct ids, but an id names one row; equal rows were not removed: "
            "deduplicate before mining"
        )
    parents, clusters = flat(questions["positives_clusters"])
    _, vectors = flat(questions["positives_vectors"])
    together = pa.concat_arrays([own, clusters]).dictionary_encode()
    codes = together.indices.to_numpy().astype(np.int64)
    roots = np.arange(len(together.dictionary), dtype=np.int64)
    if symmetric:
        roots = connect(roots, codes[: len(own)][parents], codes[len(own) :])
    names, groups = np.unique(roots[codes[: len(own)]], return_inverse=True)
    everyone = np.append(np.arange(len(own)), parents)
    relevant = pa.concat_arrays([own, clusters])
    return Relations(
        ids=ids,
        groups=groups.astype(np.int64),
        num_groups=len(names),
        **_distinct_pairs("cluster", groups[everyone], relevant),
        **_distinct_pairs("vector", groups[parents], vectors),
    )


def _distinct_pairs(name: str, groups: Rows, values: pa.Array) -> dict[str, Rows | pa.Array]:
    encoded = values.dictionary_encode()
    codes = encoded.indices.to_numpy().astype(np.int64)
    pairs = np.unique(groups * (len(encoded.dictionary) + 1) + codes)
    width = len(encoded.dictionary) + 1
    return {f"{name}s": encoded.dictionary.take(pa.array(pairs % width)), f"{name}_groups": pairs // width}


@kernel
def connect(roots, left, right):  # type: ignore[no-untyped-def]
    """The smallest member of each one's component, by union and find with halved paths."""
    for i in range(len(left)):
        a, b = left[i], right[i]
        while roots[a] != a:
            roots[a] = roots[roots[a]]
            a = roots[a]
        while roots[b] != b:
            roots[b] = roots[roots[b]]
            b = roots[b]
        roots[max(a, b)] = min(a, b)
    for i in range(len(roots)):
        roots[i] = roots[roots[i]]
    return roots
