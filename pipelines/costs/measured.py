"""The coefficients that ship with the project, as ``benchmarks.scale`` wrote them."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pipelines.costs.model import Measured

FILE = Path(__file__).with_name("measured.yaml")
_HEAD = (
    "# Written by `python -m benchmarks.scale` from benchmarks/scale.jsonl: docs/scale.md says what each number is.\n"
)


@cache
def measured() -> Measured:
    """The coefficients of ``measured.yaml``."""
    return parse(yaml.safe_load(FILE.read_text("utf-8")))


def parse(fields: Mapping[str, Any]) -> Measured:
    """Coefficients as YAML holds them."""
    return Measured(**fields)


def text_of(found: Measured) -> str:
    """Coefficients as the file holds them, numbers with four digits that count."""
    return _HEAD + yaml.safe_dump(_rounded(asdict(found)), sort_keys=False)


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value
