"""Text in any encoding as UTF-8, by what the entry says and what the file's byte order mark says."""

import codecs
import re

from charset_normalizer import from_bytes

from transforms.sources.readers.decompression import ByteStream

#: Byte order marks, longest first, and the encoding of what follows each.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MARK_BYTES = 4
_UTF8 = "utf-8"
#: Code pages that a file may have: of Latin letters (the most frequent one first), and of other scripts.
_LATIN = ("cp1252", "cp1250")
_OTHERS = ("gb18030", "big5", "cp932", "euc_jp", "cp949", "cp1251", "koi8_r", "cp1253", "cp1255", "cp1256")
_LETTERS = re.compile(rb"[A-Za-z]")
_HIGH = re.compile(rb"[\x80-\xff]+")
#: Undecodable bytes become one byte that UTF-8 does not have, so that the readers refuse their row as INVALID_UTF8.
_INVALID = "kalm-invalid"
codecs.register_error(_INVALID, lambda error: ("\udcff", error.end))  # type: ignore[attr-defined]


def utf8_stream(stream: ByteStream, encoding: str | None) -> ByteStream:
    """The stream in UTF-8 without its byte order mark. A mark goes before ``encoding``; without either it is UTF-8."""
    head = b""
    while len(head) < _MARK_BYTES and (data := stream.read(_MARK_BYTES - len(head))):
        head += data
    mark, found = next(((mark, name) for mark, name in _MARKS if head.startswith(mark)), (b"", encoding or _UTF8))
    rest = _Headed(head.removeprefix(mark), stream)
    return rest if codecs.lookup(found).name == _UTF8 else _Transcoded(rest, found)


class _Headed:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, stream: ByteStream) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        if self._head:
            head, self._head = self._head[:size], self._head[size:]
            return head
        return self._stream.read(size)


class _Transcoded:
    """A stream in another encoding as UTF-8."""

    def __init__(self, stream: ByteStream, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(_INVALID)

    def read(self, size: int, /) -> bytes:
        while data := self._stream.read(size):
            if text := self._decoder.decode(data):
                return text.encode(_UTF8, "surrogateescape")
        return self._decoder.decode(b"", final=True).encode(_UTF8, "surrogateescape")


def guess_encoding(sample: bytes) -> str | None:
    """The encoding that bytes which are no UTF-8 most likely have; None where nothing fits.

    Where bytes above 127 are few and stand alone, as accents do among Latin letters, it is the code page in which most
    of them are letters; else charset_normalizer chooses among the code pages of other scripts.
    """
    zeros = [sample[start::2].count(0) for start in (0, 1)]
    if max(zeros) * 5 > len(sample):
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    runs = _HIGH.findall(sample)
    if not runs:
        return None
    accents = b"".join(runs)
    alone = sum(len(run) == 1 for run in runs)
    if 4 * alone >= len(accents) and len(_LETTERS.findall(sample)) > 2 * len(accents):
        return max(_LATIN, key=lambda name: sum(map(str.isalpha, accents.decode(name, "replace"))))
    best = from_bytes(sample, cp_isolation=list(_OTHERS)).best()
    return None if best is None else best.encoding
