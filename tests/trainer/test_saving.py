from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize

from schemas.errors import OutputError
from trainer.saving import save_model, staged


def write(folder: Path, name: str) -> None:
    (folder / "modules.json").touch()
    (folder / name).touch()


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_appears_when_the_block_ends_well(tmp_path):
    output = tmp_path / "deep" / "model"
    with staged(output) as folder:
        write(folder, "a")
        assert not output.exists()
        assert folder.parent == output.parent
    assert names(tmp_path) == ["deep/model/a", "deep/model/modules.json"]
    assert not folder.exists()


def test_an_older_model_stays_until_the_new_one_takes_its_place(tmp_path):
    output = tmp_path / "model"
    output.mkdir()
    write(output, "old")
    with staged(output) as folder:
        write(folder, "new")
        assert names(output) == ["modules.json", "old"]
    assert names(tmp_path) == ["model/modules.json", "model/new"]


def test_an_older_model_stays_when_the_block_fails(tmp_path):
    output = tmp_path / "model"
    output.mkdir()
    write(output, "old")

    def fail() -> None:
        with staged(output) as folder:
            write(folder, "new")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert names(tmp_path) == ["model/modules.json", "model/old"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_a_killed_run_left_is_cleared_away(tmp_path):
    for name in (".tmp-model", ".tmp-model-older"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "left")
    (tmp_path / "model").mkdir()
    with staged(tmp_path / "model") as folder:
        write(folder, "new")
    assert names(tmp_path) == ["model/modules.json", "model/new"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_link_keeps_pointing_to_where_the_model_is(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "model").symlink_to(tmp_path / "disk" / "m")
    with staged(tmp_path / "model") as folder:
        write(folder, "new")
    assert names(tmp_path / "disk" / "m") == ["modules.json", "new"]
    assert (tmp_path / "model").is_symlink()


def refuse(output: Path, match: str) -> None:
    with pytest.raises(OutputError, match=match), staged(output):
        pytest.fail("training must not begin")


def test_folders_that_will_not_do_are_refused_before_training(tmp_path):
    (tmp_path / "file").touch()
    refuse(tmp_path / "file", "it is a file")
    refuse(tmp_path / "file" / "model", "cannot write .*--output")
    refuse(tmp_path, r"holds other files \(file\)")
    assert names(tmp_path) == ["file"]


def test_a_model_that_cannot_be_written(tmp_path):
    model = SentenceTransformer(modules=[Normalize()], device="cpu")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        save_model(model, tmp_path / "file" / "model")
    save_model(model, tmp_path / "model")
    assert "modules.json" in names(tmp_path / "model")
