"""Symbolic links in a source: those that lead out of it are not followed unless a run asks for it.

A mirror may come from anybody, and a link in it could name any file of this machine, which would then be published.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from schemas.errors import SourceError


def refuse_links_out(root: str, paths: Iterable[str], shown: str) -> None:
    """Raise SourceError, which names the link and what it leads to, for a local file that lies outside ``root``.

    ``root`` is a folder with its own links resolved. The file, or any folder on the way to it, may be the link.
    """
    for path in paths:
        real = os.path.realpath(path)
        if not Path(real).is_relative_to(root):
            raise SourceError(
                f"{path} is a link, or lies behind one, that leads out of {shown} to {real}; what is outside a source "
                "is not read unless you ask for it: --follow_links=true does, where you know who made the link"
            )
