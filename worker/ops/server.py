"""`/healthz`, `/readyz` and `/metrics` over HTTP, on threads of their own: a role that is stuck does not silence them."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, NamedTuple

import msgspec
import structlog

from worker.errors import SettingsError
from worker.ops.health import Health
from worker.settings import OpsSettings

log = structlog.get_logger(__name__)
_REQUESTS_AT_A_TIME = 8
_SOCKET_TIMEOUT_S = 5.0
_JSON = "application/json"


class Answer(NamedTuple):
    """What a page says."""

    status: HTTPStatus
    content_type: str
    body: bytes


Page = Callable[[], Answer]


def pages(health: Health, metrics: Page) -> dict[str, Page]:
    """Return the pages by path."""
    return {"/healthz": partial(healthz, health), "/readyz": partial(readyz, health), "/metrics": metrics}


def healthz(health: Health) -> Answer:
    """200 while the process is alive, 503 with the reasons when only a restart helps. No neighbour has a say in it."""
    faults = health.faults()
    status = HTTPStatus.SERVICE_UNAVAILABLE if faults else HTTPStatus.OK
    return Answer(status, _JSON, msgspec.json.encode({"alive": not faults, "faults": faults}) + b"\n")


def readyz(health: Health) -> Answer:
    """200 when every part is ready, else 503; how each part stands in either case."""
    readiness = health.readiness()
    status = HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, _JSON, msgspec.json.encode(readiness) + b"\n")


@contextmanager
def serving(settings: OpsSettings, served: Mapping[str, Page]) -> Iterator[int | None]:
    """Serve the pages meanwhile; gives the port, None where it is switched off.

    Raises:
        SettingsError: the address cannot be used.
    """
    if settings.port is None:
        yield None
        return
    server = _open(settings, served)
    port = int(server.server_address[1])
    log.info("serving health and metrics", host=settings.host, port=port, paths=sorted(served))
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="ops", daemon=True)
    thread.start()
    try:
        yield port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _open(settings: OpsSettings, served: Mapping[str, Page]) -> "_Server":
    """Listen. Only a port that nobody asked for gives way to any free one, so that two workers start on one laptop."""
    asked = settings.port or 0
    try:
        return _Server(settings.host, asked, served)
    except OSError as error:
        if "port" in settings.model_fields_set:
            raise SettingsError(_cannot_listen(settings, error)) from error
    try:
        return _Server(settings.host, 0, served)
    except OSError as error:
        raise SettingsError(_cannot_listen(settings, error)) from error


def _cannot_listen(settings: OpsSettings, error: OSError) -> str:
    return (
        f"ops.port: cannot listen on {settings.host}:{settings.port} ({error.strerror or error}); set ops.port"
        " (TIDINGS_OPS__PORT) to another port, to 0 for any free one or to off, or ops.host to an address of this machine"
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int, served: Mapping[str, Page]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.served = served
        self._slots = threading.BoundedSemaphore(_REQUESTS_AT_A_TIME)
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Refuse a connection rather than queue it: whoever opens many may not use up the worker's threads."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, on a thread of its own."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's signature
        """A client that hung up or took too long is its own affair; anything else is a fault of ours."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            log.error("a page failed", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _SOCKET_TIMEOUT_S
    server_version = "tidings"
    sys_version = ""
    _missing: ClassVar[Answer] = Answer(HTTPStatus.NOT_FOUND, "text/plain", b"/healthz, /readyz, /metrics\n")

    def do_GET(self) -> None:
        page = self.server.served.get(self.path.partition("?")[0])
        answer = page() if page else self._missing
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: object) -> None:
        """Say nothing: probes come every few seconds."""
