"""Datasets of one's own, made again and compared with what was kept."""

from pathlib import Path

import pytest

from pipelines.regenerate import main


def config(folder: Path, more: str = "") -> str:
    path = folder / "regenerate.yaml"
    path.write_text(f"source: sample\ncategory: trecqa\n{more}", "utf-8")
    return str(path)


def test_what_was_kept_is_compared_and_a_changed_filter_is_named_as_the_cause(tmp_path, capfd):
    out = f"--out={tmp_path / 'out'}"
    own = f"--config={config(tmp_path)}"
    assert main([own, out]) == 2
    assert "ACCEPT=1" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()  # nothing was made in vain
    assert main([own, out, "--update"]) == 0
    assert (tmp_path / "regenerate.json").is_file()
    assert main([own, out]) == 0
    assert "regenerated: 1 datasets agree" in capfd.readouterr().err
    other = f"--config={config(tmp_path, 'clean: {filters: {min_query_units: 8}}')}"
    assert main([other, out]) == 8
    told = capfd.readouterr().err
    assert "trecqa" in told
    assert "min_query_units" in told
    assert "ACCEPT=1" in told
    assert main([other, out, "--update"]) == 0
    assert main([other, out]) == 0


def test_a_configuration_that_is_not_there_is_told(tmp_path, capfd):
    kept = tmp_path / "kept.json"
    kept.write_text("{}")
    assert main([f"--config={tmp_path / 'none.yaml'}", f"--kept={kept}", f"--out={tmp_path / 'out'}"]) == 2
    assert "none.yaml" in capfd.readouterr().err


@pytest.mark.parametrize("text", ["{}", "[1", "nothing"])
def test_what_was_kept_and_is_no_manifest_is_told(tmp_path, capfd, text):
    (tmp_path / "regenerate.json").write_text(text)
    assert main([f"--config={config(tmp_path)}", f"--out={tmp_path / 'out'}"]) == 2
    assert "regenerate.json" in capfd.readouterr().err
