import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local.ports import LOOPBACK, free_ports
from tests.chaos.proxy import Proxy

_LIMIT_S = 20.0


@contextmanager
def echoing(name: bytes) -> Iterator[int]:
    """A server that answers with its name and what it heard."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                while data := self.request.recv(100):
                    self.request.sendall(name + data)
            except ConnectionError:
                pass

    with socketserver.ThreadingTCPServer((LOOPBACK, 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class Scene:
    """A proxy with one link, to a server named `a`; another, named `b`, is there as well."""

    def __init__(self, proxy: Proxy, other: int) -> None:
        self.proxy = proxy
        self.other = other

    def connect(self) -> socket.socket:
        """Connect through the link."""
        return socket.create_connection((LOOPBACK, self.proxy.port("link")), timeout=_LIMIT_S)

    def ask(self, what: bytes) -> bytes:
        """Connect, say it, return the answer; empty when the connection is closed instead."""
        with self.connect() as connection:
            return say(connection, what)


def say(connection: socket.socket, what: bytes) -> bytes:
    """Say it and return the answer; empty when the connection is closed instead."""
    try:
        connection.sendall(what)
        return connection.recv(100)
    except ConnectionError:
        return b""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """The process itself, as the harness runs it."""
    with echoing(b"a") as first, echoing(b"b") as second:
        (port,) = free_ports(1)
        proxy = Proxy({"link": (port, first)}, tmp_path / "log")
        try:
            yield Scene(proxy, second)
        finally:
            proxy.close()


def test_passes_both_ways(scene: Scene) -> None:
    """What is said arrives, and the answer comes back."""
    assert scene.ask(b"1") == b"a1"


def test_cut_closes_what_is_open_and_refuses_what_is_new(scene: Scene) -> None:
    """As a firewall that resets; afterwards all is as before."""
    with scene.connect() as connection:
        assert say(connection, b"1") == b"a1"
        scene.proxy.set("link", mode="cut")
        assert say(connection, b"2") == b""
    assert scene.ask(b"3") == b""
    scene.proxy.heal()
    assert scene.ask(b"4") == b"a4"


def test_hold_accepts_and_passes_nothing_until_it_is_lifted(scene: Scene) -> None:
    """A black hole: no error, no answer; what was said meanwhile arrives in the end."""
    with scene.connect() as old:
        assert say(old, b"1") == b"a1"
        scene.proxy.set("link", mode="hold")
        with scene.connect() as new:
            for connection in (old, new):
                connection.sendall(b"2")
                connection.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    connection.recv(100)
                connection.settimeout(_LIMIT_S)
            scene.proxy.set("link", mode="pass")
            assert [old.recv(100), new.recv(100)] == [b"a2", b"a2"]


def test_another_target_takes_over_and_old_connections_end(scene: Scene) -> None:
    """As after a failover: nobody goes on talking to the old primary."""
    with scene.connect() as connection:
        assert say(connection, b"1") == b"a1"
        scene.proxy.set("link", target=scene.other)
        assert say(connection, b"2") == b""
    assert scene.ask(b"3") == b"b3"


def test_delay_changes_nothing_but_the_time(scene: Scene) -> None:
    """What is said arrives all the same, and not sooner than there and back."""
    scene.proxy.set("link", delay_s=0.2, jitter_s=0.05)
    with scene.connect() as connection:
        connection.settimeout(0.3)
        connection.sendall(b"1")
        with pytest.raises(TimeoutError):
            connection.recv(100)
        connection.settimeout(_LIMIT_S)
        assert connection.recv(100) == b"a1"


def test_a_target_that_is_not_there_is_a_closed_connection(scene: Scene) -> None:
    """As without a proxy, but for the moment."""
    (nobody,) = free_ports(1)
    scene.proxy.set("link", target=nobody)
    assert scene.ask(b"1") == b""


def test_a_closed_proxy_is_gone(scene: Scene) -> None:
    """No process is left, and orders to it fail rather than hang."""
    scene.proxy.close()
    with pytest.raises(OSError, match="ended"):
        scene.proxy.set("link", mode="cut")
