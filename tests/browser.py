"""A headless Chromium, driven over a pipe by its own protocol (Chrome DevTools): nothing but Chromium is needed."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe")
_QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


class Page:
    """One page; ``events`` holds everything that the browser told of it."""

    def __init__(self, sink: int, source: int) -> None:
        self._sink, self._source = sink, source
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and give its result; events that come before it are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._sink, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._source, 1 << 20)
            assert data, "the browser is gone"
            self._buffer += data
        first, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        return message

    def open(self, path: Path) -> None:
        """Open a file and wait until it was loaded."""
        self.visit(path.as_uri())

    def visit(self, url: str) -> None:
        """Open an address and wait until it was loaded."""
        before = len(self.happened("Page.loadEventFired"))
        self.send("Page.navigate", url=url)
        while len(self.happened("Page.loadEventFired")) == before:
            self.events.append(self._receive())

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press and release keys, one after the other; a key is named as in the events of a page (``Tab``)."""
        for key in keys:
            facts = {"key": key, "code": key, "windowsVirtualKeyCode": {"Tab": 9, "Enter": 13}[key]}
            text = {"text": "\r"} if key == "Enter" else {}
            self.send("Input.dispatchKeyEvent", type="keyDown", **facts, **text)
            self.send("Input.dispatchKeyEvent", type="keyUp", **facts)

    def picture(self, path: Path) -> None:
        """Write what is seen as PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))

    def happened(self, *methods: str) -> list[dict[str, Any]]:
        """The events of these kinds."""
        return [event["params"] for event in self.events if event["method"] in methods]


def _moved(end: int) -> int:
    """The same end of a pipe, out of the way of 3 and 4, where Chromium has its own."""
    moved = fcntl.fcntl(end, fcntl.F_DUPFD, 10)
    os.close(end)
    return moved


@contextmanager
def chromium(profile: Path, flags: Sequence[str] = ()) -> Iterator[Page]:
    """A browser with a profile of its own, which ends with the block."""
    assert CHROMIUM is not None
    (their_source, sink), (source, their_sink) = os.pipe(), os.pipe()
    to_read, to_write = (_moved(end) for end in (their_source, their_sink))
    command = [CHROMIUM, *_FLAGS, *_QUIET, *flags, f"--user-data-dir={profile}"]
    shell = ["bash", "-c", f'exec "$0" "$@" 3<&{to_read} 4>&{to_write}']
    with subprocess.Popen(
        [*shell, *command], pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        os.close(to_read)
        os.close(to_write)
        try:
            yield Page(sink, source)
        finally:
            os.close(sink)
            os.close(source)
            process.terminate()
            process.wait(timeout=30)
