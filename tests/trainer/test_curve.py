import xml.etree.ElementTree as ElementTree

from trainer.curve import curve, write_curve


def points(text: str) -> list[tuple[float, float]]:
    line = ElementTree.fromstring(text).find("{http://www.w3.org/2000/svg}polyline")
    return [tuple(map(float, point.split(","))) for point in line.get("points").split()]


def test_losses_fall_from_the_upper_left_to_the_lower_right():
    assert points(curve([(1, 4.0), (5, 2.0), (9, 0.0)])) == [(48, 48), (320, 160), (592, 272)]


def test_one_loss_and_equal_losses_are_drawn_too(tmp_path):
    assert points(curve([(3, 1.5)])) == [(48, 272)]
    assert points(curve([(1, 1.5), (2, 1.5)])) == [(48, 272), (592, 272)]
    write_curve(tmp_path, [(3, 1.5)])
    assert "step 3" in (tmp_path / "loss.svg").read_text()
