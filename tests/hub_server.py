"""A server on 127.0.0.1 that speaks as much of the hub's API as ``HfFileSystem`` and ``HfApi.dataset_info`` ask for.

It serves datasets from memory, by commit, and can be told to fail: each ``Fault`` spoils one answer.
"""

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

LARGE_BYTES = 1000


@dataclass(frozen=True)
class Fault:
    """Spoils the next answer to a path that holds ``path``.

    ``status`` answers with that status, ``cut`` closes the connection before the announced length, ``short`` announces
    and sends half of the body, ``drop`` closes the connection without an answer.
    """

    kind: Literal["status", "cut", "short", "drop"]
    path: str = "/resolve/"
    status: int = 503


@dataclass
class Dataset:
    """Files of each commit, branches, and who may see them."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    gated: bool = False

    def commit(self, files: Mapping[str, bytes], branch: str = "main") -> str:
        """Put files on a branch; gives the commit."""
        text = repr(
            [branch, len(self.commits), sorted((path, hashlib.sha1(data).digest()) for path, data in files.items())]
        )
        sha = hashlib.sha1(text.encode()).hexdigest()
        self.commits[sha] = dict(files)
        self.branches[branch] = sha
        return sha


class HubServer:
    """``with HubServer() as hub``: serves ``hub.datasets`` at ``hub.endpoint``; keeps what was asked of it."""

    def __init__(self, page_size: int = 1000, handler: "type[Handler] | None" = None) -> None:
        self.datasets: dict[str, Dataset] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, str | None]] = []
        self.authorizations: set[str | None] = set()
        self.page_size = page_size
        self.lock = threading.Lock()
        self._server = _Server(self, handler or Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, name: str, files: Mapping[str, bytes], branch: str = "main", **fields: Any) -> str:
        """Serve files of a dataset; gives their commit."""
        return self.datasets.setdefault(name, Dataset(**fields)).commit(files, branch)

    def fault_for(self, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.path in path:
                    self.faults.remove(fault)
                    return fault
        return None

    def bytes_asked(self, path: str) -> int:
        """Bytes that were asked for of a file, by its ranges."""
        ranges = [
            re.fullmatch(r"bytes=(\d+)-(\d+)", asked or "") for _, url, asked in self.requests if url.endswith(path)
        ]
        return sum(int(found[2]) + 1 - int(found[1]) for found in ranges if found)


class Answer(Exception):
    """An answer other than the thing that was asked for."""

    def __init__(self, status: int, code: str = "", location: str = "") -> None:
        super().__init__(status)
        self.status = status
        self.headers = {"X-Error-Code": code, "X-Error-Message": code} if code else {}
        if location:
            self.headers["Location"] = location


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: HubServer, handler: "type[Handler]") -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.hub = hub


class Handler(BaseHTTPRequestHandler):
    """Answers what is read of datasets."""

    server: "_Server"
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        with self.server.hub.lock:
            self.server.hub.requests.append((self.command, unquote(url.path), self.headers.get("Range")))
            self.server.hub.authorizations.add(self.headers.get("Authorization"))
        fault = self.server.hub.fault_for(self.path)
        try:
            if fault and fault.kind == "status":
                raise Answer(fault.status)
            status, headers, body = self._answer(url.path, parse_qs(url.query))
        except Answer as answer:
            status, headers, body = answer.status, answer.headers, b""
        self._send(status, headers, body, fault)

    do_HEAD = do_GET

    def _answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, dict[str, str], bytes]:
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/auth-check", path):
            self._dataset(found[1])
            return 200, {}, b"{}"
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
            return self._info(found[1], found[2] or "main")
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/tree/([^/]+)(?:/(.*))?", path):
            return self._tree(found[1], found[2], unquote(found[3] or ""), query)
        if found := re.fullmatch(r"/(?:cdn/)?datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.*)", path):
            return self._file(found[1], found[2], unquote(found[3]), redirect=not path.startswith("/cdn/"))
        raise Answer(404, "EntryNotFound")

    def _dataset(self, name: str, *, listed: bool = False) -> Dataset:
        dataset = self.server.hub.datasets.get(name)
        allowed = dataset and dataset.token in (
            None,
            (self.headers.get("Authorization") or "").removeprefix("Bearer "),
        )
        if dataset is None or not (allowed or dataset.gated):
            raise Answer(404 if dataset is None else 401, "RepoNotFound")
        if dataset.gated and not listed and not (allowed and dataset.token):
            raise Answer(403, "GatedRepo")
        return dataset

    def _files(self, name: str, revision: str, *, listed: bool = False) -> tuple[str, dict[str, bytes]]:
        dataset = self._dataset(name, listed=listed)
        commit = dataset.branches.get(unquote(revision), unquote(revision))
        if commit not in dataset.commits:
            raise Answer(404, "RevisionNotFound")
        return commit, dataset.commits[commit]

    def _info(self, name: str, revision: str) -> tuple[int, dict[str, str], bytes]:
        commit, files = self._files(name, revision, listed=True)
        gated = "manual" if self.server.hub.datasets[name].gated else False
        value = {"id": name, "sha": commit, "gated": gated, "siblings": [{"rfilename": path} for path in files]}
        return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()

    def _tree(
        self, name: str, revision: str, below: str, query: dict[str, list[str]]
    ) -> tuple[int, dict[str, str], bytes]:
        _, files = self._files(name, revision, listed=True)
        entries = _entries(files, below, recursive=query.get("recursive", [""])[0].lower() == "true")
        if not entries and below:
            raise Answer(404, "EntryNotFound")
        start, size = int(query.get("cursor", ["0"])[0]), self.server.hub.page_size
        headers = {"Content-Type": "application/json"}
        if start + size < len(entries):
            rest = "&".join(f"{key}={values[0]}" for key, values in query.items() if key != "cursor")
            next_page = f"{self.server.hub.endpoint}{urlsplit(self.path).path}?{rest}&cursor={start + size}"
            headers["Link"] = f'<{next_page}>; rel="next"'
        return 200, headers, json.dumps(entries[start : start + size]).encode()

    def _file(self, name: str, revision: str, path: str, redirect: bool) -> tuple[int, dict[str, str], bytes]:
        commit, files = self._files(name, revision)
        if path not in files:
            raise Answer(404, "EntryNotFound")
        data = files[path]
        if redirect and len(data) > LARGE_BYTES:  # large files lie elsewhere, as on the hub
            raise Answer(302, location=f"/cdn{self.path}")
        headers = {"X-Repo-Commit": commit, "ETag": f'"{blob_id(data)}"', "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked is None:
            return 200, headers, data
        start, stop = int(asked[1]), min(len(data), int(asked[2]) + 1 if asked[2] else len(data))
        if start >= len(data):
            raise Answer(416)
        return 206, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}, data[start:stop]

    def _send(self, status: int, headers: dict[str, str], body: bytes, fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        if kind == "drop":
            self.close_connection = True
            return
        if kind == "short":
            body = body[: len(body) // 2]
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if kind == "cut" else body)
        self.close_connection = self.close_connection or kind == "cut"


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _entries(files: Mapping[str, bytes], below: str, recursive: bool) -> list[dict[str, Any]]:
    prefix = f"{below}/" if below else ""
    found: dict[str, dict[str, Any]] = {}
    for path, data in sorted(files.items()):
        if not path.startswith(prefix):
            continue
        parts = path[len(prefix) :].split("/")
        for depth in range(1, len(parts) if recursive else 2):
            folder = prefix + "/".join(parts[:depth])
            if depth < len(parts):
                found.setdefault(
                    folder, {"type": "directory", "path": folder, "oid": blob_id(folder.encode()), "size": 0}
                )
        if recursive or len(parts) == 1:
            found[path] = {"type": "file", "path": path, "size": len(data), "oid": blob_id(data)}
            if len(data) > LARGE_BYTES:
                lfs = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
                found[path]["lfs"] = lfs
    return list(found.values())
