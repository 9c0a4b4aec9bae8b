"""Which fault when: drawn from a seed, pure. The same seed, length and kinds give the same schedule."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

QUIET_START_S = 6.0
"""No fault before the workers had time to join their groups."""
_TOGETHER = 0.3
"""The share of arrivals that bring a second fault at the same moment."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault, as the schedule sees it.

    Attributes:
        name: `broker_kill`, say.
        group: what it takes for itself: of two faults of one group the second waits. Empty: nothing.
        lasts_s: the shortest and the longest time for which it lasts.
        rest_s: after it has ended, its group is left alone for so long.
        weight: how often, beside the others.
    """

    name: str
    group: str = ""
    lasts_s: tuple[float, float] = (0.0, 0.0)
    rest_s: float = 0.0
    weight: float = 1.0


@dataclass(frozen=True)
class Scheduled:
    """One fault to come: at `at_s` seconds, for `lasts_s`, its other choices drawn from `seed`."""

    at_s: float
    kind: str
    lasts_s: float
    seed: int


def make_schedule(seed: int, seconds: float, kinds: Sequence[Kind], every_s: float = 4.0) -> tuple[Scheduled, ...]:
    """Draw a schedule.

    Arrivals are a Poisson process, so they come singly, close together, and some at one moment. Every kind comes once, in an
    order of its own, before any comes twice. None begins so late that it would last beyond the end.

    Args:
        seed: of all draws.
        seconds: the length; faults lie between QUIET_START_S and the end.
        kinds: what there is.
        every_s: mean distance of two faults.
    """
    rng = random.Random(seed)
    waiting = rng.sample(list(kinds), len(kinds))
    free_at: dict[str, float] = {}
    found: list[Scheduled] = []
    at_s = QUIET_START_S
    while at_s < seconds:
        for _ in range(1 + (rng.random() < _TOGETHER)):
            kind = _choose(rng, waiting, kinds, free_at, at_s)
            if kind is None:
                break
            lasts_s = rng.uniform(*kind.lasts_s)
            if at_s + lasts_s <= seconds:
                found.append(Scheduled(round(at_s, 2), kind.name, round(lasts_s, 2), rng.getrandbits(32)))
                if kind.group:
                    free_at[kind.group] = at_s + lasts_s + kind.rest_s
        at_s += rng.expovariate(1 / (every_s * (1 + _TOGETHER)))
    return tuple(found)


def bursts(schedule: Sequence[Scheduled], kind: str = "burst") -> list[tuple[float, float]]:
    """The start and the length of each burst: the plan has to know, since it is its messages that come faster then."""
    return [(fault.at_s, fault.lasts_s) for fault in schedule if fault.kind == kind]


def _choose(
    rng: random.Random, waiting: list[Kind], kinds: Sequence[Kind], free_at: Mapping[str, float], at_s: float
) -> Kind | None:
    """The first of those still to come whose group is free; when all have been, any whose group is free, by weight."""

    def is_free(kind: Kind) -> bool:
        return not kind.group or free_at.get(kind.group, 0.0) <= at_s

    for kind in waiting:
        if is_free(kind):
            waiting.remove(kind)
            return kind
    free = [kind for kind in kinds if is_free(kind)]
    return rng.choices(free, [kind.weight for kind in free])[0] if free else None
