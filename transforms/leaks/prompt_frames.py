"""Prompts that embedding models put before a text: taken off before texts are compared with evaluation queries.

A dataset may bring its queries ready for one model (``Instruct: ... Query: ...``). What the model's frame holds is the
query all the same.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc


def without_frames(texts: pa.Array, frames: Sequence[str]) -> pa.Array:
    """Texts without the frame that they begin with; one that is nothing but a frame stays as it is."""
    if not frames:
        return texts
    pattern = rf"(?is)^\s*(?:{'|'.join(frames)})\s*"
    framed = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
    if not pc.any(framed).as_py():
        return texts
    bare = pc.replace_substring_regex(texts.filter(framed), pattern, "")
    said = pc.if_else(pc.equal(bare, ""), texts.filter(framed), bare)
    return pc.replace_with_mask(texts, framed, said)
