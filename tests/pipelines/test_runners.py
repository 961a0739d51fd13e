"""Runners: the flags of each, the user's own that win, and a worker's error found in whatever a runner makes of it."""

import http.server
import json
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import (
    DirectOptions,
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)

from pipelines.engines.errors import EngineError, MissingToolError
from pipelines.engines.flink_install import job_server_jar
from pipelines.engines.home import HOME_VARIABLE, engines_home
from pipelines.options import Command, parse
from pipelines.reporting import worker_error
from pipelines.runners import flags_of, run_pipeline
from schemas.errors import (
    BalanceError,
    CatalogError,
    ConfigError,
    CurationError,
    OutputError,
    SourceError,
)

KINDS = [ConfigError, CatalogError, SourceError, OutputError, BalanceError]
FlinkAt = Callable[[str], str]
WORDS = "catalog/x.yaml:3: no column 'q'\nthere are: a, b"


@pytest.fixture
def flink_at() -> Iterator[FlinkAt]:
    """Starts a server that names its version as Flink's REST interface does, and gives its address."""
    servers: list[http.server.HTTPServer] = []

    def start(version: str) -> str:
        class Config(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/config" else 404)
                self.end_headers()
                self.wfile.write(json.dumps({"flink-version": version}).encode())

            def log_message(self, *_: Any) -> None:
                pass

        servers.append(http.server.HTTPServer(("localhost", 0), Config))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"localhost:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_direct_runner_needs_no_flags_until_there_are_several_workers() -> None:
    assert flags_of(parse([])) == []
    options = PipelineOptions(flags_of(parse(["--workers=3"]))).view_as(DirectOptions)
    assert (options.direct_running_mode, options.direct_num_workers) == ("multi_processing", 3)


def test_the_users_own_flags_win() -> None:
    flags = flags_of(parse(["--workers=3", "--direct_num_workers=5", "--direct_running_mode=multi_threading"]))
    options = PipelineOptions(flags).view_as(DirectOptions)
    assert (options.direct_running_mode, options.direct_num_workers) == ("multi_threading", 5)


def test_threads_of_the_direct_runner_are_refused() -> None:
    flags = ["--direct_running_mode=multi_threading", "--direct_num_workers=2"]
    with pytest.raises(ConfigError, match="loses rows between its threads; use --workers=n"):
        run_pipeline(lambda pipeline: None, parse(flags))


@pytest.mark.parametrize("runner", ["flink", "prism"])
def test_an_engine_that_is_not_there_is_named_with_the_remedy(
    runner: str, tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    with pytest.raises(EngineError, match=r"`?make (flink-up|prism)"):
        flags_of(parse([f"--runner={runner}"]))


def test_a_flink_cluster_of_the_users_own_gets_its_workers_as_the_users_flags_say(flink_at: FlinkAt) -> None:
    master = flink_at("1.19.3")
    jar = f"--flink_job_server_jar={__file__}"
    given = ["--runner=flink", f"--flink_master={master}", jar]
    beside = PipelineOptions(flags_of(parse([*given, "--workers=3"])))
    assert beside.view_as(StandardOptions).runner == "FlinkRunner"
    assert beside.view_as(FlinkRunnerOptions).flink_master == master
    assert beside.view_as(FlinkRunnerOptions).parallelism == 3
    portable = beside.view_as(PortableOptions)
    assert (portable.environment_type, portable.environment_config) == ("EXTERNAL", "localhost:50000")

    process = PipelineOptions(flags_of(parse([*given, "--environment_type=PROCESS", "--parallelism=7"])))
    portable = process.view_as(PortableOptions)
    assert (portable.environment_type, portable.environment_config) == ("PROCESS", None)
    assert process.view_as(FlinkRunnerOptions).parallelism == 7


def test_a_cluster_that_does_not_answer_or_that_no_job_server_fits_is_told_at_once(flink_at: FlinkAt) -> None:
    with pytest.raises(EngineError, match=r"No Flink answers at http://localhost:1/config.*8081"):
        flags_of(parse(["--runner=flink", "--flink_master=localhost:1"]))
    with pytest.raises(EngineError, match=r"runs Flink 1\.4\.2; this Beam has job servers for .*1\.20.*JOB_SERVER_JAR"):
        flags_of(parse(["--runner=flink", f"--flink_master={flink_at('1.4.2')}"]))


def test_the_job_server_of_this_machine_is_found_where_it_fits_else_beam_fetches_one(
    flink_at: FlinkAt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    jar = job_server_jar(engines_home())
    jar.parent.mkdir(parents=True)
    jar.touch()
    flags = ["--runner=flink", f"--flink_master={flink_at('1.19.1')}"]
    assert PipelineOptions(flags_of(parse(flags))).view_as(FlinkRunnerOptions).flink_job_server_jar == str(jar)

    monkeypatch.setenv("PATH", str(tmp_path))  # no Maven
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.1\"'\n")
    java.chmod(0o755)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    fetched = PipelineOptions(flags_of(parse(["--runner=flink", f"--flink_master={flink_at('1.20.0')}"])))
    assert fetched.view_as(FlinkRunnerOptions).flink_version == "1.20"
    assert fetched.view_as(FlinkRunnerOptions).flink_job_server_jar is None
    java.unlink()
    with pytest.raises(MissingToolError, match="no `java` on PATH"):
        flags_of(parse(["--runner=flink", f"--flink_master={flink_at('1.20.0')}"]))


def test_a_job_server_of_the_users_own_is_sent_jobs_for_workers_beside_its_taskmanagers() -> None:
    flags = flags_of(parse(["--runner=flink", "--job_endpoint=server:8099", "--parallelism=16"]))
    options = PipelineOptions(flags).view_as(PortableOptions)
    assert (options.job_endpoint, options.environment_type) == ("server:8099", "EXTERNAL")
    assert options.environment_config == "localhost:50000"
    assert "--runner=PortableRunner" in flags
    assert flags[-1] == "--parallelism=16"


def _raised(fail: Callable[[], None]) -> BaseException:
    try:
        fail()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("kind", KINDS)
def test_a_workers_error_is_found_in_a_chain_of_exceptions(kind: type[CurationError]) -> None:
    def fail() -> None:
        try:
            try:
                raise kind(WORDS)
            except CurationError as error:
                raise KeyError("bundle 7") from error
        except KeyError:
            raise RuntimeError("the runner gave up")  # noqa: B904

    found = worker_error(_raised(fail))
    assert type(found) is kind
    assert found.message == WORDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_workers_error_is_found_in_a_portable_runners_text(kind: type[CurationError]) -> None:
    text = "".join(traceback.format_exception(kind(WORDS)))
    report = (
        f"Pipeline job-1 failed in state FAILED: java.lang.RuntimeException: Error received from SDK harness: {text}"
    )
    found = worker_error(RuntimeError(f"{report}\n\tat org.apache.beam.runners.Main(Main.java:7)"))
    assert type(found) is kind
    assert found.message == WORDS


def test_an_error_of_somebody_else_is_none_of_ours() -> None:
    assert worker_error(RuntimeError("java.lang.OutOfMemoryError")) is None
    assert worker_error(ValueError()) is None


def _fail_in_our_words(number: int) -> int:
    raise CatalogError(f"{WORDS} ({number})")


def _fail_otherwise(number: int) -> int:
    raise ZeroDivisionError(f"no {number}")


def _build(step: Callable[[int], int]) -> Callable[[beam.Pipeline], None]:
    def build(pipeline: beam.Pipeline) -> None:
        pipeline | beam.Create([3], reshuffle=False).with_output_types(int) | "Step" >> beam.Map(step)

    return build


def _run(step: Callable[[int], int], *flags: str) -> Command:
    command = parse(list(flags))
    run_pipeline(_build(step), command)
    return command


def test_a_stage_runs_to_its_end() -> None:
    assert _run(abs).runner == "direct"


def test_a_stage_that_fails_raises_the_workers_error_in_its_own_words() -> None:
    with pytest.raises(CatalogError) as caught:
        _run(_fail_in_our_words)
    assert caught.value.message == f"{WORDS} (3)"


def test_any_other_failure_comes_as_the_runner_tells_it() -> None:
    with pytest.raises(Exception, match="no 3") as caught:
        _run(_fail_otherwise)
    assert not isinstance(caught.value, CurationError)


@pytest.mark.slow
def test_an_error_of_a_worker_process_comes_in_its_own_words_too() -> None:
    with pytest.raises(CatalogError) as caught:
        _run(_fail_in_our_words, "--workers=2")
    assert caught.value.message == f"{WORDS} (3)"


def _fail_with_its_threads(number: int) -> int:
    raise CatalogError(f"process {os.getpid()}: {os.environ.get('NUMBA_NUM_THREADS')}")


@pytest.mark.slow
@pytest.mark.parametrize(("before", "expected"), [(None, "1"), ("3", "3")])
def test_each_of_several_processes_uses_one_thread_unless_told_otherwise_and_ours_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, before: str | None, expected: str
) -> None:
    # In the process that numba already runs in, another number of threads would be an error of its next compilation.
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    if before is not None:
        monkeypatch.setenv("NUMBA_NUM_THREADS", before)
    with pytest.raises(CatalogError) as caught:
        _run(_fail_with_its_threads, "--workers=2")
    assert caught.value.message.endswith(f": {expected}")
    assert str(os.getpid()) not in caught.value.message
    assert os.environ.get("NUMBA_NUM_THREADS") == before


def test_a_chain_of_errors_that_bites_its_own_tail_comes_to_an_end() -> None:
    error = RuntimeError("no word of ours")
    error.__cause__ = error
    assert worker_error(error) is None


def test_an_error_that_is_not_ours_is_raised_as_it_is() -> None:
    def build(pipeline: beam.Pipeline) -> None:
        _ = pipeline | beam.Create([0]) | beam.Map(lambda n: 1 // n)

    with pytest.raises(ZeroDivisionError) as caught:
        run_pipeline(build, parse([]))
    assert worker_error(caught.value) is None


def test_what_is_in_work_is_heard_of_on_the_direct_runner() -> None:
    heard: list[list[str]] = []

    def build(pipeline: beam.Pipeline) -> None:
        keyed = pipeline | "Numbers" >> beam.Create([(1, 2), (1, 3)])
        keyed | "Together" >> beam.GroupByKey() | "Look" >> beam.Map(repr)

    run_pipeline(build, parse([]), lambda labels: heard.append(list(labels)))
    last = next(labels for labels in heard if "Look" in labels)
    assert any(label.startswith("Numbers/") for labels in heard[: heard.index(last)] for label in labels)
