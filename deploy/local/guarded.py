"""Start a program under `guard.py`, so that it and its descendants end when this process does."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_GUARD = Path(__file__).with_name("guard.py")


class Guarded:
    """A running guard and the process id of the program under it."""

    def __init__(self, guard: subprocess.Popen[bytes], pid: int) -> None:
        """Use `start` to make one."""
        self._guard = guard
        self.pid = pid

    @property
    def guard_pid(self) -> int:
        """The guard's process id, which is also the id of the session that everything runs in."""
        return self._guard.pid

    @property
    def status(self) -> int | None:
        """The program's exit status (128 + N for a signal N), None while it runs."""
        return self._guard.poll()

    def say(self, word: str) -> None:
        """Tell the guard `stop` or `kill`; says nothing to one that has ended."""
        stdin = self._guard.stdin
        if stdin is not None and not stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                stdin.write(f"{word}\n".encode())
                stdin.flush()

    def wait(self, limit_s: float) -> int | None:
        """Wait for the end; the status, or None when it takes longer than `limit_s` seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._guard.wait(limit_s)
            self._close()
        return self._guard.returncode

    def _close(self) -> None:
        if self._guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.close()


def start(
    command: Sequence[str],
    log: Path,
    *,
    folder: Path,
    env: Mapping[str, str],
    grace_s: float,
    remove: Sequence[str] = (),
) -> Guarded:
    """Start `command` under a guard, its output appended to `log`.

    Args:
        command: program and arguments.
        log: the log file; its folder exists.
        folder: the working directory.
        env: the program's whole environment.
        grace_s: seconds between SIGTERM and SIGKILL.
        remove: absolute glob patterns of files to remove in the end.

    Raises:
        OSError: the program cannot be run.
    """
    order = {
        "command": list(command),
        "env": dict(env),
        "cwd": str(folder),
        "log": str(log),
        "grace_s": grace_s,
        "parent": os.getpid(),
        "remove": list(remove),
    }
    with log.open("ab") as errors:
        guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    guarded = Guarded(guard, 0)
    guarded.say(json.dumps(order))
    answer = _hear(guard)
    if "error" in answer:
        guarded.wait(grace_s)
        raise OSError(answer["error"])
    guarded.pid = int(answer["pid"])
    return guarded


def _hear(guard: subprocess.Popen[bytes]) -> dict[str, Any]:
    if guard.stdout is None:
        raise OSError("the guard has no standard output")
    with guard.stdout as stdout:
        line = stdout.readline()
    answer: dict[str, Any] = json.loads(line or b'{"error": "the guard ended at once"}')
    return answer
