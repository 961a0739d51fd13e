"""What the embed stage hears from a teacher."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mining.apart import asking
from mining.encoder import Encoded, Encoder
from mining.encoder_process import EncoderProcess
from mining.forward import PlainForward
from mining.teacher import TeacherParams, find_teacher
from pipelines.embed import _BESIDE, Encode, loading_beside


@pytest.mark.parametrize(("pads", "expected"), [(False, [False, False]), (True, [None, None])])
def test_whether_a_text_is_cut_is_null_where_a_model_does_not_say(
    pads: bool, expected: list[bool | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = None
    loaded = Encoder(model=model, teacher=model, forward=PlainForward(model=model, pads=pads))
    monkeypatch.setattr("pipelines.embed.load_encoder", lambda *_, **__: loaded)
    encode = Encode(name="a", path="a", params=TeacherParams(), digest="a")
    assert encode.truncated(["one", "two"]).to_pylist() == expected


def test_where_no_process_can_be_started_the_teacher_is_loaded_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr("pipelines.embed.EncoderProcess", refuse)
    teacher = find_teacher("minilm", TeacherParams())
    encode = Encode(name="minilm", path="minilm", params=teacher.params, digest=teacher.digest)
    with loading_beside(encode):
        assert encode(["a text"])[0].null_count == 0


def test_a_process_beside_is_asked_until_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = find_teacher("minilm", TeacherParams())
    encode = Encode(name="minilm", path="minilm", params=teacher.params, digest=teacher.digest)
    texts = ["a text", "another"]
    expected = encode(texts)
    with loading_beside(encode):
        with monkeypatch.context() as patch:
            patch.setattr("pipelines.embed.load_encoder", lambda *_, **__: pytest.fail("the process was not asked"))
            asked = encode(texts)
            assert [column.to_pylist() for column in asked] == [column.to_pylist() for column in expected]
        _BESIDE[encode]._process.kill()
        assert encode(texts)[0].to_pylist() == expected[0].to_pylist()
    assert encode(texts)[0].to_pylist() == expected[0].to_pylist()


class Mortal(EncoderProcess):
    """A process that a text ends."""

    def encode_each(self, texts: Sequence[str]) -> Encoded:
        if "deadly" in texts:
            self._process.kill()
        return super().encode_each(texts)


@pytest.mark.slow
def test_texts_at_which_a_process_died_are_read_by_one_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = find_teacher("minilm", TeacherParams())
    encode = Encode(
        name="minilm", path="minilm", params=teacher.params, digest=teacher.digest, journal=str(tmp_path / "asked")
    )
    texts = ["a text", "deadly"]
    (expected,) = encode(texts[:1])[0].to_pylist()
    with asking(encode.journal, texts):
        (left,) = Path(tmp_path / "asked").iterdir()
    left.touch()  # as a process leaves it that dies

    monkeypatch.setattr("pipelines.embed.EncoderProcess", Mortal)
    monkeypatch.setattr(Encoder, "encode_each", lambda *_: pytest.fail("suspect texts were read here"))
    vectors, truncated = encode(texts)
    assert vectors.to_pylist() == [expected, bytes(len(expected))]
    assert truncated.to_pylist() == [False, False]
    assert not left.exists()
