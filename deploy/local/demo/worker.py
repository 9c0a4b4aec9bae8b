"""The worker as a process of its own, as anybody would start it: `tidings work`, its JSON log in a file."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import worker
from deploy.local import guarded
from deploy.local.demo.errors import DemoError
from deploy.local.errors import tail

READY_LIMIT_S = 90.0
GRACE_S = 20.0
KILL_S = 10.0
_ASSIGNED = "partitions assigned"
_KEPT = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "USER")


class Worker:
    """`tidings work --roles score,alert` under a guard; a context manager that ends it."""

    def __init__(self, settings: Mapping[str, str], log: Path) -> None:
        """Start it with these settings on top of the `TIDINGS_*` variables of this process.

        Raises:
            DemoError: the program cannot be run.
        """
        self.log = log
        command = [sys.executable, "-m", "worker", "work", "--roles", "score,alert"]
        try:
            self._process = guarded.start(command, log, folder=log.parent, env=_environment(settings), grace_s=GRACE_S)
        except OSError as error:
            raise DemoError(f"the worker cannot be started: {error}") from error

    def wait_assigned(self, topics: Collection[str]) -> None:
        """Wait until the worker has partitions of each of these topics.

        Raises:
            DemoError: it ended, or has none within READY_LIMIT_S seconds.
        """
        deadline = time.monotonic() + READY_LIMIT_S
        while missing := set(topics) - assigned_topics(self.log):
            self.check()
            if time.monotonic() > deadline:
                raise self._failure(f"has no partitions of {', '.join(sorted(missing))} after {READY_LIMIT_S:.0f} s")
            time.sleep(0.1)

    def check(self) -> None:
        """Raise DemoError if it has ended."""
        if (status := self._process.status) is not None:
            raise self._failure(f"ended with status {status}")

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Let it finish what it has in hand for `grace_s` seconds at most, then kill it."""
        self._process.say("stop")
        if self._process.wait(grace_s) is None:
            self._process.say("kill")
            self._process.wait(KILL_S)

    def __enter__(self) -> Self:
        """Return the worker."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it, at once after an error or Ctrl-C."""
        self.stop(GRACE_S if error is None else 0.0)

    def _failure(self, what: str) -> DemoError:
        return DemoError(f"the worker {what}\n  log: {self.log}\n{tail(self.log)}")


def assigned_topics(log: Path) -> set[str]:
    """Return the topics of which the worker's JSON log says that partitions were assigned."""
    found: set[str] = set()
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if _ASSIGNED in line and line.startswith("{"):
            found |= {name.rpartition("-")[0] for name in json.loads(line).get("partitions", ())}
    return found


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("TIDINGS_")}
    root = Path(worker.__file__).parents[1]
    return {**kept, "PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1", **settings}
