from pathlib import Path

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import SourceError
from tests.transforms.sources.readers.files import ENDINGS, compress, read, unit_of, write
from transforms.sources.readers.streams import is_utf8, line_blocks, open_stream
from transforms.sources.units import Compression

COMPRESSIONS: list[Compression | None] = [None, "gzip", "zstd", "bz2", "xz"]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.binary(max_size=12)), block_bytes=st.integers(1, 40), end=st.booleans())
def test_blocks_are_whole_lines_and_the_same_for_every_compression(
    tmp_path: Path, lines: list[bytes], block_bytes: int, end: bool
) -> None:
    data = b"\n".join(line.replace(b"\n", b"").replace(b"\xef", b"") for line in lines) + b"\n" * end
    cuts = []
    for compression in COMPRESSIONS:
        unit = unit_of(write(tmp_path / f"train.txt{ENDINGS[compression]}", data))
        with open_stream(unit) as stream:
            cuts.append(list(line_blocks(stream, unit, block_bytes)))
    assert b"".join(cuts[0]) == data
    assert all(block.endswith(b"\n") for block in cuts[0][:-1])
    assert all(cut == cuts[0] for cut in cuts)


@given(st.one_of(st.binary(max_size=8), st.text(max_size=8).map(lambda text: text.encode("utf-8", "surrogatepass"))))
def test_utf8_is_what_python_decodes(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        assert not is_utf8(data)
    else:
        assert is_utf8(data)


@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
@pytest.mark.parametrize("cut", [5, -4, -1])
def test_a_truncated_file_is_said_to_be_damaged(tmp_path: Path, compression: Compression, cut: int) -> None:
    path = tmp_path / f"train.txt{ENDINGS[compression]}"
    path.write_bytes(compress(b"line\n" * 5000, compression)[:cut])
    with pytest.raises(SourceError) as caught:
        read(unit_of(path), "line")
    for part in (
        f"datasets/x/y/default/train.txt{ENDINGS[compression]}",
        f"whole {compression} file",
        "download it again",
    ):
        assert part in caught.value.message


@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
def test_a_file_that_is_not_compressed_after_all_is_said_to_be_damaged(
    tmp_path: Path, compression: Compression
) -> None:
    path = tmp_path / f"train.txt{ENDINGS[compression]}"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(SourceError, match=f"is not a whole {compression} file"):
        read(unit_of(path), "line")


@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
def test_several_compressed_members_are_one_file(tmp_path: Path, compression: Compression) -> None:
    path = tmp_path / f"train.txt{ENDINGS[compression]}"
    path.write_bytes(compress(b"one\n", compression) + compress(b"two\n", compression))
    assert [row["line"] for row in read(unit_of(path), "line")[0].values()] == ["one", "two"]


def test_a_file_that_vanished_says_so(tmp_path: Path) -> None:
    unit = unit_of(write(tmp_path / "train.txt", b"one"))
    (tmp_path / "train.txt").unlink()
    with pytest.raises(SourceError, match=r"train\.txt was there when the run was planned and is gone"):
        read(unit, "line")


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = unit_of("memory://streams/train.txt")
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/streams/train.txt", b"one")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(type(memory), "info", refuse)
    with pytest.raises(SourceError, match="no permission to read memory://streams"):
        read(unit, "line")


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_remote_files_read_as_local_ones(compression: Compression | None) -> None:
    name = f"/streams/far.txt{ENDINGS[compression]}"
    fsspec.filesystem("memory").pipe_file(name, compress(b"".join(b"line %d\n" % i for i in range(9000)), compression))
    rows, _ = read(unit_of(f"memory:/{name}"), "line")
    assert rows == {number: {"line": f"line {number}"} for number in range(9000)}
