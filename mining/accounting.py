"""What mining did to a dataset, in whole numbers that add up over any number of ranges: the counts of its manifest."""

import json
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mining.candidates import flat
from mining.choosing import CROSS_ENCODER, NUM_RULES
from mining.labels import labels_alike
from mining.policies import GIVEN_RANK, RANDOM_RANK
from mining.scan import ABOVE_CEILING, BELOW_FLOOR, EQUAL_VECTOR, GIVEN, NEAR_DUPLICATE, SHARED_LABEL
from schemas.vectors import SCALE

#: How rules are named in counts.
RULES: Mapping[int, str] = {
    GIVEN: "refused:given",
    EQUAL_VECTOR: "refused:equal_vector",
    SHARED_LABEL: "refused:shared_label",
    ABOVE_CEILING: "refused:above_ceiling",
    BELOW_FLOOR: "refused:below_floor",
    NEAR_DUPLICATE: "refused:near_duplicate",
    CROSS_ENCODER: "refused:cross_encoder",
}
#: A dataset's count of labels that are one word in several spellings; their names follow as JSON.
ALIKE = "alike:"
#: A dataset's count of pool shards that were searched in cells; how follows in words.
INDEX = "index:"


def account(mined: pa.Table) -> dict[str, int]:
    """The numbers of some ``MINED`` rows of one dataset, of those that were kept but for ``dropped``.

    ``rows``; ``short`` and ``none``: rows that lack negatives, and that have none; ``missing``: negatives that lack;
    ``given``, ``mined`` and ``random``: negatives by where they come from; ``filled``: rows that got random ones;
    ``given_over``: given ones left out for their number;
    ``dropped``: positives that the filter took; ``refused:...``: passages of the pools, up to the ends of the
    windows, by the rule that kept them from being negatives; ``positive_score``, ``negative_score``: sums of integer
    scores of the first positives, and of mined negatives; ``labelled``, ``doubtful``, ``nearer``: labelled rows,
    those whose nearest texts are all of other labels, and their mined negatives that score above their positive;
    ``labelled_mined``: how many these have.
    """
    kept = mined.filter(pc.is_null(mined["reason"]))
    owners, flat_ranks = flat(kept["negative_ranks"])
    ranks = flat_ranks.to_numpy()
    scores = _integers(flat(kept["negative_scores"])[1])
    refused = np.array(kept["refused"].combine_chunks().flatten()).reshape(len(kept), NUM_RULES).sum(axis=0)
    missing = kept["missing"].to_numpy()
    numbers = pc.list_value_length(kept["negative_hashes"]).to_numpy()
    labelled = (kept["mates"].to_numpy() + kept["others"].to_numpy()) > 0
    of_labelled = np.repeat(labelled, numbers)
    doubtful = labelled & (kept["mates"].to_numpy() == 0)
    first = pc.list_element(kept["positive_scores"], 0) if len(kept) else pa.array([], pa.float32())
    counts = {
        "rows": len(kept),
        "short": np.count_nonzero(missing),
        "none": np.count_nonzero((numbers == 0) & (missing > 0)),
        "missing": missing.sum(),
        "given": np.count_nonzero(ranks == GIVEN_RANK),
        "mined": np.count_nonzero(ranks >= 0),
        "random": np.count_nonzero(ranks == RANDOM_RANK),
        "filled": len(np.unique(owners[ranks == RANDOM_RANK])),
        "given_over": kept["given_over"].to_numpy().sum(),
        "dropped": mined["dropped"].to_numpy().sum(),
        "positive_score": _integers(first).sum(),
        "negative_score": scores[ranks >= 0].sum(),
        "labelled": np.count_nonzero(labelled),
        "doubtful": np.count_nonzero(doubtful),
        "nearer": kept["nearer"].to_numpy()[labelled].sum(),
        "labelled_mined": np.count_nonzero(of_labelled & (ranks >= 0)),
    }
    counts |= {name: refused[rule] for rule, name in RULES.items()}
    return {name: int(number) for name, number in counts.items() if number}


def _integers(cosines: pa.Array | pa.ChunkedArray) -> np.typing.NDArray[np.int64]:
    """Cosines on the scale of integer scores, so that sums do not depend on their order."""
    values = np.asarray(cosines.to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.rint(values * SCALE * SCALE).astype(np.int64)


def alike_counts(dataset: str, labels: pa.ChunkedArray) -> Iterator[tuple[str, int]]:
    """A keyed number of rows for each group of labels that are one word in several spellings."""
    counted = pc.value_counts(pc.drop_null(labels)).to_pylist()
    rows = {item["values"]: item["counts"] for item in counted}
    for group in labels_alike(rows):
        yield f"{dataset}\tmining\t{ALIKE}{json.dumps(group)}", sum(rows[label] for label in group)
