"""Which runner a name means, with the Beam flags that it needs; the graphs are the same everywhere."""

import argparse
import atexit
import functools
import gc
import json
import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.options.pipeline_options import (
    DirectOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
)
from apache_beam.runners.runner import PipelineState
from apache_beam.transforms.environments import Environment, SubprocessSDKEnvironment

from pipelines.engines.watched_runner import OnStep, WatchedRunner
from pipelines.options import BEAM_FLAGS, Command, unknown_flag
from pipelines.reporting import worker_error
from schemas.errors import ConfigError, CurationError
from transforms.flow.progress import NAMESPACE

Build = Callable[[beam.Pipeline], None]


class StageDescribed(Exception):
    """A stage's job was described to Dataflow and not started, as the launcher of a Flex Template asks."""


@functools.cache
def _freeze_imports() -> None:
    """Take what imports left behind, for good, out of the garbage collector's sight: going through it again and again
    took a stage half a second.

    It comes back at the end: nanobind, which triton is bound by, calls what is never collected a leak, aloud.
    """
    gc.freeze()
    atexit.register(gc.unfreeze)


def run_pipeline(
    build: Build, command: Command, on_step: OnStep = lambda _: None, name: str | None = None
) -> dict[str, int]:
    """Build and run one stage's graph to its end; gives our counters, by name, as its steps attempted them.

    ``on_step`` hears what is in work, on the direct runner; ``name``: of the job, on Flink's page.

    Raises the worker's own error, in its own words, when it fails, and StageDescribed where the user's flags ask for a
    template and not for a run.
    """
    _freeze_imports()
    check_beam_flags(command.beam_flags)
    options = PipelineOptions(flags_of(command))
    google = options.view_as(GoogleCloudOptions)
    if command.runner == "flink":  # Dataflow refuses a name that another job of the project has
        google.job_name = google.job_name or name
    if command.runner == "direct":
        _refuse_threads(options)
    pipeline = _pipeline(command, options, on_step)
    build(pipeline)
    try:
        result = pipeline.run()
        if google.template_location:
            raise StageDescribed  # to Dataflow, which starts it when this program has ended
        state = result.wait_until_finish()
    except StageDescribed:
        raise
    except Exception as error:
        known = worker_error(error) or _lost_cluster(command)
        if known is None:
            raise
        raise known from error
    if state not in (PipelineState.DONE, None):
        raise RuntimeError(f"the {command.runner} runner ended in state {state}; its log says why")
    return {} if command.runner == "dataflow" else counters_of(result)


def _lost_cluster(command: Command) -> CurationError | None:
    """What to say of a failure that is none of a worker: that the cluster is gone, if it is."""
    own = PipelineOptions(list(command.beam_flags))
    if command.runner != "flink" or own.view_as(PortableOptions).job_endpoint:
        return None
    from pipelines.engines import flink, flink_size

    return flink.lost_cluster(flink_size.flink_master(command))


def counters_of(result: Any) -> dict[str, int]:
    """Our counters of a finished job, added up over its steps."""
    counters: Counter[str] = Counter()
    for found in result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]:
        counters[found.key.metric.name] += found.attempted or 0
    return dict(counters)


def _pipeline(command: Command, options: PipelineOptions, on_step: OnStep) -> beam.Pipeline:
    """An empty pipeline. Raises ConfigError for flags whose values Beam refuses."""
    runner = _runner(command, options, on_step)
    try:
        return beam.Pipeline(runner=runner, options=options)
    except ValueError as error:
        raise ConfigError(f"Beam refuses the flags {' '.join(flags_of(command))}: {error}") from error


def check_beam_flags(flags: Sequence[str]) -> None:
    """Refuse, by Beam's own parsers, what Beam would silently discard. Raises ConfigError."""
    _, unknown = _beam_parser().parse_known_args(list(flags))
    if unknown:
        raise ConfigError(unknown_flag(unknown[0], list(_beam_parser()._option_string_actions)))


def _beam_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for cls in _option_classes(PipelineOptions):
        cls._add_argparse_args(parser)
    return parser


