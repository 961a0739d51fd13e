"""Ports of this machine, with real sockets."""

import socket

import pytest

from pipelines.engines.ports import check_ports_free, free_ports, is_listening, wait_until


def test_a_listening_port_is_seen_and_named() -> None:
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
        assert is_listening(port)
        with pytest.raises(Exception, match=rf"port {port} \(rest\).*--rest-port \(0 takes") as caught:
            check_ports_free({"rest": port, "job": free_ports(1)[0]})
    assert getattr(caught.value, "exit_code", None) == 12
    assert "(job)" not in str(caught.value)
    assert not is_listening(port)
    check_ports_free({"rest": port})


def test_free_ports_are_distinct_and_free() -> None:
    ports = free_ports(6)
    assert len(set(ports)) == 6
    assert not any(is_listening(port) for port in ports)
    assert free_ports(0) == []


def test_waiting_ends_with_success_death_or_time() -> None:
    looks = iter([False, False, True])
    assert wait_until(lambda: next(looks), timeout_s=30, alive=lambda: True)
    assert not wait_until(lambda: False, timeout_s=30, alive=lambda: False)
    assert not wait_until(lambda: False, timeout_s=0.01, alive=lambda: True)
