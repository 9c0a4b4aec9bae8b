"""Sending in the background: one notification at a time to each integration, a bounded number in all.

Each is sent on a thread of its own, a daemon: a receiver that hangs holds up neither the role nor the end of the process.
"""

import random
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import NamedTuple

import msgspec
import structlog

from worker.notify.pacing import Pace
from worker.notify.ports import Messenger, Notification, Outcome

log = structlog.get_logger(__name__)
_LOST = Outcome("unknown", "setup", "sending ended without an outcome")


class DeliveryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How many notifications at once, how many a minute to one integration, and how long a pause may be."""

    max_in_flight: int = 16
    per_minute: int = 60
    max_pause_s: float = 300.0


class Sent(NamedTuple):
    """A notification, and how sending it ended."""

    notification: Notification
    outcome: Outcome


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="notify-send", daemon=True).start()


class Delivery:
    """What is on its way. Used by one thread; `start` runs a piece of work on another one."""

    def __init__(
        self,
        messenger: Messenger,
        limits: DeliveryLimits | None = None,
        start: Callable[[Callable[[], None]], None] = _in_background,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._messenger = messenger
        self._limits = limits or DeliveryLimits()
        self._start = start
        self._monotonic = monotonic
        self._jitter = jitter
        self._paces: dict[str, Pace] = {}
        self._on_the_way: dict[str, Notification] = {}
        self._done: SimpleQueue[Sent] = SimpleQueue()

    @property
    def in_flight(self) -> int:
        """How many notifications have been sent off and not come back."""
        return len(self._on_the_way)

    def allows(self, target: str) -> bool:
        """Whether something may be sent to this integration now."""
        is_free = target not in self._on_the_way and len(self._on_the_way) < self._limits.max_in_flight
        return is_free and self._pace(target).allows(self._monotonic())

    def send(self, notification: Notification) -> None:
        """Send it off."""
        target = notification.group.target
        self._pace(target).spend(self._monotonic())
        self._on_the_way[target] = notification
        self._start(lambda: self._send(notification))

    def returned(self) -> list[Sent]:
        """Return those that have come back since the last call."""
        found: list[Sent] = []
        while True:
            try:
                sent = self._done.get_nowait()
            except Empty:
                return found
            del self._on_the_way[sent.notification.group.target]
            self._tell(sent)
            found.append(sent)

    def _send(self, notification: Notification) -> None:
        outcome = _LOST
        try:
            outcome = self._messenger.send(notification)
        finally:  # whatever it was, the integration must not be waited for for ever
            self._done.put(Sent(notification, outcome))

    def _tell(self, sent: Sent) -> None:
        target, outcome = sent.notification.group.target, sent.outcome
        told = {"receiver": target, "group": sent.notification.group.group_key, "key": sent.notification.key}
        pace = self._pace(target)
        if outcome.result in {"failed", "unknown"}:
            pause_s = pace.went_wrong(self._monotonic(), self._jitter(), outcome.retry_after_s)
            log.warning("notification failed", **told, error=outcome.detail, tries=pace.failures, pause_s=round(pause_s, 1))
            return
        pace.went_well()
        if outcome.result == "sent":
            log.info("notification sent", **told)
        else:
            log.error("notification refused, and given up", **told, error=outcome.detail)

    def _pace(self, target: str) -> Pace:
        if target not in self._paces:
            self._paces[target] = Pace(self._limits.per_minute, self._limits.max_pause_s)
        return self._paces[target]
