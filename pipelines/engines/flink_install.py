"""Flink and Beam's job server, put into the engines folder where they are missing.

Flink comes from the source archive of ``apache-flink-libraries`` on PyPI, whose ``deps/lib`` holds the jars of a whole
Flink. The job server is built with Maven from ``beam-runners-flink``; job servers 2.63 and later lack some of their
dependencies in Maven Central, and 2.62 runs pipelines of newer Python SDKs.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path

from pipelines.engines.errors import EngineError, MissingToolError, log_tail
from pipelines.engines.flink_config import resource
from pipelines.engines.home import EnginesHome

FLINK_VERSION = "1.19.3"
FLINK_LINE = "1.19"
JOB_SERVER_VERSION = "2.62.0"
JAVA_VERSION = 17

_FLINK_PACKAGE = "apache-flink-libraries"
_DOWNLOAD_LIMIT_S = 1800
# Of all jars only these are needed; the rest is for SQL, tables and connectors.
_WANTED_JAR = re.compile(r"deps/lib/((?:flink-dist|log4j-).*\.jar)$")


def flink_libraries(home: EnginesHome) -> Path:
    """The folder of Flink's jars."""
    return home.dist / f"flink-{FLINK_VERSION}"


def job_server_jar(home: EnginesHome) -> Path:
    return home.dist / f"beam-flink-{FLINK_LINE}-job-server-{JOB_SERVER_VERSION}.jar"


def find_java() -> str:
    """The ``java`` to run: that of ``JAVA_HOME``, else of ``PATH``. Raises ``MissingToolError`` below Java 17."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which(str(Path(home) / "bin" / "java")) if home else shutil.which("java")
    remedy = f"Install a Java {JAVA_VERSION} runtime (Debian: apt-get install openjdk-{JAVA_VERSION}-jre-headless)"
    if java is None:
        where = f"JAVA_HOME={home} holds no bin/java" if home else "there is no `java` on PATH"
        raise MissingToolError(f"Flink needs Java {JAVA_VERSION}, but {where}. {remedy}.")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    version = java_major(said.stderr + said.stdout)
    if version < JAVA_VERSION:
        raise MissingToolError(
            f"Flink needs Java {JAVA_VERSION} here, but {java} is version {version or 'unknown'}. "
            f"{remedy} or let JAVA_HOME name one."
        )
    return java


def java_major(version_text: str) -> int:
    """The major version in what ``java -version`` prints: 17 of ``"17.0.15"``, 8 of ``"1.8.0_402"``; 0 if none."""
    found = re.search(r'version "(?:1\.)?(\d+)', version_text)
    return int(found[1]) if found else 0


def find_maven() -> str:
    """The ``mvn`` of ``PATH``. Raises ``MissingToolError``."""
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingToolError(
            "Building Beam's Flink job server needs Maven, but there is no `mvn` on PATH. Install it "
            "(Debian: apt-get install maven), or put a ready job server at the path that `status` names."
        )
    return maven


def provide_job_server(home: EnginesHome) -> bool:
    """Whether the job server's jar is there, built now where that is possible: Maven is on ``PATH``."""
    if not job_server_jar(home).is_file() and shutil.which("mvn"):
        _make_folders(home)
        _provide_job_server(home)
    return job_server_jar(home).is_file()


def _make_folders(home: EnginesHome) -> None:
    home.dist.mkdir(parents=True, exist_ok=True)
    home.logs.mkdir(parents=True, exist_ok=True)


def _provide_job_server(home: EnginesHome) -> None:
    maven = find_maven()
    print(f"Building Beam's Flink job server {JOB_SERVER_VERSION} ...", file=sys.stderr, flush=True)
    _build_job_server(home, maven)


def install(home: EnginesHome) -> None:
    """Puts what is missing into ``home.dist``; says what it fetches. Nothing half-made is left under a final name."""
    _make_folders(home)
    if not flink_libraries(home).is_dir():
        print(f"Fetching Flink {FLINK_VERSION} (230 MB) ...", file=sys.stderr, flush=True)
        _install_flink(home)
    if not job_server_jar(home).is_file():
        _provide_job_server(home)


def _install_flink(home: EnginesHome) -> None:
    with tempfile.TemporaryDirectory(dir=home.dist) as scratch:
        package = f"{_FLINK_PACKAGE}=={FLINK_VERSION}"
        options = ["--quiet", "--no-deps", "--no-binary", _FLINK_PACKAGE, "--dest", scratch]
        run_logged([*_pip(Path(scratch)), "download", *options, package], home.log("install-flink"))
        (archive,) = Path(scratch).glob("apache*flink*libraries*.tar.gz")
        unpacked = Path(scratch) / "lib"
        unpacked.mkdir()
        unpack_jars(archive, unpacked)
        unpacked.rename(flink_libraries(home))


def unpack_jars(archive: Path, folder: Path) -> list[str]:
    """Writes the jars that a cluster needs from Flink's source archive into ``folder``; returns their names."""
    names = []
    with tarfile.open(archive) as tar:
        for member in tar:
            found = _WANTED_JAR.search(member.name)
            content = tar.extractfile(member) if found else None
            if found and content:
                name = Path(found[1]).name
                with (folder / name).open("wb") as jar:
                    shutil.copyfileobj(content, jar)
                names.append(name)
    if not any(name.startswith("flink-dist") for name in names):
        raise EngineError(f"{archive.name} holds no deps/lib/flink-dist jar; it is not the archive that was expected.")
    return names


def _pip(scratch: Path) -> list[str]:
    """This Python's pip, or that of a passing virtual environment where this one has none (uv makes such)."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    venv.create(scratch / "venv", with_pip=True)
    return [str(scratch / "venv" / "bin" / "python"), "-m", "pip"]


def _build_job_server(home: EnginesHome, maven: str) -> None:
    with tempfile.TemporaryDirectory(dir=home.dist) as scratch:
        pom = Path(scratch) / "pom.xml"
        pom.write_text(resource("job-server.pom.xml"), encoding="utf-8")
        versions = [f"-Dflink.line={FLINK_LINE}", f"-Dbeam.version={JOB_SERVER_VERSION}"]
        command = [maven, "--batch-mode", "--quiet", "--strict-checksums", "--file", str(pom), *versions, "package"]
        run_logged(command, home.log("install-job-server"))
        (Path(scratch) / "target" / "flink-job-server.jar").rename(job_server_jar(home))


def run_logged(command: list[str], log: Path, env: Mapping[str, str] | None = None) -> None:
    """Runs ``command`` with its output in ``log``; raises ``EngineError`` with the log's end where it fails."""
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                timeout=_DOWNLOAD_LIMIT_S,
            )
            failure = f"ended with code {done.returncode}" if done.returncode else ""
        except subprocess.TimeoutExpired:
            failure = f"was still running after {_DOWNLOAD_LIMIT_S} s"
    if failure:
        shown = " ".join(command)
        raise EngineError(f"`{shown}` {failure}. Is its package registry reachable? {log_tail(log)}")
