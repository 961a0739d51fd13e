import os
from pathlib import Path

import fsspec
import pytest

from transforms.sources import file_digests as digests
from transforms.sources.file_digests import file_digest

LOCAL = fsspec.filesystem("file")


def test_equal_content_has_an_equal_digest_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 5_000_000)
    (tmp_path / "b").write_bytes(b"x" * 5_000_000)
    (tmp_path / "c").write_bytes(b"x" * 4_999_999 + b"y")
    a, b, c = (file_digest(LOCAL, str(tmp_path / name)) for name in "abc")
    assert a == b
    assert a != c


def test_large_files_are_known_by_size_time_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "WHOLE_BYTES", 100)
    monkeypatch.setattr(digests, "END_BYTES", 10)
    path = tmp_path / "a"

    def digest(data: bytes, seconds: int = 1000) -> str:
        path.write_bytes(data)
        os.utime(path, (seconds, seconds))
        return file_digest(LOCAL, str(path))

    first = digest(b"a" * 200)
    assert first.startswith("ends-")
    assert digest(b"a" * 200) == first
    others = [digest(b"a" * 201), digest(b"a" * 200, 1001), digest(b"b" + b"a" * 199), digest(b"a" * 199 + b"b")]
    assert len({first, *others}) == 5
    assert not digest(b"a" * 100).startswith("ends-")


def test_elsewhere_it_is_what_the_store_says() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/digests/a", b"one")
    first = file_digest(memory, "/digests/a")
    assert first == file_digest(memory, "/digests/a")
    memory.pipe_file("/digests/a", b"three")
    assert file_digest(memory, "/digests/a") != first


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        file_digest(LOCAL, str(tmp_path / "none"))
