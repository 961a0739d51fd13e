"""Runs of generated rows, stage by stage, and what each stage cost: one line of JSON for each in a file of points."""

import dataclasses
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._measure import run_module
from benchmarks._report import machine, versions
from benchmarks._scale_source import Shape, pairs, write_source

LIBRARIES = ("apache-beam", "pyarrow", "numba", "numpy", "torch", "sentence-transformers")
STAGES = ("prepare", "embed", "mine", "pack")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A run: its rows, its ``teacher`` (``static``: a table of the bundled one's words), and how many dimensions."""

    shape: Shape
    teacher: str = "static"
    dims: int = 384
    components: str = "auto"

    def facts(self) -> dict[str, Any]:
        """The case as a point has it: its shape is one of its fields."""
        return dataclasses.asdict(self)

    def flags(self, root: Path, static: Path) -> list[str]:
        """Flags of curate."""
        teacher = static if self.teacher == "static" else self.teacher
        return [
            f"--source={root / 'hub'}",
            f"--catalog={root / 'catalog'}",
            "--category=generated-*",
            "--evaluation=none",
            f"--teacher={teacher}",
            f"--set=teacher.dims={self.dims}",
            f"--set=near.components={self.components}",
            f"--out={root / 'out'}",
        ]


def measure(case: Case, points: Path, folder: Path, static: Path) -> None:
    """Run the stages of a case, each in a process of its own, and add a line for each to ``points``."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        root = Path(place)
        text_bytes = write_source(root, case.shape)
        facts = {"case": case.facts(), "text_bytes": text_bytes, "tokens_per_byte": tokens_per_byte(static, case.shape)}
        facts |= {"machine": machine().partition(", load")[0], "versions": versions(LIBRARIES)}
        for stage in STAGES:
            before = os.getloadavg()[0]
            told = run_module("benchmarks._scale_stage", stage, *case.flags(root, static))
            point = facts | {"stage": stage, "load": before} | told | sizes(root / "out" / ".work", stage)
            with points.open("a") as file:
                file.write(json.dumps(point) + "\n")
            print(json.dumps(point), file=sys.stderr, flush=True)


def sizes(work: Path, stage: str) -> dict[str, int]:
    """Bytes that a stage left in its own folder, and those of the vector store."""
    folders = {"bytes": work.glob(f"{stage}-*"), "store_bytes": work.glob("store")}
    return {name: sum(map(size_of, found)) for name, found in folders.items()}


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def has_case(points: Path, case: Case) -> bool:
    """Whether a case has lines for all of its stages."""
    there = read_points(points) if points.exists() else []
    own = [point for point in there if point["case"] == case.facts() and "taskmanagers" not in point]
    return {point["stage"] for point in own} == set(STAGES)


def read_points(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of points; of a stage that was run twice the last one."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return list({(json.dumps(line["case"]), line["stage"], line.get("taskmanagers")): line for line in lines}.values())


def static_teacher(folder: Path) -> Path:
    """The table of the bundled teacher's words, made anew."""
    from trainer.static_teacher import static_teacher as write

    write(folder, dims=384)
    return folder


def tokens_per_byte(static: Path, shape: Shape) -> float:
    """Tokens of the bundled teacher for each byte of the texts."""
    from tokenizers import Tokenizer

    (path,) = static.rglob("tokenizer.json")
    (rows,) = pairs(1_000, shape.words, seed=0)
    texts = [text for column in rows.columns for text in column.to_pylist()]
    tokens = sum(len(each.ids) for each in Tokenizer.from_file(str(path)).encode_batch(texts))
    return tokens / sum(len(text.encode()) for text in texts)
