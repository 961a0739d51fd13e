"""Commands in the README and the documents do what is said there.

A line whose comment says what it ``needs`` is left out, and a block that begins with such a comment. Each page's lines
run one after the other in a folder that has what they name: a mirror, collections, ``curation.yaml`` and the result of
a small run. What takes minutes is cut short: curate only looks (``DRY_RUN=1``), train takes two steps.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from transforms.sources.opening import SAMPLE_ROOT

ROOT = Path(__file__).parents[2]
#: Targets that fill the environment or are CI itself: that they are there is looked at, not done.
_ONLY_LOOKED_AT = {"setup", "check", "test"}
_SHORT = {
    "curate": ("DRY_RUN=1", "--dry_run"),
    "train": ("--max_steps=2", "--checkpoint_steps=1", "--batch_size=4"),
}


def commands(page: Path) -> list[str]:
    """The lines of a page's blocks of shell, in order, without those whose comment says what they need."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    runnable = [block for block in blocks if not block.startswith("# needs")]
    lines = [line for block in runnable for line in block.splitlines() if line and not line.startswith("#")]
    return [line for line in lines if "needs" not in line.partition("  #")[2]]


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_COMMANDS = [page for page in PAGES if commands(page)]


def made_short(line: str) -> list[str]:
    """A line as this environment runs it, with what cuts it short."""
    words = shlex.split(line, comments=True)
    if words[0] == "kalm":
        verb, rest = words[1], words[2:]
        return [sys.executable, "-m", "pipelines", verb, *rest, *_SHORT.get(verb, ())[-1:]]
    assert words[0] == "make", f"neither make nor kalm: {line}; say what it needs, or run it here"
    targets = [word for word in words[1:] if "=" not in word]
    given = [word for word in words[1:] if "=" in word and not word.startswith("ARGS=")]
    arguments = [word.removeprefix("ARGS=") for word in words[1:] if word.startswith("ARGS=")]
    if targets == ["curate"]:
        given.append(_SHORT["curate"][0])
    if targets == ["train"]:
        arguments += _SHORT["train"]
    looking = ["-n"] if set(targets) & _ONLY_LOOKED_AT else []
    environment = [f"VENV={sys.prefix}", "-o", f"{sys.prefix}/.ready"]
    return [
        "make",
        "-f",
        str(ROOT / "Makefile"),
        *environment,
        *looking,
        *targets,
        *given,
        f"ARGS={' '.join(arguments)}",
    ]


@pytest.fixture
def folder(tmp_path: Path, small_out: Path) -> Path:
    """Where the lines of a page run."""
    run = tmp_path / "run"
    shutil.copytree(SAMPLE_ROOT, run / "path" / "to" / "mirror")
    shutil.copytree(SAMPLE_ROOT / "eval", run / "path" / "to" / "collections")
    for name in ("scifact", "stsb-en"):
        shutil.copytree(SAMPLE_ROOT / "eval" / "sample-en", tmp_path / "eval" / name)
    shutil.copytree(small_out, run / "out")
    (run / "curation.yaml").write_text("category: retrieval\n", "utf-8")
    return run


def test_there_are_commands() -> None:
    names = {page.name for page in WITH_COMMANDS}
    assert names >= {"README.md", "CONTRIBUTING.md", "configuration.md", "evaluation.md", "pipelines.md", "training.md"}


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page: Path, folder: Path) -> None:
    for line in commands(page):
        ran = subprocess.run(
            ["bash", "-c", shlex.join(made_short(line)) if "*" not in line or "'" in line else _with_globs(line)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{line}\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}"


def _with_globs(line: str) -> str:
    """As ``made_short``, with the globs left to the shell."""
    return " ".join(word if "*" in word else shlex.quote(word) for word in made_short(line))


def test_a_line_that_does_not_run_is_told(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\nmake curate CATEGORY=x  # all of it\nmake evaluate MTEB=y  # needs the hub\nkalm soup\n```\n"
        "```sh\n# needs a cluster\nkubectl apply\n```\n",
        "utf-8",
    )
    assert commands(page) == ["make curate CATEGORY=x  # all of it", "kalm soup"]
    with pytest.raises(AssertionError, match="neither make nor kalm: ls"):
        made_short("ls")
