"""The notify role's neighbours in memory: a store with a lease that ends, and receivers that fail as they are told to."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from worker.errors import FencedError, RetryableError
from worker.messages import TopicPartition
from worker.notify.ports import Notification, NotifyCommit, NotifyState, Outcome

T = TypeVar("T")
SENT = Outcome("sent", "ok", "the receiver answered 200")
FAILED = Outcome("failed", "server_error", "the receiver answered 500")
REFUSED = Outcome("refused", "client_error", "the receiver answered 400")
UNKNOWN = Outcome("unknown", "timeout", "no answer in time")


class InMemoryNotifyStore:
    """A `NotifyStore`. `clock` is in seconds; what several members share is the one store."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._holder = ""
        self._until_s = float("-inf")
        self._offsets: dict[TopicPartition, int] = {}
        self._groups: dict[bytes, bytes] = {}
        self._members: dict[bytes, bytes] = {}
        self._commits = 0
        self.fail_next: list[str] = []
        """For each of the next calls: `away` (nothing happens) or `lost reply` (it happens, and nobody hears of it)."""

    def acquire(self, token: str, ttl_s: float) -> bool:
        """See `NotifyStore.acquire`."""
        return self._answer(lambda: self._take(token, ttl_s))

    def renew(self, token: str, ttl_s: float) -> int | None:
        """See `NotifyStore.renew`."""
        return self._answer(lambda: self._commits if self._holds(token) and self._take(token, ttl_s) else None)

    def release(self, token: str) -> None:
        """See `NotifyStore.release`."""
        if self._answer(lambda: self._holds(token)):
            self._until_s = float("-inf")

    def load(self) -> NotifyState:
        """See `NotifyStore.load`."""
        return self._answer(
            lambda: NotifyState(dict(self._offsets), [*self._groups.values()], [*self._members.values()], self._commits)
        )

    def commit(self, token: str, commit: NotifyCommit) -> None:
        """See `NotifyStore.commit`."""
        self._answer(lambda: self._write(token, commit))

    def close(self) -> None:
        """See `NotifyStore.close`."""

    def lose(self) -> None:
        """Come back empty, as a Redis that kept nothing."""
        self._until_s = float("-inf")
        self._offsets.clear()
        self._groups.clear()
        self._members.clear()
        self._commits = 0

    def _holds(self, token: str) -> bool:
        return self._holder == token and self._clock() < self._until_s

    def _take(self, token: str, ttl_s: float) -> bool:
        if self._clock() < self._until_s and self._holder != token:
            return False
        self._holder, self._until_s = token, self._clock() + ttl_s
        return True

    def _write(self, token: str, commit: NotifyCommit) -> None:
        if not self._holds(token):
            raise FencedError("another notifier has the lease, or it ran out")
        self._offsets |= commit.offsets
        for stored, fields in ((self._groups, commit.groups), (self._members, commit.members)):
            for name, value in fields.items():
                if value is None:
                    stored.pop(name, None)
                else:
                    stored[name] = value
        self._commits = commit.number

    def _answer(self, call: Callable[[], T]) -> T:
        fault = self.fail_next.pop(0) if self.fail_next else ""
        if fault == "away":
            raise RetryableError("the store is away")
        found = call()
        if fault == "lost reply":
            raise RetryableError("the store's reply was lost")
        return found


class Receivers:
    """A `Messenger` into lists. `outcome` judges each notification: a failed one did not arrive, an unknown one may have."""

    def __init__(self, outcome: Callable[[Notification], Outcome] = lambda _: SENT) -> None:
        self.outcome = outcome
        self.tried: list[Notification] = []
        self.arrived: list[Notification] = []
        """What receivers took, and what they took without an answer."""

    def send(self, notification: Notification) -> Outcome:
        """See `Messenger.send`."""
        self.tried.append(notification)
        found = self.outcome(notification)
        if found.result in {"sent", "unknown"}:
            self.arrived.append(notification)
        return found

    def alerts(self, target: str = "") -> list[list[tuple[str, str]]]:
        """For each webhook that arrived, rule and status of its alerts."""
        bodies = [msgspec.json.decode(n.body) for n in self.arrived if n.group.target.startswith(target)]
        return [[(alert["labels"]["alertname"], alert["status"]) for alert in body["alerts"]] for body in bodies]
