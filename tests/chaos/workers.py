"""Worker processes, supervised as Kubernetes would: started again when they end, SIGTERM with a grace and then SIGKILL."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from tests.chaos.fetching import fetching

RoleName = Literal["score", "alert"]
_ROOT = Path(__file__).parents[2]
_GRACE_S = 30.0
_LOOK_EVERY_S = 0.1
_BACKOFF_S = 0.5
_MOST_BACKOFF_S = 8.0
_WELL_AFTER_S = 10.0
_LONGEST_LINE = 300


@dataclass
class Slot:
    """A place for one worker: who is in it now, and who has been.

    `wanted` is what the supervisor works towards; `stopping_since` is when the process was asked to leave. Whoever is in a slot
    that is `spared` is never killed, told to leave or made to stand still, so that a leak has time to show.
    """

    role: RoleName
    number: int
    folder: Path
    wanted: bool = True
    spared: bool = False
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    stopping_since: float | None = None
    backoff_s: float = _BACKOFF_S
    not_before: float = 0.0
    starts: int = 0
    exits: list[int] = field(default_factory=list)
    forced: int = 0

    @property
    def name(self) -> str:
        """`score-1`, say."""
        return f"{self.role}-{self.number}"

    @property
    def pid(self) -> int:
        """The process in the slot now, 0 without one."""
        return self.process.pid if self.process is not None and self.process.poll() is None else 0

    def signal(self, number: int) -> bool:
        """Send a signal to who is in the slot; False when nobody is."""
        with contextlib.suppress(ProcessLookupError):
            if self.pid:
                os.kill(self.pid, number)
                return True
        return False

    def ask_to_leave(self, now: float) -> bool:
        """Send SIGTERM, which the supervisor follows up with SIGKILL if need be; False when nobody is there."""
        if self.stopping_since is None and self.signal(signal.SIGTERM):
            self.stopping_since = now
            return True
        return False

    def arm(self, point: str, nth: int, action: Literal["kill", "stop"]) -> None:
        """Order the worker to act at its n-th passing of a failpoint."""
        (self.folder / "hit").unlink(missing_ok=True)
        scratch = self.folder / "point.new"
        scratch.write_text(json.dumps({"point": point, "nth": nth, "action": action}))
        scratch.replace(self.folder / "point")

    def disarm(self) -> None:
        """Take the order back."""
        (self.folder / "point").unlink(missing_ok=True)

    @property
    def hit(self) -> bool:
        """Whether the order was carried out."""
        return (self.folder / "hit").exists()

    def shift_clock(self, seconds: float) -> None:
        """Set the worker's clock off by so much, from within a second on."""
        (self.folder / "clock").write_text(str(seconds))


class Workers:
    """The slots of one run and the thread that looks after them; processes die with that thread's process."""

    def __init__(
        self, folder: Path, env: Mapping[str, str], counts: Mapping[RoleName, int], *, spare_one: bool = False
    ) -> None:
        """Make the slots; `start` fills them.

        Args:
            folder: for logs and orders.
            env: the workers' `TIDINGS_*` settings and what else they need.
            counts: workers per role.
            spare_one: the first of each role is spared.
        """
        self._folder = folder
        self._env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ} | dict(env)
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self.slots: list[Slot] = []
        for role, count in counts.items():
            for number in range(count):
                self.add(role).spared = spare_one and number == 0
        self._thread = threading.Thread(target=self._supervise, name="workers", daemon=True)

    def start(self) -> None:
        """Begin to look after the slots."""
        self._thread.start()

    def add(self, role: RoleName) -> Slot:
        """Make another slot; its worker starts soon."""
        with self._lock:
            number = 1 + sum(slot.role == role for slot in self.slots)
            slot = Slot(role, number, self._folder / f"{role}-{number}")
            slot.folder.mkdir(parents=True, exist_ok=True)
            self.slots.append(slot)
        return slot

    def running(self, role: RoleName) -> list[Slot]:
        """The slots of a role that should have a worker and have one now."""
        return [slot for slot in self.slots if slot.role == role and slot.wanted and slot.pid]

    def processes(self) -> list[tuple[str, int, float]]:
        """Name, process id and age in seconds of every worker that runs now."""
        now = time.monotonic()
        return [(slot.name, slot.pid, now - slot.started_at) for slot in self.slots if slot.pid]

    def last_words(self) -> list[str]:
        """Where each worker's consumer stood, and the last line that each wrote into its log."""
        logs = {slot.name: self._folder / f"{slot.name}.log" for slot in self.slots}
        said = [f"{name}: {_last_line(log)}" for name, log in logs.items() if log.exists()]
        return [line for slot in self.slots if slot.pid for line in fetching(slot.name, slot.folder)] + said

    def stop(self, limit_s: float = _GRACE_S + 5) -> list[str]:
        """Ask all to leave and wait; returns the names of those that had to be killed."""
        forced = {slot.name: slot.forced for slot in self.slots}
        for slot in self.slots:
            slot.wanted = False
        deadline = time.monotonic() + limit_s
        while any(slot.pid for slot in self.slots) and time.monotonic() < deadline and self._thread.is_alive():
            time.sleep(_LOOK_EVERY_S)
        self._ending.set()
        self.kill()
        return [slot.name for slot in self.slots if slot.forced > forced[slot.name]]

    def kill(self) -> None:
        """Kill whoever is left."""
        self._ending.set()
        for slot in self.slots:
            slot.wanted = False
            slot.signal(signal.SIGKILL)
            if slot.process is not None:
                slot.process.wait()

    def _supervise(self) -> None:
        while not self._ending.wait(_LOOK_EVERY_S):
            with self._lock:
                slots = list(self.slots)
            for slot in slots:
                self._look_after(slot, time.monotonic())

    def _look_after(self, slot: Slot, now: float) -> None:
        if slot.process is not None and (code := slot.process.poll()) is not None:
            self._note_end(slot, code, now)
        if slot.process is None and slot.wanted and now >= slot.not_before and not self._ending.is_set():
            self._launch(slot, now)
        elif slot.process is not None and not slot.wanted and slot.stopping_since is None:
            slot.signal(signal.SIGCONT)
            slot.ask_to_leave(now)
        elif slot.stopping_since is not None and now - slot.stopping_since > _GRACE_S:
            slot.forced += slot.signal(signal.SIGKILL)

    def _note_end(self, slot: Slot, code: int, now: float) -> None:
        slot.exits.append(code)
        slot.process = None
        slot.stopping_since = None
        lived_s = now - slot.started_at
        slot.backoff_s = _BACKOFF_S if lived_s > _WELL_AFTER_S else min(2 * slot.backoff_s, _MOST_BACKOFF_S)
        slot.not_before = now + slot.backoff_s

    def _launch(self, slot: Slot, now: float) -> None:
        env = {**self._env, "CHAOS_SLOT": str(slot.folder), "CHAOS_ROLE": slot.role, "PYTHONPATH": str(_ROOT)}
        command = [sys.executable, "-m", "tests.chaos.worker_main", "work", "--roles", slot.role]
        with (self._folder / f"{slot.name}.log").open("ab") as log:
            slot.process = subprocess.Popen(
                command, cwd=self._folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        slot.started_at = now
        slot.starts += 1


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1][:_LONGEST_LINE] if lines else "nothing"


def resources(pid: int) -> tuple[int, int] | None:
    """Resident bytes and open files of a process; None when it is gone."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return process.memory_info().rss, process.num_fds()
    return None
