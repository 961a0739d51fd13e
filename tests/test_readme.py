"""The README: two screens before the files, a picture that is there, and a tree of what there is."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SCREEN = 45


def test_what_it_is_and_does_takes_two_screens() -> None:
    assert len(README.partition("## Files")[0].splitlines()) <= 2 * SCREEN


def test_the_picture_is_there_and_says_what_it_shows() -> None:
    (told, path) = re.findall(r"!\[(.+)\]\((.+\.svg)\)", README)[0]
    root = ET.parse(ROOT / path).getroot()
    described = [element.text or "" for element in root if element.tag.endswith(("title", "desc"))]
    assert len(described) == 2
    assert all(stage in told and stage in described[1] for stage in ("prepare", "embed", "mine", "pack"))


def test_every_room_stands_in_the_tree() -> None:
    tree = README.partition("## Files")[2].partition("```\n")[2].partition("```")[0]
    packages = [path.parent for path in ROOT.glob("*/__init__.py")]
    rooms = [path.parent for path in ROOT.glob("transforms/*/__init__.py")]
    assert [folder.name for folder in [*packages, *rooms] if f"{folder.name}/" not in tree] == []
