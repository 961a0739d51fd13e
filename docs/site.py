"""What mkdocs makes the site of besides these pages: the README as the first one.

Links to files of the repository become plain names, since the site does not hold these.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the README."""
    text = (_ROOT / "README.md").read_text("utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """A page whose links lead to other pages, to the web, or nowhere."""
    return _LINK.sub(lambda link: link[0] if _is_on_site(link[2]) else link[1], markdown)


def _is_on_site(target: str) -> bool:
    path = target.partition("#")[0]
    return not path or target.startswith(("http:", "https:")) or (path.endswith(".md") and not path.startswith(".."))
