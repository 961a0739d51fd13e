"""A run is finished, one thing is damaged, and the same command is given again: the damage is found and said, what is
damaged is made again, and the bytes are those of an undisturbed run.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.curate_command import main
from pipelines.verify import verify
from tests.e2e.running import WORK, curate, flags, manifest_of, published, shard_digests

pytestmark = pytest.mark.slow

#: Groups of rows, and labels.
CATEGORY = "trecqa,banking77"
LIMIT = 20

Damage = Callable[[Path], None]


def flip(path: Path) -> None:
    """One bit of one byte in the middle, as a disk does it."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def other_counts(path: Path) -> None:
    """A manifest that is whole to look at, of which a digit was turned."""
    text = path.read_text()
    assert '"kept": 1' in text
    path.write_text(text.replace('"kept": 1', '"kept": 3', 1))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, teacher: Path) -> Path:
    """OUT of an undisturbed run. Tests copy it and leave it as it is."""
    out = tmp_path_factory.mktemp("finished") / "out"
    curate(out, teacher, CATEGORY, limit=LIMIT)
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


def again(out: Path, teacher: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The same command once more; gives what it said."""
    capsys.readouterr()
    assert main(flags(out, teacher, CATEGORY, limit=LIMIT)) == 0
    return capsys.readouterr().err


def bytes_of(out: Path) -> dict[str, bytes]:
    """Everything below OUT but the manifest."""
    return {str(path.relative_to(out)): path.read_bytes() for path in published(out) if path.name != "manifest.json"}


def first(out: Path, pattern: str) -> Path:
    return min(out.glob(pattern))


#: One of each stage and of each kind of damage; ``tests/pipelines/test_workplace.py`` has all of them without a run.
WORK_FILES = [
    ("prepare-*/kept/*", flip, "damaged: prepare: kept/"),
    ("store/*/*/*", cut, "damaged: vector store: "),
    ("store", remove, "damaged: embed: "),
    ("mine-*/mined/*", empty, "damaged: mine: mined/"),
    ("mine-*/manifest.json", empty, "manifest.json cannot be read"),
    ("pack-*/finetune/*/*/*", flip, "damaged: pack: finetune/"),
    ("pack-*/manifest.json", other_counts, "manifest.json is not what was written"),
]


@pytest.mark.parametrize(
    ("pattern", "damage", "said"),
    WORK_FILES,
    ids=[p for p, *_ in WORK_FILES],
)
def test_what_is_damaged_in_the_work_folder_is_said_and_made_again(
    finished: Path,
    out: Path,
    teacher: Path,
    capsys: pytest.CaptureFixture[str],
    pattern: str,
    damage: Damage,
    said: str,
) -> None:
    damage(first(out / WORK, pattern))
    if not pattern.startswith("pack"):  # what follows from the damaged file is made again too
        for folder in [*(out / WORK).glob("mine-*"), *(out / WORK).glob("pack-*")]:
            if not pattern.startswith("mine") or folder.name.startswith("pack"):
                shutil.rmtree(folder)
    assert said in again(out, teacher, capsys)
    assert bytes_of(out) == bytes_of(finished)
    assert manifest_of(out).datasets == manifest_of(finished).datasets
    assert again(out, teacher, capsys).count("already there") == 4
    assert verify(str(out)) == []


@pytest.mark.parametrize("damage", [flip, cut, remove])
@pytest.mark.parametrize("pattern", ["finetune/*/trecqa/*", "rejections/trecqa/*"])
def test_what_is_damaged_in_out_is_found_and_put_back(
    finished: Path, out: Path, teacher: Path, capsys: pytest.CaptureFixture[str], pattern: str, damage: Damage
) -> None:
    path = first(out, pattern)
    damage(path)
    found = verify(str(out))
    assert found
    assert all(finding.dataset == "trecqa" for finding in found)
    if damage is not remove or "finetune" in pattern:
        assert found[0].path == str(path.relative_to(out))
    errors = again(out, teacher, capsys)
    assert errors.count("already there") == 4
    assert "damaged in OUT: " in errors
    assert bytes_of(out) == bytes_of(finished)
    assert verify(str(out)) == []


def test_a_shard_that_work_and_out_share_is_made_again_in_both(
    finished: Path, out: Path, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = first(out, "finetune/*/trecqa/*")
    packed = next((out / WORK).glob(f"pack-*/{path.relative_to(out)}"))
    packed.unlink()
    packed.hardlink_to(path)
    flip(path)
    errors = again(out, teacher, capsys)
    assert "damaged: pack: " in errors
    assert "damaged in OUT: " in errors
    assert bytes_of(out) == bytes_of(finished)


def test_queries_of_evaluation_sets_are_read_anew(
    finished: Path, out: Path, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = first(out / WORK, "evaluation/*")
    whole = path.read_bytes()
    flip(path)
    again(out, teacher, capsys)
    assert path.read_bytes() == whole
    assert bytes_of(out) == bytes_of(finished)


def test_what_is_somebody_elses_is_left_alone(
    finished: Path, out: Path, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (store,) = (out / WORK / "store").iterdir()
    folder = min(store.iterdir())
    vectors = min(folder.iterdir())
    theirs = [store / "README", store / "back-up" / "x.parquet", folder / "notes.txt", folder / "copy.parquet"]
    theirs += [store.parent / "README", out / WORK / "prepare-copy" / "x", out / "notes" / "x"]
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(vectors, path)
    for stage in ("embed", "mine", "pack"):
        remove(first(out / WORK, f"{stage}-*"))
    again(out, teacher, capsys)
    assert shard_digests(out) == shard_digests(finished)
    assert all(path.read_bytes() == vectors.read_bytes() for path in theirs)
