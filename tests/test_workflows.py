"""Workflows call only what there is; actionlint finds nothing wrong in them, where it is installed."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.command import VERBS
from schemas.config import RunConfig

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DOCUMENT = (ROOT / "docs" / "ci.md").read_text("utf-8")
#: The YAML of the document: a configuration, and GitLab's file.
CONFIG, GITLAB = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", DOCUMENT, flags=re.DOTALL))


def texts(value: Any) -> list[str]:
    """All texts in a YAML value."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts(inner)]
    return [text for inner in value for text in texts(inner)] if isinstance(value, list) else [str(value)]


def scripts() -> list[tuple[str, str]]:
    """Each file's commands, and those of GitLab's example."""
    found = [(path.name, texts(yaml.safe_load(path.read_text("utf-8")))) for path in WORKFLOWS]
    return [(name, "\n".join(lines)) for name, lines in [*found, ("gitlab", texts(GITLAB))]]


@pytest.mark.parametrize(("name", "script"), scripts(), ids=lambda value: value if len(value) < 20 else "")
def test_targets_and_verbs_are_there(name: str, script: str) -> None:
    rules = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    targets = set(re.findall(r"\bmake ([a-z][a-z-]*)", script))
    assert targets
    assert targets <= rules
    assert set(re.findall(r"bin/kalm ([a-z-]+)", script)) <= VERBS.keys()


def test_every_change_goes_through_what_ci_runs() -> None:
    ours = re.findall(r"^time make ([a-z-]+)", (ROOT / ".ci" / "run").read_text("utf-8"), flags=re.MULTILINE)
    github = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))["jobs"]["ci"]["strategy"]
    for targets in (github["matrix"]["target"], GITLAB["ci"]["parallel"]["matrix"][0]["TARGET"]):
        assert set(targets) == set(ours) - {"setup", "test-flink"}


def test_nothing_of_an_event_is_put_into_a_script() -> None:
    for path in WORKFLOWS:
        for job in yaml.safe_load(path.read_text("utf-8"))["jobs"].values():
            assert [step["run"] for step in job["steps"] if "${{" in step.get("run", "")] == []


def test_the_shown_configuration_is_one() -> None:
    assert CONFIG.keys() <= RunConfig.model_fields.keys()
    RunConfig.model_validate(CONFIG)


def test_actionlint_finds_nothing() -> None:
    if shutil.which("actionlint") is None:
        pytest.skip("actionlint is not on PATH (go install github.com/rhysd/actionlint/cmd/actionlint@latest)")
    run = subprocess.run(["actionlint", *map(str, WORKFLOWS)], capture_output=True, text=True, check=False)
    assert run.stdout + run.stderr == ""
