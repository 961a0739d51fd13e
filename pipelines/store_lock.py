"""The lock of a folder in an object store, where the system's own locks end: an object that says who holds it.

It is written only where no other run's is (``conditional_put``), renewed while the run is at work, and says so when
the run is over. A run that died renews nothing: its lock lapses, and the next one takes it over. Whether it lapsed is
told by the store's own clock, so that machines need not agree on the time.
"""

import getpass
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipelines.conditional_put import ConditionalObject, Conflict, Found
from schemas.errors import OutputError
from transforms.flow.files import publish


@dataclass(frozen=True, kw_only=True)
class LeaseParams:
    """How long a lock holds without being renewed.

    ``lapse``: seconds since the last renewal after which others may take it over. ``renewal``: seconds between two
    renewals. ``margin``: the holder counts its lock as lost so many seconds before others may have it.
    """

    lapse: float = 120.0
    renewal: float = 20.0
    margin: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.renewal < self.lapse - self.margin < self.lapse:
            raise ValueError(f"a lease needs 0 < renewal < lapse - margin < lapse; got {self}")


LEASE = LeaseParams()
#: Seconds that the end of a run waits for a renewal that is under way.
_PATIENCE = 5.0
_CHOICES = "wait for it, or choose another place with OUT=<folder>"


def _identity() -> dict[str, Any]:
    """Who holds a lock: for a person, and so that a run on the same machine knows whether it is still there."""
    me = psutil.Process()
    return {
        "host": socket.gethostname(),
        "user": _user(),
        "process": me.pid,
        "started": me.create_time(),
        "machine": _machine(),
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())


def _machine() -> str | None:
    """The running system and its view of processes; None where that cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _has_ended(holder: Mapping[str, Any]) -> bool:
    """Whether the run is known to be over: it was a process of this machine, and there is none such any more."""
    if holder.get("machine") is None or holder["machine"] != _machine():
        return False
    try:
        return bool(abs(psutil.Process(holder["process"]).create_time() - holder["started"]) > 1)
    except psutil.NoSuchProcess:
        return True


class StoreLock:
    """The lock of one folder. ``what``: the place that a person knows it as."""

    def __init__(self, folder: str, what: str, lease: LeaseParams = LEASE) -> None:
        self._object, self._what, self._lease = ConditionalObject(f"{folder}/.lock"), what, lease
        self._clock = f"{folder}/.clock"
        self._token = uuid.uuid4().hex
        self._version: str | None = None
        self._renewed, self._renewals = 0.0, 0
        self._lost: str | None = None
        self._over = threading.Event()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock and renew it. Raises OutputError, which names the holder, while another run has it."""
        self._acquire()
        heart = threading.Thread(target=self._beat, name="lock", daemon=True)
        heart.start()
        try:
            yield
        finally:
            self._over.set()
            heart.join(_PATIENCE)
            if not heart.is_alive():  # else it is still asking a store that does not answer, which would not answer us
                self._release()

    def check(self) -> None:
        """Raise OutputError unless the lock is still this run's: before anything that another run must not meet."""
        silent = time.monotonic() - self._renewed
        if self._lost is None and silent > self._lease.lapse - self._lease.margin:
            self._lost = f"it could not be renewed for {silent:.0f} seconds"
        if self._lost is not None:
            raise OutputError(
                f"this run does not hold {self._what} any more: {self._lost}. It stops before it touches what may be "
                "another run's; when no other is at work there, start again with the same command: what is made is kept"
            )

    def _acquire(self) -> None:
        for _ in range(3):
            found = self._object.find()
            if found is not None and not self._is_free(found):
                raise OutputError(self._refusal(found))
            if self._try_put(None if found is None else found.version):
                return
        raise OutputError(f"another run takes {self._what} at this moment; {_CHOICES}")

    def _is_free(self, found: Found) -> bool:
        state = _state(found.data)
        return bool(state.get("over")) or _has_ended(state) or self._age(found) > self._lease.lapse

    def _age(self, found: Found) -> float:
        """Seconds since a lock was renewed, by the clock of the store, which is asked by writing to it."""
        publish(self._clock, self._token.encode())
        now = ConditionalObject(self._clock).find()
        return 0.0 if now is None else (now.modified - found.modified).total_seconds()

    def _refusal(self, found: Found) -> str:
        state, age = _state(found.data), max(0.0, self._age(found))
        process, user, host, since = (state.get(key) for key in ("process", "user", "host", "since"))
        return (
            f"another run is at work in {self._what}: process {process} of {user} on {host}, since {since}, last heard "
            f"of {age:.0f} seconds ago; {_CHOICES}. If it was killed, its lock lapses in {self._lease.lapse - age:.0f} "
            "seconds, and the same command then takes over"
        )

    def _try_put(self, version: str | None, over: bool = False) -> bool:
        """Write the lock where it is in a version; whether it is then ours.

        A write whose answer was lost leaves a version that we do not know of: with our token in it, it is no other's.
        """
        asked, self._renewals = time.monotonic(), self._renewals + 1
        data = json.dumps(self._content(over), indent=1).encode()
        try:
            self._version = self._object.put(data, version)
        except Conflict:
            found = self._object.find()
            if found is None or _state(found.data).get("token") != self._token:
                return False
            self._version = found.version if found.data == data else self._object.put(data, found.version)
        self._renewed = asked
        return True

    def _content(self, over: bool) -> dict[str, Any]:
        """Each time other bytes, so that no two versions look alike."""
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(psutil.Process().create_time()))
        return _identity() | {"since": since, "token": self._token, "renewals": self._renewals, "over": over}

    def _beat(self) -> None:
        while not self._over.wait(self._lease.renewal):
            with suppress(OutputError, Conflict):  # ``check`` sees when a store did not answer for too long
                if not self._try_put(self._version):
                    self._lost = "another run took it over, as this one was not heard of for too long"
                    return

    def _release(self) -> None:
        """Say that the run is over. What cannot be said is not needed: the lock lapses."""
        if self._lost is None:
            with suppress(OutputError, Conflict):
                self._try_put(self._version, over=True)


def _state(data: bytes) -> Mapping[str, Any]:
    try:
        state = json.loads(data)
    except ValueError:
        return {}
    return state if isinstance(state, dict) else {}
