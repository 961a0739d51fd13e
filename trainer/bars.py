"""An evaluation as a picture that any browser shows: a group of bars for each collection, a bar for each dimension."""

from collections.abc import Mapping
from xml.sax.saxutils import escape

_BAR, _GAP, _TOP, _TALL, _LEFT, _FOOT = 18, 26, 40, 240, 44, 48
_COLOURS = ("#1f6feb", "#54a0ff", "#8ec5ff", "#bcdcff", "#dbeeff")


def bars(scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """An SVG document of the first measure of each collection (by collection, dimension and name, 0 to 1).

    A measure below 0, as a correlation may be, has a bar of no height; its number stands on it as any other.
    """
    dims = list(next(iter(scores.values())))
    group = _BAR * len(dims) + _GAP
    width = max(_LEFT + group * len(scores) + _GAP, 420)
    drawn = [line for place, name in enumerate(scores) for line in _group(_LEFT + place * group, name, scores[name])]
    bottom = _TOP + _TALL
    legend = ", ".join(f"{dim} dimensions" for dim in dims)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + _FOOT}" '
            'font-family="sans-serif" font-size="10">',
            f'<rect width="{width}" height="{bottom + _FOOT}" fill="white"/>',
            f'<text x="{_LEFT}" y="18" font-size="12">times 100, from left to right: {escape(legend)}</text>',
            *drawn,
            f'<path d="M{_LEFT - 8} {bottom}H{width - 8}" stroke="black"/>',
            "</svg>\n",
        ]
    )


def _group(left: int, name: str, by_dim: Mapping[str, Mapping[str, float]]) -> list[str]:
    bottom = _TOP + _TALL
    lines = []
    for place, measures in enumerate(by_dim.values()):
        value = next(iter(measures.values()))
        height = max(0.0, value) * _TALL
        x = left + place * _BAR
        lines.append(
            f'<rect x="{x}" y="{bottom - height:.1f}" width="{_BAR - 2}" height="{height:.1f}" '
            f'fill="{_COLOURS[place % len(_COLOURS)]}"/>'
        )
        lines.append(f'<text x="{x}" y="{bottom - height - 3:.1f}" font-size="8">{100 * value:.1f}</text>')
    measure = next(iter(next(iter(by_dim.values()))))
    lines.append(f'<text x="{left}" y="{bottom + 16}">{escape(name)}</text>')
    lines.append(f'<text x="{left}" y="{bottom + 30}" fill="#555">{escape(measure)}</text>')
    return lines
