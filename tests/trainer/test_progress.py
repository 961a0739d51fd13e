import itertools
from types import SimpleNamespace

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from trainer import progress as progress_module
from trainer.progress import ShowProgress


def run(progress: ShowProgress, first: int = 0, max_steps: int = 2) -> None:
    state = TrainerState(max_steps=max_steps, global_step=first)
    told = (TrainingArguments(output_dir="unused"), state, TrainerControl())
    with progress:
        progress.on_train_begin(*told)
        for step, loss in ((first + 1, 2.5), (first + 2, 1.25)):
            state.global_step = step
            progress.on_step_end(*told)
            progress.on_log(*told, logs={"loss": loss})
        progress.on_log(*told, logs={"train_runtime": 3.0})


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clock(monkeypatch):
    """Each look at the clock comes two seconds after the one before."""
    seconds = itertools.count(0.0, 2.0)
    monkeypatch.setattr(progress_module, "time", SimpleNamespace(monotonic=lambda: next(seconds)))


def test_lines_without_a_terminal(capsys, clock):
    progress = ShowProgress(quiet=False)
    run(progress)
    assert capsys.readouterr() == ("", "step 1/2, loss 2.500, about 0:00:02 left\nstep 2/2, loss 1.250\n")
    assert progress.losses == [2.5, 1.25]


def test_the_time_left_of_a_run_that_goes_on_follows_its_own_steps(capsys, clock):
    run(ShowProgress(quiet=False), first=90, max_steps=100)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(", ")[2] for line in lines] == ["about 0:00:18 left", "about 0:00:16 left"]


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    run(ShowProgress(quiet=False))
    out, err = capsys.readouterr()
    assert out == ""
    assert "2/2" in err
    assert "loss 1.250" in err
    assert "step" not in err


def test_nothing_where_quiet(capsys, monkeypatch):
    run(ShowProgress(quiet=True))
    monkeypatch.setenv("FORCE_COLOR", "1")
    run(ShowProgress(quiet=True))
    assert capsys.readouterr() == ("", "")
