"""The comparison of a teacher by language with one for all: how ranks are counted, and that it runs on the sample."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import teachers
from schemas.manifest import VectorsRecord
from schemas.vectors import vector_key
from tests.e2e.teacher import save_table_teacher

RECORD = VectorsRecord(store="s", dims=2, query_prompt="Q: ", passage_prompt="")


def test_a_row_counts_whose_positive_is_nearer_than_those_of_others() -> None:
    rows = [("q0", ["p0"]), ("q1", ["p1", "far"]), ("q2", ["p2"]), ("q0", ["p3"])]
    angles = {"q0": 0.0, "p0": 0.1, "p3": 0.02, "q1": 1.0, "p1": 1.05, "far": 3.0, "q2": 2.0, "p2": 1.6}
    vectors = {
        vector_key("Q: " if text[0] == "q" else "", text): np.array([np.cos(angle), np.sin(angle)])
        for text, angle in angles.items()
    }
    assert teachers.ranked_first(rows, vectors, RECORD) == 4
    angles["p2"] = 3.9
    vectors[vector_key("", "p2")] = np.array([np.cos(3.9), np.sin(3.9)])
    assert teachers.ranked_first(rows, vectors, RECORD) == 3, "now another row's positive is nearer to q2"


@pytest.mark.slow
def test_it_compares_teachers_on_the_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = {
        name: save_table_teacher(tmp_path / name, dims) for name, dims in (("all", 8), ("english", 16), ("chinese", 24))
    }
    flags = ["--source=sample", "--category=afqmc,scifact", "--limit=40", f"--teacher={tables['all']}"]
    assert teachers.main([*flags, f"--teachers=en={tables['english']},zh={tables['chinese']}"]) == 0
    lines = [
        line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith(("| afqmc", "| scifact"))
    ]
    assert [(line[0], line[2]) for line in lines] == [
        ("| afqmc", "all"),
        ("| afqmc", "chinese"),
        ("| scifact", "all"),
        ("| scifact", "english"),
    ]
