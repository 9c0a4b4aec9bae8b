"""Named points of the commit path at which a worker can be made to die or to stand still; runs inside the worker.

The order for a worker lies in a small file, `point`, in the folder of its slot: {"point", "nth", "action"}. Whoever hits the
point takes the file away, leaves `hit` in its place, and sends itself SIGKILL or SIGSTOP. Looking costs one stat(2) a point.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import confluent_kafka as ck

SCORE_POINTS = (
    "score.before_begin",
    "score.mid_produce",
    "score.before_offsets",
    "score.before_commit",
    "score.after_commit",
)
ALERT_POINTS = (
    "alert.before_redis",
    "alert.after_redis",
    "relay.after_read",
    "relay.mid_produce",
    "relay.before_offsets",
    "relay.before_commit",
    "relay.after_commit",
    "relay.before_trim",
)
KEEP_REAL_TIME = ("grpc._channel", "grpc._common", "grpc._utilities")
"""gRPC's Python adds the timeout to `time.time()`, and its C core counts down to that moment by the system's clock: with two
clocks, as no machine has, every request would be too late before it was sent, or have hours to wait."""
_ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Failpoints:
    """What a process looks at when it passes a point."""

    def __init__(self, folder: Path, act: Callable[[int], None] | None = None) -> None:
        """Read orders from `folder/point`; `act` gets the signal number, by default it is sent to this process."""
        self._order = folder / "point"
        self._hit = folder / "hit"
        self._act = act or (lambda number: os.kill(os.getpid(), number))
        self._passed = 0
        self._read_at = 0.0
        self._read: dict[str, Any] = {}

    def reach(self, point: str) -> None:
        """Pass a point: nothing happens unless the order names it, for the n-th time since it was given."""
        try:
            changed = self._order.stat().st_mtime
        except OSError:
            return
        if changed != self._read_at:
            self._read_at, self._passed = changed, 0
            self._read = _parsed(self._order)
        if self._read.get("point") != point:
            return
        self._passed += 1
        if self._passed >= int(self._read.get("nth", 1)):
            self._take(point)

    def _take(self, point: str) -> None:
        try:
            self._order.rename(self._hit)
        except OSError:  # the harness took the order back meanwhile
            return
        del point
        self._act(_ACTIONS[self._read.get("action", "kill")])


def _parsed(path: Path) -> dict[str, Any]:
    try:
        order: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return order


def faulty_producer(points: Failpoints, prefix: str) -> type[ck.Producer]:
    """Return a Producer that passes the points named `prefix.…` on its way through a transaction.

    `mid_produce` lies after the first record of a transaction has been handed to librdkafka.
    """

    class FaultyProducer(ck.Producer):  # type: ignore[misc]
        """See `faulty_producer`."""

        def begin_transaction(self) -> None:
            points.reach(f"{prefix}.before_begin")
            super().begin_transaction()

        def produce(self, *args: Any, **kwargs: Any) -> None:
            super().produce(*args, **kwargs)
            points.reach(f"{prefix}.mid_produce")

        def send_offsets_to_transaction(self, *args: Any) -> None:
            points.reach(f"{prefix}.before_offsets")
            super().send_offsets_to_transaction(*args)

        def commit_transaction(self, *args: Any) -> None:
            points.reach(f"{prefix}.before_commit")
            super().commit_transaction(*args)
            points.reach(f"{prefix}.after_commit")

    return FaultyProducer


def wrap_store(points: Failpoints, store: Any) -> None:
    """Let the alert store's class pass the points around Redis and within the relay."""
    commit, events, trim = store.commit, store.events, store.trim

    def faulty_commit(self: Any, order: Any) -> None:
        points.reach("alert.before_redis")
        commit(self, order)
        points.reach("alert.after_redis")

    def faulty_events(self: Any, *args: Any) -> Any:
        found = events(self, *args)
        if found.events:
            points.reach("relay.after_read")
        return found

    def faulty_trim(self: Any, *args: Any) -> None:
        points.reach("relay.before_trim")
        trim(self, *args)

    store.commit, store.events, store.trim = faulty_commit, faulty_events, faulty_trim


def shift_clock(folder: Path) -> None:
    """Let `time.time` be ahead by the seconds in `folder/clock` (behind, when negative); nothing else changes."""
    real, told = time.time, folder / "clock"
    real_time = ModuleType("time")
    vars(real_time).update(vars(time))
    for name in KEEP_REAL_TIME:
        vars(import_module(name))["time"] = real_time
    state = {"looked_at": 0.0, "shift_s": 0.0}

    def shifted() -> float:
        now = real()
        if now - state["looked_at"] > 0.5:
            state["looked_at"] = now
            try:
                state["shift_s"] = float(told.read_text())
            except (OSError, ValueError):
                state["shift_s"] = 0.0
        return now + state["shift_s"]

    time.time = shifted
