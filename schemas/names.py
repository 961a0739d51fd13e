"""Names in the catalog that become parts of paths: of a dataset, its files, and where output goes.

An entry may come from anybody, so no part of one leaves the source's folder or the place of output.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

#: Names of folders and files: most file systems take 255 bytes, some (eCryptfs) 143.
MAX_NAME = 128
#: What the hub takes for each half of an id.
_MAX_HUB_PART = 96
_HUB_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_-])?")
_SEPARATORS = re.compile(r"[/\\]")


def _is_plain(part: str) -> bool:
    """Whether a part of a path is a name: not empty, not ``.`` or ``..``, without control characters."""
    return part.strip() not in ("", ".", "..") and part.isprintable() and len(part) <= MAX_NAME


def checked_name(name: str) -> str:
    """A configuration or a split, which is one name in a path."""
    if _SEPARATORS.search(name) or not _is_plain(name) or name.startswith("~"):
        raise ValueError(
            f"must be one name of at most {MAX_NAME} characters, without / and \\, not . or ..: "
            "deeper places are named by `files`"
        )
    return name


def checked_hub(hub: str) -> str:
    """A dataset's id on the hub, ``owner/name`` or ``name``, which is also its folder in hub layout."""
    parts = hub.split("/")
    if len(parts) > 2 or not all(_HUB_PART.fullmatch(part) and len(part) <= _MAX_HUB_PART for part in parts):
        raise ValueError(
            "must be a dataset's id, owner/name or name, of letters, digits, '-', '_' and '.', no other path; leave "
            "`hub` out where the data is not from the hub: the entry's name then names its folder"
        )
    return hub


def checked_glob(glob: str) -> str:
    """A glob below the dataset's folder."""
    if glob.startswith(("/", "~")) or "\\" in glob or not all(_is_plain(part) for part in glob.split("/")):
        raise ValueError("must be a glob below the dataset's folder, such as data/*.jsonl: not absolute, without ..")
    return glob


def checked_revision(revision: str) -> str:
    """A branch, tag or commit of the hub."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", revision) or ".." in revision:
        raise ValueError("must be a branch, tag or commit: letters, digits, '-', '_', '.' and single / between them")
    return revision


Name = Annotated[str, AfterValidator(checked_name)]
HubId = Annotated[str, AfterValidator(checked_hub)]
Glob = Annotated[str, AfterValidator(checked_glob)]
Revision = Annotated[str, AfterValidator(checked_revision)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=MAX_NAME)]
