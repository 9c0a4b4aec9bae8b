"""Faults of workers: killed, told to leave, standing still, at any moment or a named point; coming, going, a wrong clock."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator, Sequence
from typing import Literal

from tests.chaos import failpoints
from tests.chaos.schedule import Kind
from tests.chaos.shifts import FARTHEST_JUMP_S, NEAREST_JUMP_S
from tests.chaos.stage import SESSION_TIMEOUT_S
from tests.chaos.workers import RoleName
from tests.chaos.world import Did, Fault, Inject, NotInjectedError, World

_POINT_PATIENCE_S = 45.0


def _killed(role: RoleName) -> Inject:
    def inject(world: World, rng: random.Random, _lasts_s: float) -> Did:
        with world.a_worker(role, rng) as slot:
            if not slot.signal(signal.SIGKILL):
                raise NotInjectedError("the worker had just ended")
            return Did(slot.name)

    return inject


def _terminated(role: RoleName) -> Inject:
    def inject(world: World, rng: random.Random, _lasts_s: float) -> Did:
        with world.a_worker(role, rng) as slot:
            pid, forced, began = slot.pid, slot.forced, time.monotonic()
            if not slot.ask_to_leave(began):
                raise NotInjectedError("the worker had just ended")
            while slot.pid == pid and not world.over.is_set():
                time.sleep(0.05)
            how = "had to be killed" if slot.forced > forced else "left"
            return Did(slot.name, f"{how} after {time.monotonic() - began:.1f} s")

    return inject


def _zombie(role: RoleName) -> Inject:
    def inject(world: World, rng: random.Random, lasts_s: float) -> Did:
        with world.a_worker(role, rng) as slot:
            if not slot.signal(signal.SIGSTOP):
                raise NotInjectedError("the worker had just ended")
            world.hold(lasts_s)
            slot.signal(signal.SIGCONT)
            return Did(slot.name, f"stood still for {lasts_s:.1f} s")

    return inject


def _at_point(role: RoleName, point: str) -> Inject:
    def inject(world: World, rng: random.Random, _lasts_s: float) -> Did:
        action: Literal["kill", "stop"] = "stop" if rng.random() < 0.25 else "kill"
        nth = rng.randint(1, 3) if not point.startswith("relay.") else 1
        slots = [slot for slot in world.workers.slots if slot.role == role and slot.wanted and not slot.spared]
        for slot in slots:
            slot.arm(point, nth, action)
        deadline = time.monotonic() + _POINT_PATIENCE_S
        while not (hit := [slot for slot in slots if slot.hit]) and time.monotonic() < deadline and not world.over.is_set():
            time.sleep(0.05)
        for slot in slots:
            slot.disarm()
        if not hit:
            raise NotInjectedError("no worker came to that point in time")
        if action == "stop":
            world.hold(SESSION_TIMEOUT_S + rng.uniform(2, 6))
            for slot in hit:
                slot.signal(signal.SIGCONT)
        return Did(",".join(slot.name for slot in hit), f"{action} at {point}, passing {nth}")

    return inject


def _worker_added(world: World, rng: random.Random, lasts_s: float) -> Did:
    role: RoleName = rng.choice(("score", "alert"))
    with world.lock:
        slot = world.spare.get(role)
    if slot is None:
        slot = world.spare[role] = world.workers.add(role)
    slot.wanted = True
    world.hold(lasts_s)
    slot.wanted = False
    return Did(slot.name, f"stayed for {lasts_s:.1f} s")


def _worker_removed(world: World, rng: random.Random, lasts_s: float) -> Did:
    with world.a_worker(rng.choice(("score", "alert")), rng) as slot:
        slot.wanted = False
        world.hold(lasts_s)
        slot.wanted = True
        return Did(slot.name, f"away for {lasts_s:.1f} s")


def _clock_jump(world: World, rng: random.Random, _lasts_s: float) -> Did:
    """Set a worker's clock off, and leave it so until its next jump: by up to an hour, and one time in three by up to 20 days.

    What this can show: nothing waits by the wall clock, for it would wait until the clock has caught up, and be found stuck,
    since clocks are not set right in the end; the fallbacks of event time use the clock where they must and nowhere else (see
    `plan`); a rebuild is right wherever the clock has it begin. What it cannot: where exactly the bound of event time lies,
    for by the rule itself a jump moves it; and anything of clocks other than Python's `time.time`, such as those of
    librdkafka, gRPC, Kafka and Redis.
    """
    role: RoleName = rng.choice(("score", "alert"))
    most_s = rng.choice((3_600.0, 3_600.0, FARTHEST_JUMP_S))
    shift_s = rng.choice((-1, 1)) * rng.uniform(NEAREST_JUMP_S, most_s)
    with world.a_worker(role, rng, spared=True) as slot:  # last, for what it draws hangs on how many are free
        slot.shift_clock(shift_s)
        return Did(slot.name, f"{shift_s:+.0f} s")


def _in_the_plan(world: World, _rng: random.Random, lasts_s: float) -> Did:
    world.hold(lasts_s)
    return Did("input", f"for {lasts_s:.1f} s")


def worker_faults() -> Iterator[Fault]:
    """Yield every fault of workers."""
    for role in ("score", "alert"):
        yield Fault(Kind(f"{role}_kill", weight=2), _killed(role))
        yield Fault(Kind(f"{role}_term", weight=1.5), _terminated(role))
        zombie = Kind(f"{role}_zombie", f"{role}-stands", (SESSION_TIMEOUT_S + 1, SESSION_TIMEOUT_S + 7), 3)
        yield Fault(zombie, _zombie(role))
    points: Sequence[tuple[RoleName, str]] = [
        *(("score", point) for point in failpoints.SCORE_POINTS),
        *(("alert", point) for point in failpoints.ALERT_POINTS),
    ]
    for role, point in points:
        # An armed point is kept until a worker comes by; one a role at a time.
        yield Fault(Kind(f"point:{point}", f"{role}-point", (0, 0), 6, 1.2), _at_point(role, point))
    yield Fault(Kind("worker_added", "membership", (8, 20), 4, 0.8), _worker_added)
    yield Fault(Kind("worker_removed", "", (4, 12), 0, 0.8), _worker_removed)
    yield Fault(Kind("clock_jump"), _clock_jump)


def input_faults() -> Iterator[Fault]:
    """Yield what is in the input itself: the plan brings it about, and the timeline shows when."""
    yield Fault(Kind("burst", "input", (3, 5), 30, 0.5), _in_the_plan)
