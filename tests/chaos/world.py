"""What faults are done to, and what a fault is."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.chaos.observe import TopicNames
from tests.chaos.schedule import Kind
from tests.chaos.stage import Stage
from tests.chaos.workers import RoleName, Slot, Workers

_PATIENCE_S = 20.0
_SETTLED_S = 2.0


class NotInjectedError(Exception):
    """The fault could not be brought about; it does not count."""


class Did(NamedTuple):
    """What a fault did: to what, in words, and whether anything could come of it."""

    target: str
    detail: str = ""
    effective: bool = True


@dataclass
class World:
    """What faults are done to. `over` is set when the run is to end: nothing waits any longer then."""

    stage: Stage
    workers: Workers
    names: TopicNames
    over: threading.Event = field(default_factory=threading.Event)
    busy: set[str] = field(default_factory=set)
    spare: dict[RoleName, Slot] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hold(self, seconds: float) -> None:
        """Let a fault last."""
        self.over.wait(seconds)

    @contextmanager
    def a_worker(self, role: RoleName, rng: random.Random, *, spared: bool = False) -> Iterator[Slot]:
        """Take a running worker that no other fault has in hand, at random; one that is spared only if `spared` allows it.

        Raises:
            NotInjectedError: none is to be had.
        """
        slot = self._take(role, rng, spared=spared)
        try:
            yield slot
        finally:
            with self.lock:
                self.busy.discard(slot.name)

    def _take(self, role: RoleName, rng: random.Random, *, spared: bool) -> Slot:
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline and not self.over.is_set():
            with self.lock:
                now = time.monotonic()
                free = [
                    slot
                    for slot in self.workers.running(role)
                    if slot.name not in self.busy and now - slot.started_at > _SETTLED_S and (spared or not slot.spared)
                ]
                if free:
                    slot = rng.choice(free)
                    self.busy.add(slot.name)
                    return slot
            time.sleep(0.2)
        raise NotInjectedError(f"no {role} worker was free")


Inject = Callable[[World, random.Random, float], Did]


class Fault(NamedTuple):
    """A kind of fault and how it is done."""

    kind: Kind
    inject: Inject
