"""Names of files that say what the files hold."""

import re

import pyarrow as pa
import xxhash

#: A name that says what the content is: 16 hexadecimal digits at the end of the stem.
NAMED = re.compile(r"(?:.*-)?([0-9a-f]{16})\.parquet")


def content_name(data: bytes | pa.Buffer) -> str:
    """The stem of a file that is named by its content: 16 hexadecimal digits of xxh3-64."""
    return xxhash.xxh3_64_hexdigest(memoryview(data))


def is_named_by_content(name: str) -> bool:
    """Whether a file's name is one of those that say what the content is; others in our folders are somebody else's."""
    return NAMED.fullmatch(name) is not None
