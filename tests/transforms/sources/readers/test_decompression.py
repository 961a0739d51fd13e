import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SourceError
from tests.transforms.sources.readers.files import read, unit_of
from transforms.sources.readers.decompression import GzipStream


@given(
    members=st.lists(st.binary(max_size=40), max_size=4),
    zeros=st.integers(0, 3000),
    size=st.integers(1, 50),
)
def test_gzip_is_what_pythons_gzip_reads(members: list[bytes], zeros: int, size: int) -> None:
    data = b"".join(map(gzip.compress, members)) + b"\0" * (zeros if members else 0)
    stream = GzipStream(io.BytesIO(data))
    pieces = list(iter(lambda: stream.read(size), b""))
    assert b"".join(pieces) == gzip.decompress(data) == b"".join(members)
    assert all(len(piece) <= size for piece in pieces)


def test_padding_between_and_behind_members_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "train.txt.gz"
    path.write_bytes(gzip.compress(b"one\n") + b"\0" * 512 + gzip.compress(b"two\n") + b"\0" * 10240)
    assert [row["line"] for row in read(unit_of(path), "line")[0].values()] == ["one", "two"]


@pytest.mark.parametrize("behind", [b"\0\0x", b"<html>", b"\x1f"])
def test_what_is_no_member_is_damage(tmp_path: Path, behind: bytes) -> None:
    path = tmp_path / "train.txt.gz"
    path.write_bytes(gzip.compress(b"one\n") + behind)
    with pytest.raises(SourceError, match="not a whole gzip file"):
        read(unit_of(path), "line")
