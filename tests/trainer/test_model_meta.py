"""What mteb is told of a model."""

import json

import pytest

from trainer.model_meta import NAME, read_training_datasets, training_datasets, zero_shot_percentage


@pytest.mark.parametrize(
    ("trained_on", "tasks", "share"),
    [
        (["SciFact", "NQ"], ["scifact", "cacm", "stsb-en"], 66),  # as mteb: 100 - 33.3 rounded down
        (["Sci-Fact"], ["SciFact"], 0),
        ([], ["scifact"], 100),
        (None, ["scifact"], None),
        (["SciFact"], [], None),
    ],
)
def test_the_zero_shot_share_is_that_of_mteb(trained_on, tasks, share):
    assert zero_shot_percentage(trained_on, tasks) == share


def test_a_model_has_seen_what_it_began_with_has_seen(tmp_path):
    assert training_datasets("tiny", ["NQ"]) == ["NQ"]
    assert training_datasets(str(tmp_path), ["NQ"]) is None
    (tmp_path / NAME).write_text(json.dumps({"training_datasets": ["SciFact"]}))
    assert training_datasets(str(tmp_path), ["NQ"]) == ["NQ", "SciFact"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"training_datasets": null}'])
def test_a_file_that_says_nothing_is_unknown(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    assert read_training_datasets(tmp_path) is None
