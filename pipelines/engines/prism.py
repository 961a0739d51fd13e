"""Beam's Prism runner: one binary, built with Go, that runs a pipeline on this machine.

kalm prism install
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from pipelines.engines.errors import EngineError, MissingToolError
from pipelines.engines.flink_install import run_logged
from pipelines.engines.home import EnginesHome, engines_home

PRISM_VERSION = "2.77.0"

_MODULE = "github.com/apache/beam/sdks/v2/go/cmd/prism"


def prism_binary(home: EnginesHome) -> Path:
    """Where the binary of this version stands, if it was installed."""
    return home.dist / f"prism-{PRISM_VERSION}"


def install() -> Path:
    """Builds the binary unless it is there, and returns its path.

    Raises ``MissingToolError`` where there is no Go, and ``EngineError`` with the end of Go's output where it fails.
    """
    home = engines_home()
    if not prism_binary(home).is_file():
        go = find_go()
        print(f"Building Prism {PRISM_VERSION} (a minute or two) ...", flush=True)
        _build(home, go)
    return prism_binary(home)


def find_go() -> str:
    """The ``go`` of ``PATH``. Raises ``MissingToolError``."""
    go = shutil.which("go")
    if go is None:
        raise MissingToolError(
            "Building the Prism runner needs Go, but there is no `go` on PATH. Install it (https://go.dev/dl), or put "
            f"a prism {PRISM_VERSION} binary at {prism_binary(engines_home())}."
        )
    return go


def _build(home: EnginesHome, go: str) -> None:
    home.dist.mkdir(parents=True, exist_ok=True)
    log = home.dist / "install-prism.log"
    with tempfile.TemporaryDirectory(dir=home.dist) as scratch:
        run_logged([go, "install", "-ldflags=-s -w", f"{_MODULE}@v{PRISM_VERSION}"], log, env={"GOBIN": scratch})
        (Path(scratch) / "prism").rename(prism_binary(home))


def prism_options() -> list[str]:
    """Beam's flags for a run on Prism. Raises ``EngineError`` where the binary is missing."""
    binary = prism_binary(engines_home())
    if not binary.is_file():
        raise EngineError(f"There is no Prism runner at {binary}: build it with `make prism` (needs Go).")
    return ["--runner=PrismRunner", f"--prism_location={binary}", "--environment_type=LOOPBACK"]


def main(argv: list[str] | None = None) -> int:
    """Runs a command; returns its exit code (errors: see ``pipelines.engines.errors``)."""
    parser = argparse.ArgumentParser(prog="kalm prism", description="Beam's Prism runner.")
    parser.add_argument("command", choices=["install"])
    parser.parse_args(argv)
    try:
        print(f"Prism {PRISM_VERSION} is at {install()}.")
    except EngineError as error:
        print(error.message, file=sys.stderr)
        return error.exit_code
    return 0
