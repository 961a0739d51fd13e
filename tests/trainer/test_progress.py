import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from trainer.progress import ShowProgress


def run(progress: ShowProgress) -> None:
    state = TrainerState(max_steps=2)
    told = (TrainingArguments(output_dir="unused"), state, TrainerControl())
    with progress:
        for step, loss in ((1, 2.5), (2, 1.25)):
            state.global_step = step
            progress.on_step_end(*told)
            progress.on_log(*told, logs={"loss": loss})
        progress.on_log(*told, logs={"train_runtime": 3.0})


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def test_lines_without_a_terminal(capsys):
    progress = ShowProgress(quiet=False)
    run(progress)
    assert capsys.readouterr() == ("", "step 1/2, loss 2.500\nstep 2/2, loss 1.250\n")
    assert progress.losses == [2.5, 1.25]


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
