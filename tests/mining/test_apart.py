"""Texts at which a process died are found again, and read by processes that they may end."""

import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mining.apart import ENDS, asking, encode_apart
from mining.encoder import Encoded, load_encoder
from mining.encoder_process import EncoderProcess
from mining.teacher import TeacherParams, find_teacher
from schemas.errors import ConfigError


def _die_asking(folder: str, texts: Sequence[str]) -> None:
    with asking(folder, texts):
        os._exit(1)


def test_texts_are_suspect_after_a_process_died_at_them_and_no_longer_once_they_were_read(tmp_path: Path) -> None:
    folder, texts = str(tmp_path / "asked"), ["a", "b"]
    died = multiprocessing.get_context("spawn").Process(target=_die_asking, args=(folder, texts))
    died.start()
    died.join()
    with pytest.raises(KeyboardInterrupt), asking(folder, texts):
        raise KeyboardInterrupt
    for asked, expected in [(["a"], False), (["a", "b"], True), (["a", "b"], False)]:
        with asking(folder, asked) as is_suspect:
            assert is_suspect is expected
    assert list(Path(folder).iterdir()) == []


def test_an_error_is_no_death_and_without_a_folder_nothing_is_suspect(tmp_path: Path) -> None:
    for folder in (str(tmp_path), None):
        with pytest.raises(ValueError, match="no letter"), asking(folder, ["a"]):
            raise ValueError("no letter")
        with asking(folder, ["a"]) as is_suspect:
            assert not is_suspect


class Mortal(EncoderProcess):
    """A process that certain texts end."""

    def encode_each(self, texts: Sequence[str]) -> Encoded:
        if any("deadly" in text for text in texts):
            self._process.kill()
        return super().encode_each(texts)


def start() -> EncoderProcess:
    teacher = find_teacher("minilm", TeacherParams())
    return Mortal("minilm", teacher.params, teacher.digest)


@pytest.mark.slow
def test_a_text_that_ends_its_process_does_not_take_the_others_along() -> None:
    texts = ["how do vaccines work", "a text", "a deadly text"]
    found = encode_apart(texts, start)
    assert found.unreadable == {2: ENDS}
    assert found.directed.tolist() == [True, True, False]
    assert found.truncated.tolist() == [False, False, False]
    assert (found.vectors[:2] == load_encoder("minilm").encode_each(texts[:2]).vectors).all()
    assert not np.any(found.vectors[2])


def test_a_process_that_cannot_load_the_teacher_says_nothing_of_texts() -> None:
    def stillborn() -> EncoderProcess:
        process = start()
        process._process.kill()
        return process

    with pytest.raises(ConfigError, match="ended while it loaded the teacher"):
        encode_apart(["a text"], stillborn)
