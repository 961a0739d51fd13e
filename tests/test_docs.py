"""The documents: every page stands in the site and in the README, and links lead to files that are there."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))


def pages_of(nav: Any) -> list[str]:
    """All pages of a navigation."""
    if isinstance(nav, str):
        return [nav]
    return [page for entry in nav for inner in entry.values() for page in pages_of(inner)]


def test_every_page_stands_in_the_navigation_once() -> None:
    assert sorted(pages_of(SITE["nav"])) == sorted(["index.md", *(path.name for path in PAGES)])


def test_every_page_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [path.name for path in PAGES if f"docs/{path.name}" not in readme] == []


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda path: path.name)
def test_links_lead_to_what_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL))
    places = [link.partition("#")[0] for link in links if not link.startswith(("http:", "https:", "#"))]
    assert [place for place in places if not (page.parent / place).exists()] == []
