"""A receiver of webhooks as a real HTTP server on a port of this machine, which fails as it is told to."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

PATIENCE_S = 40.0


class Request(NamedTuple):
    """What came, when, and what it was answered; None: nothing."""

    headers: dict[str, str]
    body: bytes
    status: int | None

    @property
    def alerts(self) -> list[tuple[str, str]]:
        """Entity and status of each alert."""
        return sorted((alert["labels"]["entity"], alert["status"]) for alert in json.loads(self.body)["alerts"])


class Receiver:
    """Its address, what came, and how it answers: a status, or None for silence."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.status: int | None = 200
        self.answer_headers: dict[str, str] = {}
        self.requests: list[Request] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        """Where to send to; the path is secret."""
        return f"http://127.0.0.1:{self.port}/hunter2"

    @property
    def taken(self) -> list[Request]:
        """Those that were answered with 200."""
        return [request for request in self.requests if request.status == 200]


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        receiver, status = self.receiver, self.receiver.status
        receiver.requests.append(Request({name.lower(): value for name, value in self.headers.items()}, body, status))
        if status is None:
            receiver.over.wait(PATIENCE_S)
            return
        self.send_response(status)
        for name, value in receiver.answer_headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def receiving(port: int = 0, wrap: Callable[[Any], Any] = lambda server: server) -> Iterator[Receiver]:
    """Run a receiver; `wrap` may put TLS around its socket."""
    handler = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients that hang up are what tests do
        server.socket = wrap(server.socket)
        receiver = Receiver(server.server_address[1])
        handler.receiver = receiver  # type: ignore[attr-defined] # a class made here
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.over.set()
            server.shutdown()
            thread.join()


def until(look: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Look until it is so; fails if it never is."""
    deadline = time.monotonic() + patience_s
    while not look():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
