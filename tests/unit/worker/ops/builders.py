"""A clock that a test turns, and a role's watch on it."""

from worker.ops.health import Health
from worker.ops.watch import RoleWatch


class Clock:
    """Seconds, as told."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        """What time it is."""
        return self.now_s


def health(clock: Clock, limit_s: float = 100.0) -> Health:
    """Health on this clock, wall clock and monotonic alike."""
    return Health(limit_s, clock, clock)


def watch(name: str = "score", clock: Clock | None = None) -> RoleWatch:
    """The watch of a role."""
    return RoleWatch(name, health(clock or Clock()))
