"""Start a server under a guard, wait until it serves, and end it with everything it started.

`Server` is the handle on one part: the stack, the tests and the fault harness start, kill, pause and restart through it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from deploy.local import guarded
from deploy.local.errors import NotReadyError, PartFailedError, tail
from deploy.local.report import Health, Kind, PartReport

_PROBE_EVERY_S = 0.1
_GUARD_LIMIT_S = 12.0
_KEPT_ENVIRONMENT = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ", "USER")


@dataclasses.dataclass(frozen=True)
class Ready:
    """A probe's good news: the software as it names itself, and how a worker reaches it."""

    software: str
    address: str
    settings: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class ServerSpec:
    """Everything needed to run one server.

    Attributes:
        command: program and arguments, the program as an absolute path.
        log: where its output goes, appended to.
        folder: its working directory.
        probe: asks the server whether it serves; raises NotReadyError while it does not.
        ports: port numbers by what they serve.
        env: variables beside the few that are handed on (HOME, PATH, ...); the rest of the environment is kept away.
        grace_s: seconds between SIGTERM and SIGKILL.
        ready_s: seconds it may take to serve.
        remove: absolute glob patterns of files it leaves behind when killed.
        kind: STARTED, or STAND_IN with `note` saying what that means.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    folder: Path
    probe: Callable[[], Ready]
    ports: Mapping[str, int]
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    grace_s: float = 10.0
    ready_s: float = 180.0
    remove: tuple[str, ...] = ()
    kind: Kind = Kind.STARTED
    note: str = ""


def session_pids(session: int) -> list[int]:
    """Living processes of a session, the leader first; zombies left out."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return sorted(found, key=lambda pid: (pid != session, pid))


class Server:
    """One running server and its guard. Not safe for use by several threads at once."""

    def __init__(self, spec: ServerSpec) -> None:
        """Take the spec; nothing is started yet."""
        self.spec = spec
        self._guarded: guarded.Guarded | None = None
        self._ready: Ready | None = None

    @property
    def name(self) -> str:
        """The part's name."""
        return self.spec.name

    @property
    def pid(self) -> int:
        """The server's own process id (not the guard's), 0 when it never started."""
        return self._guarded.pid if self._guarded is not None else 0

    @property
    def alive(self) -> bool:
        """True while the guard watches a server that has not ended."""
        return self._guarded is not None and self._guarded.status is None

    def start(self) -> None:
        """Start the server, ending one that still runs; it may take a while to serve (see `wait_ready`).

        Raises:
            PartFailedError: the program cannot be run at all.
        """
        self.stop()
        self.spec.log.parent.mkdir(parents=True, exist_ok=True)
        self.spec.folder.mkdir(parents=True, exist_ok=True)
        self._ready = None
        kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        try:
            self._guarded = guarded.start(
                self.spec.command,
                self.spec.log,
                folder=self.spec.folder,
                env={**kept, **self.spec.env},
                grace_s=self.spec.grace_s,
                remove=self.spec.remove,
            )
        except OSError as error:
            raise PartFailedError(f"{self.name} cannot be started: {error}") from error

    def wait_ready(self) -> Ready:
        """Wait until the server serves.

        Raises:
            PartFailedError: it ended or did not serve in time; names the log and shows its last lines.
        """
        deadline = time.monotonic() + self.spec.ready_s
        reason = "it did not answer"
        while time.monotonic() < deadline:
            if not self.alive:
                raise self.failure(f"ended with status {self._exit_status()} before it was ready")
            try:
                self._ready = self.spec.probe()
            except NotReadyError as error:
                reason = str(error)
                time.sleep(_PROBE_EVERY_S)
            else:
                return self._ready
        raise self.failure(f"was not ready within {self.spec.ready_s:.0f} s: {reason}")

    def failure(self, what: str) -> PartFailedError:
        """An error that names the part, what happened, the log, and the log's last lines."""
        return PartFailedError(f"{self.name} {what}\n  log: {self.spec.log}\n{tail(self.spec.log)}")

    def _exit_status(self) -> int | None:
        return self._guarded.status if self._guarded is not None else None

    def request_stop(self) -> None:
        """Ask for a graceful end and return at once; `stop` waits for it."""
        if self._guarded is not None:
            self._guarded.say("stop")

    def stop(self) -> None:
        """End the server gracefully, then by force, with all it started; returns when nothing is left."""
        self.request_stop()
        self._await_guard(self.spec.grace_s + _GUARD_LIMIT_S)

    def kill(self) -> None:
        """End the server with kill -9, as a crash would; its guard clears away what it leaves."""
        self.signal(signal.SIGKILL)
        self._await_guard(_GUARD_LIMIT_S)

    def restart(self) -> Ready:
        """Start again on the same ports and data after `stop` or `kill` (stops first when up); waits until ready."""
        self.start()
        return self.wait_ready()

    def pause(self) -> None:
        """SIGSTOP the server and its children: it accepts and never answers."""
        for pid in self._server_pids():
            _signal(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        for pid in self._server_pids():
            _signal(pid, signal.SIGCONT)

    def signal(self, number: int) -> None:
        """Send a signal to the server's own process, if it has not ended."""
        if self.alive:
            _signal(self.pid, number)

    def pids(self) -> list[int]:
        """The guard and every living process under it, the guard first."""
        return session_pids(self._guarded.guard_pid) if self._guarded is not None else []

    def _server_pids(self) -> list[int]:
        return self.pids()[1:] if self.alive else []

    def _await_guard(self, limit_s: float) -> None:
        """Wait for the guard; when it is late or was killed, clear its session ourselves."""
        if self._guarded is None:
            return
        self._guarded.wait(limit_s)
        for pid in session_pids(self._guarded.guard_pid):
            _signal(pid, signal.SIGKILL)
        self._guarded.wait(limit_s)

    def report(self) -> PartReport:
        """The server as it is now; asks it once."""
        health, note = self._health()
        return PartReport(
            name=self.name,
            kind=self.spec.kind,
            health=health,
            software=self._ready.software if self._ready else self.name,
            address=self._ready.address if self._ready else "",
            ports=self.spec.ports,
            pids=tuple(self.pids()),
            log=str(self.spec.log),
            note=note or self.spec.note,
        )

    def _health(self) -> tuple[Health, str]:
        if not self.alive:
            return Health.DEAD, f"ended with status {self._exit_status()}"
        try:
            self._ready = self.spec.probe()
        except NotReadyError as error:
            return (Health.NOT_READY if self._ready else Health.STARTING), str(error)
        return Health.READY, ""

    def settings(self) -> Mapping[str, str]:
        """The `TIDINGS_*` settings with which a worker finds the server; empty before it was ready."""
        return self._ready.settings if self._ready else {}


def _signal(pid: int, number: int) -> None:
    if pid > 0:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
