"""Locks in real stores of both kinds: one holder at a time, whatever happens to it."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import pipelines.store_lock
from pipelines.conditional_put import ConditionalObject, Conflict
from pipelines.publish import publish_run
from pipelines.store_lock import LeaseParams, StoreLock
from pipelines.workplace import Workplace
from schemas.errors import OutputError
from schemas.manifest import Manifest
from tests.fault_proxy import LOST, Fault
from tests.stores import BUCKET, Store, any_store, store
from transforms.flow import stores
from transforms.flow.params import RetryParams

__all__ = ["any_store", "store"]

ROOT = Path(__file__).parents[2]
#: Three seconds: stores tell times to the second.
SHORT = LeaseParams(lapse=3, renewal=0.3, margin=0.5)
_HOLD = "import sys, time\nfrom pipelines.workplace import Workplace\nwith Workplace(sys.argv[1], None).locked():\n"


@pytest.fixture
def place(store: Store, request: pytest.FixtureRequest) -> str:
    """A folder of the bucket for each test."""
    return store.place(request.node.name.partition("[")[0])


@contextmanager
def _another_process(place: str) -> Iterator[subprocess.Popen[str]]:
    """A run of another process that has the place."""
    code = f"{_HOLD}    print('held', flush=True)\n    time.sleep(100)\n"
    command = [sys.executable, "-c", code, place]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def _as_of_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take this for another machine, which cannot see what processes the others have."""
    monkeypatch.setattr(pipelines.store_lock, "_machine", lambda: "another machine")


def _state(store: Store, place: str) -> dict[str, Any]:
    name = place.removeprefix(f"{store.name}://{BUCKET}/")
    state: dict[str, Any] = json.loads(store.files(name)[".lock"])
    return state


def test_a_second_run_is_told_who_holds_the_place(place: str) -> None:
    with _another_process(place) as process, pytest.raises(OutputError) as caught, Workplace(place, None).locked():
        pass
    assert f"another run is at work in {place}" in caught.value.message
    assert f"process {process.pid} of " in caught.value.message
    assert "its lock lapses in " in caught.value.message


def test_one_of_many_that_come_at_once_gets_it(place: str) -> None:
    start, results = threading.Barrier(6), []

    def come(_: int) -> None:
        start.wait()
        try:
            with StoreLock(place, place).held():
                results.append("held")
                time.sleep(2)
        except OutputError:
            results.append("refused")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(come, range(6)))
    assert sorted(results) == ["held", *["refused"] * 5]


def test_a_place_is_free_when_its_run_is_over(place: str) -> None:
    for _ in range(2):
        with Workplace(place, None).locked(), pytest.raises(OutputError), Workplace(place, None).locked():
            pass
    with pytest.raises(KeyError), Workplace(place, None).locked():
        raise KeyError
    with Workplace(place, None).locked():
        pass


def test_a_run_that_was_killed_on_this_machine_is_followed_at_once(place: str) -> None:
    with _another_process(place) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with Workplace(place, None).locked():
            pass


def test_a_run_that_was_killed_elsewhere_is_followed_when_its_lock_lapsed(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _another_process(place) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        _as_of_elsewhere(monkeypatch)
        folder = f"{place}/.work"
        with pytest.raises(OutputError, match=r"its lock lapses in 1[012]\d seconds"), StoreLock(folder, place).held():
            pass
        time.sleep(SHORT.lapse + 1.1)
        with StoreLock(folder, place, SHORT).held():
            pass


def test_a_run_at_work_keeps_its_place_longer_than_a_lock_lasts(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = StoreLock(place, place, SHORT)
    with lock.held():
        _as_of_elsewhere(monkeypatch)
        for _ in range(3):
            time.sleep(1.5)
            lock.check()
            with pytest.raises(OutputError, match="another run is at work"), StoreLock(place, place, SHORT).held():
                pass


def test_a_run_that_lost_its_place_touches_nothing_more(place: str, store: Store) -> None:
    """It was stopped for longer than its lock lasts, and another one came."""
    lock = StoreLock(place, place, SHORT)
    with lock.held():
        other = ConditionalObject(f"{place}/.lock")
        found = other.find()
        assert found is not None
        taken = json.loads(found.data) | {"token": "another's"}
        while True:
            try:
                other.put(json.dumps(taken).encode(), found.version)
                break
            except Conflict:  # it was renewed in between
                found = other.find()
                assert found is not None
        time.sleep(1)
        with pytest.raises(OutputError, match="another run took it over"):
            lock.check()
        with pytest.raises(OutputError, match="does not hold"):
            publish_run(f"{place}/out", _empty(), {}, {}, check_held=lock.check)
    assert _state(store, place)["token"] == "another's", "the other's lock is left to it"


def _empty() -> Manifest:
    return Manifest(config={}, code="", libraries={})


def test_a_run_that_cannot_renew_stops_before_others_may_come(
    place: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "RETRY", RetryParams(attempts=1))
    lock = StoreLock(place, place, SHORT)
    with lock.held():
        store.proxy.faults = [Fault(403)]
        time.sleep(SHORT.lapse - SHORT.margin + 0.4)
        with pytest.raises(OutputError, match=r"it could not be renewed for [23] seconds"):
            lock.check()


@pytest.mark.parametrize("times", [1, 2])
def test_an_answer_that_got_lost_costs_no_lock(place: str, store: Store, times: int) -> None:
    """The store did write: what is asked again meets the object of its own first try."""
    store.proxy.faults = [Fault(LOST, methods="PUT|POST", path=r"\.lock", times=times)]
    lock = StoreLock(place, place, SHORT)
    with lock.held():
        time.sleep(1)
        lock.check()
        store.proxy.faults = [Fault(LOST, methods="PUT|POST", path=r"\.lock", times=times)]
        time.sleep(1)
        lock.check()
    assert _state(store, place)["over"]


def test_conditional_writes_meet_no_other_version(place: str) -> None:
    one, two = ConditionalObject(f"{place}/x"), ConditionalObject(f"{place}/x")
    first = one.put(b"1", None)
    with pytest.raises(Conflict):
        two.put(b"2", None)
    second = two.put(b"2", first)
    with pytest.raises(Conflict):
        one.put(b"3", first)
    found = one.find()
    assert found is not None
    assert (found.version, found.data) == (second, b"2")


def test_a_bucket_that_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(OutputError, match="there is no such bucket"):
        ConditionalObject(f"{store.name}://nobody-made-this/x").put(b"", None)


def test_out_and_a_work_folder_elsewhere_are_both_held(place: str, tmp_path: Path) -> None:
    with Workplace(f"{place}/out", str(tmp_path)).locked():
        with pytest.raises(OutputError, match=f"at work in {place}/out"), Workplace(f"{place}/out", None).locked():
            pass
        other = Workplace(f"{place}/other", str(tmp_path))
        with pytest.raises(OutputError, match=f"at work in {tmp_path}"), other.locked():
            pass


@pytest.mark.parametrize("wrong", [{"renewal": 0}, {"renewal": 100}, {"margin": 120}, {"margin": 0}])
def test_leases_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a lease needs"):
        LeaseParams(**wrong)
