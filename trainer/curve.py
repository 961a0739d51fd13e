"""The loss of a run as a picture that any browser shows; no plotting library."""

from collections.abc import Sequence
from pathlib import Path

_WIDTH, _HEIGHT, _MARGIN = 640, 320, 48


def write_curve(folder: Path, losses: Sequence[tuple[int, float]]) -> None:
    """Write ``loss.svg``: the mean loss since the point before, over steps."""
    (folder / "loss.svg").write_text(curve(losses), encoding="utf-8")


def curve(losses: Sequence[tuple[int, float]]) -> str:
    """An SVG document of ``(step, loss)``, from the smallest loss to the largest."""
    steps, values = [step for step, _ in losses], [loss for _, loss in losses]
    points = " ".join(
        f"{_place(step, steps, _MARGIN, _WIDTH - _MARGIN):.1f},{_place(loss, values, _HEIGHT - _MARGIN, _MARGIN):.1f}"
        for step, loss in losses
    )
    bottom, right = _HEIGHT - _MARGIN, _WIDTH - _MARGIN
    labels = [
        _label(_MARGIN, bottom + 20, "middle", f"{steps[0]}"),
        _label(right, bottom + 20, "middle", f"step {steps[-1]}"),
        _label(_MARGIN - 6, bottom, "end", f"{min(values):.3g}"),
        _label(_MARGIN - 6, _MARGIN + 4, "end", f"{max(values):.3g}"),
        _label(_WIDTH / 2, 24, "middle", "training loss"),
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
            'font-size="12">',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
            f'<path d="M{_MARGIN} {_MARGIN}V{bottom}H{right}" fill="none" stroke="black"/>',
            f'<polyline points="{points}" fill="none" stroke="#1f6feb" stroke-width="2"/>',
            *labels,
            "</svg>\n",
        ]
    )


def _place(value: float, values: Sequence[float], first: float, last: float) -> float:
    low, high = min(values), max(values)
    return first if high == low else first + (last - first) * (value - low) / (high - low)


def _label(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{text}</text>'