def _option_classes(cls: type[Any]) -> list[type[Any]]:
    found = [] if cls is PipelineOptions else [cls]
    for sub in cls.__subclasses__():
        found += _option_classes(sub)
    return found


def beam_flags() -> dict[str, Any]:
    """The names of all flags that this Beam knows, as ``options.BEAM_FLAGS`` lists them."""
    return {"beam": beam.__version__, "flags": sorted(_beam_parser()._option_string_actions)}


def write_beam_flags() -> None:
    """Write the list anew, after an update of Beam (``make pins``)."""
    BEAM_FLAGS.write_text(json.dumps(beam_flags(), indent=0) + "\n", "utf-8")


def _refuse_threads(options: PipelineOptions) -> None:
    """Refuse several threads of Beam's direct runner: elements get lost between them, without an error.

    Seen with Beam 2.77 on a pipeline that only groups bytes, with two workers: some of 45,000 elements were missing in
    three of six runs, and a run of ours met garbage instead of an element.
    """
    direct = options.view_as(DirectOptions)
    if direct.direct_num_workers != 1 and direct.direct_running_mode == "multi_threading":
        raise ConfigError(
            "--direct_running_mode=multi_threading with several workers: Beam's direct runner loses rows between its "
            "threads; use --workers=n, which runs processes (one process uses several cores by itself)"
        )


def flags_of(command: Command) -> list[str]:
    """Beam flags of a runner's name, before the user's own, which win."""
    return [*_DEFAULTS[command.runner](command), *command.beam_flags]


def _direct(command: Command) -> list[str]:
    if command.workers == 1:
        return []
    return ["--direct_running_mode=multi_processing", f"--direct_num_workers={command.workers}"]


def _flink(command: Command) -> list[str]:
    """The local cluster's flags, or those of a cluster that the user's own flags name: its job server by
    ``--job_endpoint``, or itself by ``--flink_master``.
    """
    from pipelines.engines import flink, flink_size

    if PipelineOptions(list(command.beam_flags)).view_as(PortableOptions).job_endpoint:
        return flink.endpoint_options()
    asked = flink_size.asked_parallelism(command)
    if master := flink_size.flink_master(command):
        return flink.master_options(master, command.beam_flags, asked)
    return flink.flink_options(asked)


def _prism(command: Command) -> list[str]:
    from pipelines.engines import prism

    return list(prism.prism_options())


def _dataflow(command: Command) -> list[str]:
    from pipelines.engines import dataflow

    dataflow.check_dataflow(command)
    return dataflow.dataflow_options()


_DEFAULTS: dict[str, Callable[[Command], list[str]]] = {
    "direct": _direct,
    "flink": _flink,
    "prism": _prism,
    "dataflow": _dataflow,
}


def _runner(command: Command, options: PipelineOptions, on_step: OnStep) -> Any:
    """Beam's in-process runner, pinned: ``DirectRunner`` would prefer Prism wherever it can fetch it."""
    if command.runner != "direct":
        return None
    from apache_beam.portability.api import beam_provision_api_pb2
    from apache_beam.runners.portability.fn_api_runner import fn_runner
    from apache_beam.runners.portability.portable_runner import JobServiceHandle

    environment = _quiet_processes(options)
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    info = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    provision = fn_runner.ExtendedProvisionInfo(provision_info=info)
    return WatchedRunner(on_step, environment, provision_info=provision)


def _quiet_processes(options: PipelineOptions) -> Environment | None:
    """Our own entry for worker processes, where several are asked for: Beam would set its own, which logs its start."""
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode != "multi_processing":
        return None
    direct.direct_running_mode = "in_memory"  # Beam's default, under which it takes the environment that it is given
    # The shell that Beam starts it in becomes the worker, which therefore is our child and ends with us. Of several
    # processes each runs a compiled loop in one thread, unless told otherwise.
    worker = f"{shlex.quote(sys.executable)} -m pipelines.engines.local_worker --parent={os.getpid()}"
    command = f"NUMBA_NUM_THREADS=${{NUMBA_NUM_THREADS:-1}} exec {worker}"
    return SubprocessSDKEnvironment.from_command_string(command)
