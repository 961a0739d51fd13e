"""The picture of an evaluation, read as XML."""

import xml.etree.ElementTree as ET

from trainer.bars import bars

SVG = "{http://www.w3.org/2000/svg}"
SCORES = {
    "a&b": {"64": {"ndcg@10": 0.5, "map@1000": 0.1}, "32": {"ndcg@10": 0.25, "map@1000": 0.1}},
    "sts": {"64": {"spearman": -0.2}, "32": {"spearman": 0.0}},
}


def test_bars_are_as_high_as_the_first_measure_and_bear_its_number():
    root = ET.fromstring(bars(SCORES))
    heights = [float(rect.attrib["height"]) for rect in root.iter(f"{SVG}rect")][1:]
    assert heights[0] == 2 * heights[1] > 0
    assert heights[2:] == [0, 0]
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts[0] == "times 100, from left to right: 64 dimensions, 32 dimensions"
    assert texts[1:5] == ["50.0", "25.0", "a&b", "ndcg@10"]
    assert texts[5:] == ["-20.0", "0.0", "sts", "spearman"]


def test_nothing_stands_outside_the_picture():
    many = {f"collection {i}": SCORES["a&b"] for i in range(9)}
    root = ET.fromstring(bars(many))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for rect in root.iter(f"{SVG}rect"):
        assert float(rect.get("x", 0)) + float(rect.attrib["width"]) <= width
        assert 0 <= float(rect.get("y", 0)) <= height
