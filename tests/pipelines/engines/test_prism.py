"""The Prism runner: its absence in words, and its digests where it was installed."""

from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, PrismRunnerOptions

from pipelines.engines import prism
from pipelines.engines.errors import EngineError, MissingToolError
from pipelines.engines.home import HOME_VARIABLE, engines_home
from tests.pipelines.engines.jobs import run_digest_job
from tests.pipelines.engines.test_flink import DIRECT


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))


@pytest.mark.usefixtures("empty_home")
def test_options_without_a_binary_name_the_remedy() -> None:
    with pytest.raises(EngineError, match=r"no Prism runner at .*make prism"):
        prism.prism_options()


@pytest.mark.usefixtures("empty_home")
def test_options_are_understood_by_beam() -> None:
    binary = prism.prism_binary(engines_home())
    binary.parent.mkdir()
    binary.touch()
    options = PipelineOptions(prism.prism_options())
    assert options.view_as(PrismRunnerOptions).prism_location == str(binary)
    assert options.view_as(PortableOptions).environment_type == "LOOPBACK"
    assert prism.install() == binary


@pytest.mark.usefixtures("empty_home")
def test_install_without_go_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert prism.main(["install"]) == MissingToolError.exit_code
    assert "no `go` on PATH" in capsys.readouterr().err


@pytest.mark.usefixtures("empty_home")
def test_a_failing_build_leaves_no_binary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho no proxy; exit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert prism.main(["install"]) == EngineError.exit_code
    assert "no proxy" in capsys.readouterr().err
    assert not prism.prism_binary(engines_home()).exists()


def test_digests_equal_the_direct_runners(tmp_path: Path) -> None:
    if not prism.prism_binary(engines_home()).is_file():
        pytest.skip("the Prism runner is not installed (`make prism`)")
    expected = run_digest_job(DIRECT, tmp_path / "direct")
    assert run_digest_job(prism.prism_options(), tmp_path / "prism") == expected
