"""The command ``kalm``: verbs, what is said of a wrong one, and what a verb does not import."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.command import VERBS, main

ROOT = Path(__file__).parents[2]
#: What takes seconds to import, and what only a stage at work needs.
HEAVY = {"apache_beam", "numba", "torch", "faiss", "pandas", "sentence_transformers", "transformers", "langdetect"}

#: What reads files of a source: a run does, also a dry one.
READING = {"pyarrow", "numpy", "fsspec"}


def imported(*words: str) -> tuple[set[str], subprocess.CompletedProcess[str]]:
    """The top-level modules that a command imports, and how it ended."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipelines", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return set(re.findall(r"^import time:.*\|\s+([A-Za-z0-9_]+)$", run.stderr, flags=re.MULTILINE)), run


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["curate", "--help"], 0),
        (["curate", "--categroy=sts"], 2),
        (["curate", "--set", "mning.x=1"], 2),
        (["curate", "--category=nothing"], 2),
        (["catalog", "--category=sts"], 0),
        (["config"], 0),
        (["config", "--config=strict", "--dataset=fever"], 0),
        (["curate", "--category=trecqa", "--dry_run"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_what_a_verb_does_not_need_is_not_imported(words: list[str], code: int) -> None:
    modules, run = imported(*words)
    assert run.returncode == code, run.stderr[-2000:]
    assert "argparse" in modules or words[0].startswith("--")
    assert modules & HEAVY == set()
    if not any(word.startswith("--category") for word in words if words[0] == "curate"):
        assert modules & READING == set()


def test_the_overview_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(re.search(rf"^  {verb} +\w", shown, flags=re.MULTILINE) for verb in VERBS)
    assert main([]) == 2


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    assert f"usage: kalm {verb}" in capsys.readouterr().out


def test_a_wrong_verb_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["curat"]) == 2
    assert "did you mean kalm curate?" in capsys.readouterr().err


def test_flags_in_one_text_are_split_as_by_a_shell_and_come_last(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--args=--set 'limit=7' --set mining.rank_range='[30, 100]'", "config"]) == 0
    shown = capsys.readouterr().out
    assert "limit: 7 " in shown
    assert "rank_range: [30, 100]" in shown
    with pytest.raises(SystemExit):
        main(["--args='", "config"])


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64") or "jemalloc" not in pa.supported_memory_backends(),
    reason="Arrow's allocator is chosen on Linux on x86-64 alone, where Arrow has jemalloc",
)
@pytest.mark.parametrize(("chosen", "used"), [(None, "jemalloc"), ("system", "system")])
def test_arrow_takes_its_buffers_from_jemalloc_unless_the_environment_says_otherwise(
    chosen: str | None, used: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    if chosen:
        environment["ARROW_DEFAULT_MEMORY_POOL"] = chosen
    script = "import pipelines.command, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == used
