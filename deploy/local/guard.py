"""Run one server and make sure that nothing of it outlives the process that asked for it.

A program of its own, standard library only: `python -I -S guard.py`. The first line on standard input is the order
(JSON: `command`, `env`, `cwd`, `log`, `grace_s`, `parent`, `remove`); the answer on standard output is `{"pid": N}` or
`{"error": "..."}`. After that the line `stop` asks for a graceful end and `kill` for an immediate one.

The server ends when it is told to, when standard input closes, when the parent is gone (kill -9 included), or on
SIGTERM. The guard is a child subreaper (prctl(2), PR_SET_CHILD_SUBREAPER), so grandchildren that lose their parent
come to the guard, and are killed. Should the guard itself be killed, the kernel kills the server
(PR_SET_PDEATHSIG); what else is in the session is then up to the supervisor (`process.py`).
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PARENT_CHECK_S = 0.5
SWEEP_LIMIT_S = 10.0
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _die_with_guard() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Every living descendant of `pid`, from Linux's /proc; empty elsewhere."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, children.read_text().split()):
                found += [child, *descendants(child)]
    return found


class Guard:
    """One server from start to the last of its descendants."""

    def __init__(self, order: dict[str, Any]) -> None:
        """Take the order; nothing is started yet."""
        self._order = order
        self._ending = False
        self._listening = True
        # Kept, because a Popen that is collected would reap the server behind our back.
        self._server: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._status: int | None = None
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)

    def run(self) -> int:
        """Start the server, watch it, end it, sweep up. Returns the exit status (128 + N for a signal N)."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._end)
        self._spawn()
        while self._status is None and not self._ending and self._parent_lives():
            self._wait(PARENT_CHECK_S)
        self._stop()
        self._sweep()
        return self._status if self._status is not None else 1

    def _end(self, *_: object) -> None:
        self._ending = True

    def _parent_lives(self) -> bool:
        return os.getppid() == int(self._order["parent"])

    def _spawn(self) -> None:
        try:
            self._server = self._start_server()
        except OSError as error:
            _answer(error=str(error))
            raise SystemExit(127) from error
        self._pid = self._server.pid
        _answer(pid=self._pid)

    def _start_server(self) -> subprocess.Popen[bytes]:
        with Path(self._order["log"]).open("ab") as log:
            return subprocess.Popen(
                self._order["command"],
                env=self._order["env"],
                cwd=self._order["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                preexec_fn=_die_with_guard,  # noqa: PLW1509 - this process has one thread
            )

    def _wait(self, timeout_s: float) -> None:
        """Sleep until a signal, a word from the supervisor, or the timeout; then reap what has ended."""
        watched = [self._wake_read, 0] if self._listening else [self._wake_read]
        ready, _, _ = select.select(watched, [], [], timeout_s)
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)
        if 0 in ready:
            self._hear(os.read(0, 4096))
        self._reap()

    def _hear(self, words: bytes) -> None:
        self._ending = True
        self._listening = bool(words)
        if b"kill" in words:
            self._order["grace_s"] = 0.0

    def _reap(self) -> bool:
        """Collect every ended child; True when none is left at all."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if not pid:
                return False
            if pid == self._pid:
                code = os.waitstatus_to_exitcode(status)
                self._status = code if code >= 0 else 128 - code

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)

    def _stop(self) -> None:
        """SIGTERM, then SIGKILL after the grace; SIGCONT so that a paused server can hear the first."""
        self._ending = True
        since = time.monotonic()
        if self._status is None and self._order["grace_s"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)
            self._signal(signal.SIGCONT)
        while self._status is None and time.monotonic() - since < self._order["grace_s"]:
            self._wait(0.1)

    def _sweep(self) -> None:
        """Kill whatever is left and remove the files the server would have removed itself."""
        deadline = time.monotonic() + SWEEP_LIMIT_S
        self._signal(signal.SIGKILL)
        while not self._reap() and time.monotonic() < deadline:
            for pid in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._wait(0.02)
        for pattern in self._order["remove"]:
            for name in glob.glob(pattern):  # noqa: PTH207 - an absolute pattern, which Path.glob does not take
                Path(name).unlink(missing_ok=True)


def _read_order() -> dict[str, Any]:
    """The first line of standard input, read byte by byte so that later words stay in the pipe."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            raise SystemExit(2)
        line += byte
    order: dict[str, Any] = json.loads(line)
    return order


def _answer(**fields: object) -> None:
    os.write(1, json.dumps(fields).encode() + b"\n")
    os.close(1)


if __name__ == "__main__":
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    sys.exit(Guard(_read_order()).run())
