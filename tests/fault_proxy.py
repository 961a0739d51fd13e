"""A proxy before a store's server that fails as networks and stores do: errors, throttling, bodies cut off or stalled.

Answers are forwarded as they come; a fault replaces the answer to a request, or loses it after the store did the work.
"""

import http.client
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_INTERNAL = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
_BODIES = {500: _INTERNAL, 503: _SLOW_DOWN, 429: b'{"error": {"code": 429, "message": "rate limit"}}'}
#: Kinds of faults: a status, which the store never hears of; an answer lost after the work; a body cut off, or stalled.
LOST, CUT, STALLED = "lost", "cut", "stalled"
Kind = int | str


@dataclass
class Fault:
    """What happens to requests: to the first ``times`` that fit, or to every ``every``-th of them."""

    kind: Kind
    methods: str = "GET|PUT|POST|HEAD|DELETE"
    path: str = ""
    times: int | None = None
    every: int = 1
    _seen: Iterator[int] = field(default_factory=lambda: count(1))
    _hits: Iterator[int] = field(default_factory=lambda: count(1))

    def hits(self, method: str, path: str) -> bool:
        """Whether a request is to fail, which is counted."""
        if not re.fullmatch(self.methods, method) or not re.search(self.path, path):
            return False
        return next(self._seen) % self.every == 0 and (self.times is None or next(self._hits) <= self.times)


class FaultProxy:
    """The proxy: ``faults`` may be changed at any time, ``met`` counts those that happened, by kind.

    ``after``: called after each request that reached the store with its method and path.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream.removeprefix("http://")
        self.faults: list[Fault] = []
        self.met: Counter[Kind] = Counter()
        self.after: Callable[[str, str], object] = lambda method, path: None
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            """Requests of this proxy."""

        Handler.proxy = proxy
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator["FaultProxy"]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def fault_of(self, method: str, path: str) -> Kind | None:
        """What is to happen to a request."""
        with self._lock:
            found = next((fault.kind for fault in self.faults if fault.hits(method, path)), None)
            if found is not None:
                self.met[found] += 1
            return found


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultProxy
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.proxy.fault_of(self.command, self.path)
        if isinstance(fault, int):
            self._answer(fault, {"Content-Type": "application/xml"}, _BODIES.get(fault, b""))
            return
        status, headers, data = self._forward(body)
        self.proxy.after(self.command, self.path)
        if fault == LOST:
            self._answer(500, {"Content-Type": "application/xml"}, _INTERNAL)
        elif fault in (CUT, STALLED):
            self._answer(status, headers, data, sent=len(data) // 2, stalled=fault == STALLED)
        else:
            self._answer(status, headers, data)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.proxy.upstream, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
        if self.command == "HEAD":  # says how long the body would be
            kept["Content-Length"] = answer.getheader("Content-Length") or "0"
        connection.close()
        return answer.status, kept, data

    def _answer(
        self, status: int, headers: dict[str, str], data: bytes, sent: int | None = None, stalled: bool = False
    ) -> None:
        self.send_response_only(status)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = sent is not None
        try:
            self.wfile.write(b"" if self.command == "HEAD" else data[:sent])
            if stalled:
                self.wfile.flush()
                time.sleep(4)
        except OSError:
            pass  # who asked does not wait any more
