"""The hub's side of an upload, beside what ``hub_server`` reads: repositories, branches, large files, commits.

Spoken are the endpoints that ``HfApi.create_repo``, ``create_branch``, ``preupload_lfs_files`` and ``create_commit``
ask where Xet is turned off (``HF_HUB_DISABLE_XET``): preupload, the LFS batch and its PUTs, commits as JSON lines.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.hub_server import Answer, Dataset, Handler, HubServer, blob_id

TOKEN, USER = "hf_secret", "me"
#: From this many bytes a file is a large one.
LARGE = 1000
_REPO = r"/api/datasets/([^/]+/[^/]+)"


class UploadServer(HubServer):
    """A hub on which ``USER`` may write. ``objects``: contents of large files by sha256; ``put``: those sent, in order.

    ``failing``: PUTs that are still answered well before every further one is refused with 403; None: all are.
    """

    def __init__(self) -> None:
        super().__init__(handler=_Uploads)
        self.objects: dict[str, bytes] = {}
        self.put: list[str] = []
        self.commits: list[dict[str, Any]] = []
        self.failing: int | None = None

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        """What a branch holds."""
        dataset = self.datasets[name]
        return dataset.commits[dataset.branches[branch]]


@contextmanager
def upload_server() -> Iterator[UploadServer]:
    """A server that runs meanwhile."""
    with UploadServer() as hub:
        assert isinstance(hub, UploadServer)
        yield hub


class _Uploads(Handler):
    @property
    def hub(self) -> UploadServer:
        hub = self.server.hub
        assert isinstance(hub, UploadServer)
        return hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, value = self._posted(unquote(urlsplit(self.path).path), body)
        except Answer as answer:
            self._send(answer.status, answer.headers, b"{}", None)
            return
        self._send(status, {"Content-Type": "application/json"}, json.dumps(value).encode(), None)

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub, oid = self.hub, self.path.rsplit("/", 1)[-1]
        with hub.lock:
            refused = hub.failing is not None and len(hub.put) >= hub.failing
            if not refused:
                assert hashlib.sha256(data).hexdigest() == oid
                hub.objects[oid] = data
                hub.put.append(oid)
        self._send(403 if refused else 200, {}, b"", None)

    def _posted(self, path: str, body: bytes) -> tuple[int, Any]:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Answer(401, "Unauthorized")
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        for pattern, answer in (
            (rf"{_REPO}/branch/(.+)", self._branch),
            (rf"{_REPO}/preupload/(.+)", self._preupload),
            (r"/datasets/([^/]+/[^/]+)\.git(/)info/lfs/objects/batch", self._batch),
            (rf"{_REPO}/commit/(.+)", self._commit),
        ):
            if found := re.fullmatch(pattern, path):
                self._check_writer(found[1])
                return answer(found[1], found[2], body)
        raise Answer(404, "EntryNotFound")

    def _check_writer(self, name: str) -> None:
        if not name.startswith(f"{USER}/"):
            raise Answer(403, "Forbidden")

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        name = f"{asked.get('organization') or USER}/{asked['name']}"
        self._check_writer(name)
        there = name in self.hub.datasets
        if not there:
            self.hub.datasets[name] = Dataset(token=TOKEN if asked.get("visibility") == "private" else None)
            self.hub.datasets[name].commit({".gitattributes": b"*.parquet filter=lfs\n"})
        return 409 if there else 200, {"url": f"{self.hub.endpoint}/datasets/{name}"}

    def _branch(self, name: str, branch: str, _: bytes) -> tuple[int, Any]:
        branches = self.hub.datasets[name].branches
        there = branch in branches
        branches.setdefault(branch, branches["main"])
        return 409 if there else 201, {}

    def _preupload(self, name: str, branch: str, body: bytes) -> tuple[int, Any]:
        there = self.hub.files(name, branch)
        told = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["size"] > LARGE or file["path"].endswith(".parquet") else "regular",
                "shouldIgnore": False,
                "oid": blob_id(there[file["path"]]) if file["path"] in there else None,
            }
            for file in json.loads(body)["files"]
        ]
        return 200, {"files": told}

    def _batch(self, _: str, __: str, body: bytes) -> tuple[int, Any]:
        objects = json.loads(body)["objects"]
        for each in objects:
            if each["oid"] not in self.hub.objects:
                each["actions"] = {"upload": {"href": f"{self.hub.endpoint}/lfs/{each['oid']}"}}
        return 200, {"transfer": "basic", "objects": objects}

    def _commit(self, name: str, branch: str, body: bytes) -> tuple[int, Any]:
        files, lines = dict(self.hub.files(name, branch)), [json.loads(line) for line in body.splitlines()]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        oid = self.hub.datasets[name].commit(files, branch)
        self.hub.commits.append({"branch": branch, "lines": lines})
        url = f"{self.hub.endpoint}/datasets/{name}/commit/{oid}"
        return 200, {"commitUrl": url, "commitOid": oid, "pullRequestUrl": None}
