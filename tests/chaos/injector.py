"""Does what the schedule says, each fault in a thread of its own, and keeps a timeline of what became of it."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import redis
from confluent_kafka import KafkaException

from deploy.local.errors import LocalStackError, NotReadyError
from tests.chaos.faults import CATALOGUE
from tests.chaos.report import FaultDone
from tests.chaos.schedule import Scheduled
from tests.chaos.world import Did, NotInjectedError, World

_GROUP_PATIENCE_S = 25.0
_FAILURES = (NotInjectedError, NotReadyError, LocalStackError, KafkaException, redis.RedisError, OSError, ValueError)
"""What a part that is down for another reason may answer a fault with: it is then noted as not injected."""


class Injector:
    """Injects a schedule into a world; `done` is the timeline so far."""

    def __init__(self, world: World, schedule: Sequence[Scheduled], timeline: Path) -> None:
        self._world = world
        self._schedule = schedule
        self._timeline = timeline
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._noting = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._began = time.monotonic()
        self.active: set[str] = set()
        self.done: list[FaultDone] = []
        self._thread = threading.Thread(target=self._run, name="injector", daemon=True)

    def start(self) -> None:
        """Begin now: the schedule's times count from here."""
        self._began = time.monotonic()
        self._thread.start()

    def finish(self, limit_s: float = 120.0) -> None:
        """Wait until the schedule is through and every fault is healed; at most so long, then nothing waits any more."""
        deadline = time.monotonic() + limit_s
        self._thread.join(max(0.0, deadline - time.monotonic()))
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    @property
    def through(self) -> bool:
        """Whether all has been injected and healed."""
        return not self._thread.is_alive() and not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        for fault in self._schedule:
            if self._world.over.wait(max(0.0, self._began + fault.at_s - time.monotonic())):
                return
            thread = threading.Thread(target=self._inject, args=(fault,), name=fault.kind, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _inject(self, fault: Scheduled) -> None:
        kind, inject = CATALOGUE[fault.kind]
        lock = self._locks[kind.group or f"alone-{fault.seed}"]
        with self._noting:
            self.active.add(fault.kind)
        start_s = self._now_s()
        try:
            if not lock.acquire(timeout=_GROUP_PATIENCE_S):
                raise NotInjectedError(f"another fault of {kind.group} was still under way")
            try:
                start_s = self._now_s()
                did, injected = inject(self._world, random.Random(fault.seed), fault.lasts_s), True
            finally:
                lock.release()
        except _FAILURES as error:
            did, injected = Did("", f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"), False
        self._note(FaultDone(fault.kind, did.target, start_s, self._now_s(), did.detail, injected, did.effective))

    def _note(self, fault: FaultDone) -> None:
        with self._noting:
            self.active.discard(fault.kind)
            self.done.append(fault)
            line = asdict(fault)
            if fault.effective:
                del line["effective"]
            with self._timeline.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def _now_s(self) -> float:
        return round(time.monotonic() - self._began, 2)


def heal(world: World) -> None:
    """Bring everything back, whatever the faults left behind: links, servers, the model, workers; clocks that are off stay so.

    Raises:
        LocalStackError, OSError: a part does not come back.
    """
    stage = world.stage
    stage.proxy.heal()
    stage.triton.order()
    stage.cluster.free_disk()
    down = [node for node, server in stage.cluster.nodes.items() if not server.alive]
    stage.cluster.start_nodes(down)
    stage.redis.revive()
    stage.triton.revive()
    for slot in world.workers.slots:
        slot.disarm()
        slot.signal(signal.SIGCONT)
    for slot in world.workers.slots:
        slot.wanted = slot not in world.spare.values()
    stage.cluster.await_in_sync(60)
