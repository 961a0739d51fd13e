"""Ports of this machine: which are taken, which are free, and waiting until somebody listens."""

import socket
import time
from collections.abc import Callable, Mapping

from pipelines.engines.errors import PortInUseError

HOST = "localhost"
_POLL_S = 0.1


def is_listening(port: int, *, timeout_s: float = 1.0) -> bool:
    """Whether a process on this machine accepts connections at ``port``."""
    try:
        with socket.create_connection((HOST, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def free_ports(num: int) -> list[int]:
    """Distinct ports that nobody uses now, as the system hands them out."""
    sockets = [socket.socket() for _ in range(num)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def check_ports_free(ports: Mapping[str, int]) -> None:
    """Raises ``PortInUseError`` that names every port (by its role) on which somebody else listens."""
    taken = {role: port for role, port in ports.items() if is_listening(port)}
    if not taken:
        return
    listing = ", ".join(f"{port} ({role})" for role, port in sorted(taken.items()))
    options = " ".join(f"--{role}-port" for role in sorted(taken))
    raise PortInUseError(
        f"Another process listens on port {listing}, which the local cluster needs; most likely another cluster or "
        f"another checkout's. Stop it, or choose other ports: {options} (0 takes any free one)."
    )


def wait_until(ready: Callable[[], bool], *, timeout_s: float, alive: Callable[[], bool] = lambda: True) -> bool:
    """Polls until ``ready``; False when ``timeout_s`` seconds pass or ``alive`` no longer holds before that."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if ready():
            return True
        if not alive():
            return False
        time.sleep(_POLL_S)
    return False
