"""What each part of the process last said of itself: whether it is ready, and whether it still moves.

Ready is a question about the neighbours (may work be expected of this worker?), alive one about this process alone (would a
restart mend it?). A neighbour that is down makes a worker unready and never dead: restarting it would only add to the trouble.
See https://kubernetes.io/docs/concepts/workloads/pods/probes/.
"""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from worker.settings import Settings

_CLUSTER_CALL_S = 30.0
_REWIND_TRIES = 6
_REDIS_TRIES = 4
_REBALANCE_TRIES = 5
_TRANSACTION_SLACK_S = 15.0


class Condition(msgspec.Struct, frozen=True):
    """Whether a part is ready, since when (seconds since the epoch), and a sentence on it."""

    ready: bool
    message: str
    since_s: float


class Readiness(msgspec.Struct, frozen=True):
    """What `/readyz` answers: `since` are RFC 3339 times, `waiting_for` the parts that are not ready."""

    ready: bool
    waiting_for: list[str]
    parts: dict[str, dict[str, str | bool]]


def stall_limit_s(settings: Settings) -> float:
    """Return how long a role's loop may take to come round, in seconds: longer than all of its bounded waits together.

    Within one round a transaction may be committed twice, once in a rebalance, each given up 15 s after the transaction's own
    timeout (`adapters/kafka/bounded.py`). Then either the committed offsets are asked for, six times 30 s at most, or five
    times the offsets and Redis, where each call is tried twice, and each try may have to connect, twice. The poll interval
    comes on top, as slack: a member that does
    not poll for that long has left the group. A neighbour that hangs ends in an error before this limit, so that what passes it
    is a loop that is stuck for good.
    """
    transactions = 2 * (settings.kafka.transaction_timeout_s + _TRANSACTION_SLACK_S)
    rewinding = _REWIND_TRIES * _CLUSTER_CALL_S
    loading = _REBALANCE_TRIES * (_CLUSTER_CALL_S + 2 * _REDIS_TRIES * settings.redis.timeout_s)
    return transactions + max(rewinding, loading) + settings.kafka.max_poll_interval_s


class Health:
    """Kept by the roles' threads, read by the server's: every method may be called from any thread."""

    def __init__(self, limit_s: float, wall_clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._limit_s = limit_s
        self._wall_clock = wall_clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._conditions: dict[tuple[str, str], Condition] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._beats: dict[str, float] = {}

    def report(self, part: str, role: str, ready: bool, message: str) -> None:
        """Say how a part stands, as this role sees it. `since` moves only when `ready` changes."""
        before = self._conditions.get((part, role))
        if before and (before.ready, before.message) == (ready, message):
            return
        since_s = before.since_s if before and before.ready == ready else self._wall_clock()
        with self._lock:
            self._conditions[part, role] = Condition(ready, message, since_s)

    def follow(self, role: str, thread: threading.Thread) -> None:
        """Expect this thread to live, and its loop to come round, until `release`."""
        self.beat(role)
        with self._lock:
            self._threads[role] = thread

    def release(self, role: str) -> None:
        """Expect nothing more of a role: it has ended, or is asked to."""
        with self._lock:
            self._threads.pop(role, None)

    def beat(self, role: str) -> None:
        """Say that a role's loop came round."""
        self._beats[role] = self._monotonic()

    def silent_s(self, role: str) -> float:
        """Return for how many seconds a role's loop has not come round; 0 if it was never followed."""
        now_s = self._monotonic()
        return now_s - self._beats.get(role, now_s)

    def faults(self) -> list[str]:
        """Return what only a restart would mend, one sentence each; nothing while the process is alive."""
        with self._lock:
            threads = dict(self._threads)
        gone = [f"the {role} role's thread is gone" for role, thread in threads.items() if not thread.is_alive()]
        stuck = [
            f"the {role} role's loop has not come round for {self.silent_s(role):.0f} s, at most {self._limit_s:.0f} s are due"
            for role in threads
            if self.silent_s(role) > self._limit_s
        ]
        return gone + stuck

    def readiness(self) -> Readiness:
        """Return how every part stands; of one that several roles use, the worst."""
        with self._lock:
            conditions = list(self._conditions.items())
        parts: dict[str, Condition] = {}
        for (part, _), condition in conditions:
            if part not in parts or (parts[part].ready and not condition.ready):
                parts[part] = condition
        return _readiness(parts)

    def waiting_for(self) -> Sequence[str]:
        """Return the parts that are not ready."""
        return self.readiness().waiting_for


def _readiness(parts: dict[str, Condition]) -> Readiness:
    waiting_for = [part for part, condition in parts.items() if not condition.ready]
    shown: dict[str, dict[str, str | bool]] = {
        part: {
            "ready": condition.ready,
            "since": datetime.fromtimestamp(condition.since_s, UTC).isoformat(timespec="seconds"),
            "message": condition.message,
        }
        for part, condition in parts.items()
    }
    return Readiness(bool(parts) and not waiting_for, waiting_for, shown)
