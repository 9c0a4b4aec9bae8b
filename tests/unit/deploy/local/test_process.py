import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.errors import NotReadyError, PartFailedError
from deploy.local.process import Ready, Server, ServerSpec
from deploy.local.report import Health, Kind

READY = Ready("thing 1.0", "127.0.0.1:1", {"TIDINGS_THING": "127.0.0.1:1"})
SERVE = "echo serving; while :; do sleep 0.1; done"


def ready() -> Ready:
    """A probe of a server that serves."""
    return READY


def not_ready() -> Ready:
    """A probe of one that does not."""
    raise NotReadyError("still loading")


Make = Callable[..., Server]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Builds servers that are a line of shell, and ends them."""
    made: list[Server] = []

    def build(script: str = SERVE, probe: Callable[[], Ready] = ready, **changes: float) -> Server:
        spec = ServerSpec("thing", ("/bin/sh", "-c", script), tmp_path / "thing.log", tmp_path, probe, {"main": 1}, **changes)  # type: ignore[arg-type]
        made.append(Server(spec))
        return made[-1]

    yield build
    for server in made:
        server.stop()


def run_to_its_end(server: Server) -> None:
    """Start a server that ends by itself, and wait for that."""
    server.start()
    with pytest.raises(PartFailedError):
        server.wait_ready()


def test_a_server_that_serves_is_reported(make: Make) -> None:
    """After start and wait the report has software, address, processes and health."""
    server = make()
    server.start()
    assert server.wait_ready() == READY
    report = server.report()
    assert (report.health, report.kind, report.software, report.address) == (
        Health.READY,
        Kind.STARTED,
        "thing 1.0",
        "127.0.0.1:1",
    )
    assert server.pid in report.pids
    assert server.settings() == READY.settings


def test_before_it_is_ready_it_has_no_settings(make: Make) -> None:
    """A worker must not be sent to a server that does not serve."""
    server = make(probe=not_ready)
    assert (server.settings(), server.alive, server.pid, server.pids()) == ({}, False, 0, [])
    server.start()
    assert server.report().health is Health.STARTING
    assert server.report().note == "still loading"


def test_a_server_that_ends_at_once_is_named_with_its_log(make: Make) -> None:
    """Part, status, log file and its last lines."""
    server = make("echo no such option; exit 4", not_ready)
    server.start()
    with pytest.raises(
        PartFailedError, match=r"thing ended with status 4 before it was ready\n  log: .*thing.log\n    no such option"
    ):
        server.wait_ready()


def test_a_server_that_is_never_ready_is_named_with_the_reason(make: Make) -> None:
    """What the probe said last is in the error."""
    server = make(probe=not_ready, ready_s=0.3)
    server.start()
    with pytest.raises(PartFailedError, match="was not ready within 0 s: still loading"):
        server.wait_ready()


def test_a_program_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    """Not a traceback of subprocess."""
    server = Server(ServerSpec("thing", ("/no-such",), tmp_path / "log", tmp_path, ready, {}))
    with pytest.raises(PartFailedError, match=r"thing cannot be started: .*no-such"):
        server.start()


def test_a_killed_server_is_dead_and_comes_back(make: Make) -> None:
    """Kill, restart: the handle stays the same, the process does not."""
    server = make()
    server.start()
    server.wait_ready()
    first = server.pid
    server.kill()
    assert (server.alive, server.pids()) == (False, [])
    assert server.report().health is Health.DEAD
    assert server.report().note == f"ended with status {128 + signal.SIGKILL}"
    server.restart()
    assert server.alive
    assert server.pid != first


def test_the_log_goes_on_after_a_restart(make: Make) -> None:
    """What the first one said is still there."""
    server = make("echo started; exit 0", not_ready)
    for _ in range(2):
        run_to_its_end(server)
    assert server.spec.log.read_text() == "started\nstarted\n"


def test_stopping_twice_or_before_the_start_does_nothing(make: Make) -> None:
    """Taking down must work from any state."""
    server = make()
    server.stop()
    server.kill()
    server.pause()
    server.start()
    server.stop()
    server.stop()
    server.signal(signal.SIGTERM)
    assert not server.alive


def test_secrets_of_the_environment_do_not_reach_a_server(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server gets a few harmless variables and its own."""
    monkeypatch.setenv("TIDINGS_REDIS__URL", "redis://:planted@host")
    server = make("env", not_ready)
    run_to_its_end(server)
    text = server.spec.log.read_text()
    assert "PATH=" in text
    assert "planted" not in text
