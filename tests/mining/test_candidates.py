"""Tables of mining against plain Python."""

import pyarrow as pa
import pytest

from mining.candidates import distinct_texts
from tests.mining.tables import make_corpus


@pytest.mark.parametrize("repeats", [0, 3])
def test_each_text_is_taken_once_at_its_smallest_address(repeats):
    texts = [f"text {number}" for number in range(9)]
    corpus = make_corpus(texts + texts[:repeats])
    part = pa.array([5 - number % 3 for number in range(len(corpus))], pa.int64())
    corpus = corpus.set_column(corpus.schema.get_field_index("part"), "part", part)
    rows = corpus.to_pylist()
    expected = {}
    for row in sorted(rows, key=lambda row: (row["text_hash"], row["part"], row["row"])):
        expected.setdefault(row["text_hash"], row | dict.fromkeys(("cluster", "near"), row["text_hash"]))
    assert distinct_texts(corpus).to_pylist() == list(expected.values())
