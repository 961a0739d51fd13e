"""Texts are found by their addresses, wherever they rest."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mining.candidates import ADDRESS
from transforms.flow.parts import part_path
from transforms.text.texts_at import PartTexts


def test_texts_come_in_the_order_of_their_addresses(tmp_path: Path) -> None:
    kept = {"query": ["a", "b"], "positives": [["c", "d"], ["e"]], "negatives": [[], ["f"]]}
    other = {"query": ["g"], "positives": [["h"]], "negatives": [["i"]]}
    corpus = {"text": ["j", "k", "l"]}
    for kind, part, table in (("kept", 1, kept), ("kept", 2, other), ("corpus", 1, corpus)):
        (tmp_path / kind).mkdir(exist_ok=True)
        pq.write_table(pa.table(table), part_path(str(tmp_path / kind), part))
    asked = [
        (1, 1, "query", 0, "b"),
        (2, 0, "negatives", 0, "i"),
        (1, 2, "text", 0, "l"),
        (1, 0, "positives", 1, "d"),
        (1, 1, "negatives", 0, "f"),
        (1, 1, "positives", 0, "e"),
        (1, 0, "text", 0, "j"),
        (1, 1, "query", 0, "b"),
    ]
    addresses = pa.array(
        [dict(zip(("part", "row", "field", "element"), each[:4], strict=True)) for each in asked], pa.struct(ADDRESS)
    )
    texts = PartTexts(kept=str(tmp_path / "kept"), corpus=str(tmp_path / "corpus"))
    assert texts(addresses) == [each[4] for each in asked]
    assert texts(addresses[3:5]) == ["d", "f"]
    assert texts(addresses[:0]) == []
