"""Object stores that run here: moto for ``s3://``, fake-gcs-server for ``gs://``, each behind a proxy that can fail.

moto comes with the extra ``dev``; fake-gcs-server is a Go program that is looked for on the PATH:
``go install github.com/fsouza/fake-gcs-server@latest``.
"""

import asyncio
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from urllib.error import HTTPError

import fsspec
import pytest

import schemas.filesystems
from tests.fault_proxy import FaultProxy
from transforms.flow import stores
from transforms.flow.params import RetryParams

BUCKET = "kalm-tests"
_FAKE_GCS = shutil.which("fake-gcs-server") or shutil.which(str(Path.home() / "go" / "bin" / "fake-gcs-server"))
NAMES = ("s3", "gs")


@dataclass(frozen=True)
class Store:
    """A store's bucket, the proxy before it, and the store itself without the proxy."""

    name: str
    proxy: FaultProxy
    direct: str

    def place(self, path: str) -> str:
        """The URL of a path in the bucket."""
        return f"{self.name}://{BUCKET}/{path}"

    def files(self, folder: str) -> dict[str, bytes]:
        """What lies below a folder of the bucket by path in it, asked past the proxy."""
        filesystem, root = self.beside(), f"{BUCKET}/{folder}"
        return {path.removeprefix(f"{root}/"): filesystem.cat_file(path) for path in filesystem.find(root)}

    def beside(self) -> fsspec.AbstractFileSystem:
        """The store as another program sees it, past the proxy and without anything remembered."""
        if self.name == "s3":
            return fsspec.filesystem("s3", endpoint_url=self.direct, use_listings_cache=False)
        return fsspec.filesystem("gs", endpoint_url=self.direct, token="anon", use_listings_cache=False)


def require(name: str) -> None:
    """Skip the test, with the reason, where a store's packages or its server are not installed."""
    lacking = {
        "s3": [package for package in ("s3fs", "moto", "boto3", "flask") if find_spec(package) is None],
        "gs": [*([] if find_spec("gcsfs") else ["gcsfs"]), *([] if _FAKE_GCS else ["fake-gcs-server on PATH"])],
    }[name]
    if lacking:
        pytest.skip(f"{name}:// needs {', '.join(lacking)}")


@contextmanager
def running_store(name: str) -> Iterator[Store]:
    """A store with an empty bucket, and the environment by which libraries find it; skips where it cannot be had."""
    require(name)
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(_command(name, port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(process, url)
        with FaultProxy(url).running() as proxy, pytest.MonkeyPatch.context() as patch:
            for variable, value in _environment(name, proxy.url).items():
                patch.setenv(variable, value)
            forget()
            _make_bucket(name, url)
            yield Store(name, proxy, url)
    finally:
        process.kill()
        process.wait()
        forget()


def _command(name: str, port: int) -> list[str]:
    if name == "s3":
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    where = ["-host", "127.0.0.1", "-port", str(port), "-external-url", f"http://127.0.0.1:{port}"]
    return [str(_FAKE_GCS), "-scheme", "http", "-backend", "memory", *where]


def _environment(name: str, url: str) -> dict[str, str]:
    if name == "s3":
        keys = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_DEFAULT_REGION": "us-east-1"}
        return {"AWS_ENDPOINT_URL": url, "AWS_MAX_ATTEMPTS": "4", **keys}
    return {"STORAGE_EMULATOR_HOST": url, "FSSPEC_GS_TOKEN": "anon"}


def _make_bucket(name: str, url: str) -> None:
    data = b'{"name": "%s"}' % BUCKET.encode()
    where, method = (f"{url}/{BUCKET}", "PUT") if name == "s3" else (f"{url}/storage/v1/b?project=tests", "POST")
    request = urllib.request.Request(where, None if name == "s3" else data, method=method)
    with urllib.request.urlopen(request, timeout=30):
        pass


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        try:
            urllib.request.urlopen(url, timeout=10).close()
            return
        except HTTPError:  # it answers
            return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"{process.args!r} does not answer at {url}")


def forget() -> None:
    """Let fsspec make its filesystems anew: they hold the endpoint of the environment in which they were made."""
    fsspec.config.conf.clear()
    fsspec.config.set_conf_env(fsspec.config.conf)
    for protocol, package in (("s3", "s3fs"), ("gs", "gcsfs")):
        if package in sys.modules:
            fsspec.get_filesystem_class(protocol).clear_instance_cache()


def copy_in(store: Store, folder: Path, path: str) -> str:
    """A local folder below a path of the bucket; gives its URL."""
    filesystem = store.beside()
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        filesystem.pipe_file(f"{BUCKET}/{path}/{file.relative_to(folder)}", file.read_bytes())
    return store.place(path)


@pytest.fixture(scope="module", params=NAMES)
def any_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Each kind of store in turn; a module's tests keep to folders of their own."""
    with running_store(request.param) as store:
        yield store


@pytest.fixture
def store(any_store: Store) -> Iterator[Store]:
    """A store without faults, and clients that know nothing of the test before."""
    forget()
    yield any_store
    any_store.proxy.faults.clear()
    any_store.proxy.met.clear()
    any_store.proxy.after = lambda method, path: None


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    """Clients that count a second of silence as a failure, pause shortly, and soon give up."""
    monkeypatch.setattr(schemas.filesystems, "_SILENCE", 1)
    monkeypatch.setattr(stores, "RETRY", RetryParams(attempts=2, first_wait=0.01))
    if store.name == "s3":
        monkeypatch.setattr("s3fs.S3FileSystem.read_timeout", 1)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    else:  # it waits for half a minute in all
        monkeypatch.setattr("gcsfs.retry.asyncio", SimpleNamespace(sleep=lambda _: asyncio.sleep(0.01)))
    forget()
