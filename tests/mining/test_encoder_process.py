"""A teacher in a process of its own."""

import os
import signal

import numpy as np
import pytest

from mining.encoder import load_encoder
from mining.encoder_process import EncoderProcess, ProcessLostError
from mining.teacher import TeacherParams, find_teacher
from schemas.errors import ConfigError

TEXTS = ["how do vaccines work", "a text", "word " * 400]


@pytest.fixture(scope="module")
def process():
    teacher = find_teacher("minilm", TeacherParams())
    with EncoderProcess("minilm", teacher.params, teacher.digest) as found:
        yield found


def test_it_answers_as_the_encoder_of_this_process_does(process):
    encoder = load_encoder("minilm")
    ours, its = encoder.encode_each(TEXTS), process.encode_each(TEXTS)
    assert (ours.vectors == its.vectors).all()
    assert its.directed.all()
    assert its.truncated.tolist() == process.truncated(TEXTS).tolist() == [False, False, True]
    assert process.knows_truncated


def test_what_a_question_raises_is_raised_here_and_the_next_one_is_answered(process):
    with pytest.raises(ValueError, match="must be of type"):
        process.encode_each([1, 2])
    assert np.isfinite(process.encode_each(TEXTS[:1]).vectors).all()


def test_what_loading_raises_is_raised_by_each_question():
    with EncoderProcess("minilm", TeacherParams(), "another digest") as process:
        for _ in range(2):
            with pytest.raises(ConfigError, match="planned with another digest"):
                process.truncated(TEXTS)


def test_ctrl_c_is_not_its_affair_from_the_first_moment_on():
    teacher = find_teacher("minilm", TeacherParams())
    with EncoderProcess("minilm", teacher.params, teacher.digest) as process:
        os.kill(process._process.pid, signal.SIGINT)
        assert process.encode_each(TEXTS[:1]).directed.all()
        os.kill(process._process.pid, signal.SIGINT)
        assert process.knows_truncated
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_process_that_was_killed_is_told_apart():
    with EncoderProcess("minilm", TeacherParams(), "whatever") as killed:
        killed._process.kill()
        with pytest.raises(ProcessLostError):
            killed.encode_each(TEXTS)
