import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from structlog.testing import capture_logs

from tests.unit.worker.ops.builders import Clock, health
from worker.errors import SettingsError
from worker.ops.health import Health
from worker.ops.server import Answer, pages, serving
from worker.settings import OpsSettings

METRICS = Answer(http.HTTPStatus.OK, "text/plain; version=0.0.4", b"tidings_messages_total 5\n")


@pytest.fixture
def told() -> Health:
    """Health that is served."""
    return health(Clock())


@pytest.fixture
def port(told: Health) -> Iterator[int]:
    """Where it is served."""
    with serving(OpsSettings(port=0), pages(told, lambda: METRICS)) as port:
        assert port
        yield port


def ask(port: int, path: str, method: str = "GET", host: str = "127.0.0.1") -> tuple[int, str, str]:
    """Status, content type and body."""
    with closing(http.client.HTTPConnection(host, port, timeout=10)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def with_pages(settings: OpsSettings) -> None:
    """Start to serve, and end."""
    with serving(settings, {}):
        pass


def test_liveness_is_green_until_only_a_restart_helps(told: Health, port: int) -> None:
    """A neighbour that is away changes nothing; a loop that is stuck does, and is named."""
    told.report("kafka", "score", False, "away")
    assert ask(port, "/healthz") == (200, "application/json", '{"alive":true,"faults":[]}\n')
    gone = threading.Thread(target=lambda: None)
    gone.start()
    gone.join()
    told.follow("score", gone)
    status, _, body = ask(port, "/healthz")
    assert (status, json.loads(body)) == (503, {"alive": False, "faults": ["the score role's thread is gone"]})


def test_readiness_says_which_part_is_waited_for(told: Health, port: int) -> None:
    """503 with the parts, then 200."""
    told.report("redis", "alert", False, "waiting for Redis at 127.0.0.1:6379")
    status, kind, body = ask(port, "/readyz?verbose")
    assert (status, kind, json.loads(body)["waiting_for"]) == (503, "application/json", ["redis"])
    told.report("redis", "alert", True, "answers")
    assert ask(port, "/readyz")[0] == 200


def test_metrics_and_what_is_not_there(port: int) -> None:
    """The text as it is; HEAD has no body; another path says which there are."""
    assert ask(port, "/metrics") == (200, METRICS.content_type, METRICS.body.decode())
    assert ask(port, "/metrics", "HEAD") == (200, METRICS.content_type, "")
    assert ask(port, "/") == (404, "text/plain", "/healthz, /readyz, /metrics\n")


def test_a_page_that_fails_is_told_in_the_log(told: Health) -> None:
    """The server lives on, and nothing is hidden."""

    def broken() -> Answer:
        raise ZeroDivisionError

    with capture_logs() as lines, serving(OpsSettings(port=0), pages(told, broken)) as port:
        assert port
        with pytest.raises(http.client.RemoteDisconnected):
            ask(port, "/metrics")
        assert ask(port, "/healthz")[0] == 200
    assert [type(line["exc_info"]) for line in lines if line["event"] == "a page failed"] == [ZeroDivisionError]


def test_a_client_that_says_nothing_holds_nobody_up(port: int) -> None:
    """Others are answered meanwhile, and more than a few of its kind are turned away."""
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(7)]
    assert ask(port, "/healthz")[0] == 200
    silent += [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    assert silent[-1].recv(1) == b""
    for connection in silent:
        connection.close()


def test_a_port_that_is_taken_is_an_error_that_says_what_to_do(port: int) -> None:
    """With the setting and its variable."""
    with pytest.raises(SettingsError, match=rf"ops\.port: cannot listen on 127\.0\.0\.1:{port} .*TIDINGS_OPS__PORT"):
        with_pages(OpsSettings(port=port))


def test_a_port_that_nobody_asked_for_gives_way(port: int) -> None:
    """Two workers on one laptop both start, the second on any free port."""
    by_default = OpsSettings.model_construct(_fields_set=set(), port=port)
    with serving(by_default, {}) as other:
        assert other not in {None, port}


def test_an_address_of_another_machine_is_an_error() -> None:
    """It names the setting."""
    with pytest.raises(SettingsError, match=r"ops\.host"):
        with_pages(OpsSettings(host="192.0.2.1"))


def test_it_can_be_switched_off() -> None:
    """Then nothing listens."""
    with serving(OpsSettings(port=None), {}) as port:
        assert port is None
