"""Waiting at the start for what is not there yet: a neighbour may come up after us, in any order."""

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from worker.backoff import back_off_s
from worker.errors import RetryableError, StoppedError
from worker.ops.watch import ModelWatch, RoleWatch

log = structlog.get_logger(__name__)
T = TypeVar("T")
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 15.0
_FIRST_REMINDER_S = 30.0
_LONGEST_REMINDER_S = 300.0


class Start:
    """The start of one role: where its parts are waited for, and who looks on from then."""

    def __init__(
        self,
        watch: RoleWatch,
        model: ModelWatch,
        stop: threading.Event,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.watch = watch
        self.model = model
        self._stop = stop
        self._monotonic = monotonic
        self._jitter = jitter

    def until(self, part: str, what: str, call: Callable[[], T], remedy: str = "") -> T:
        """Call until it works, waiting 1 s doubling to 15 s in between, less jitter; of the failures ever fewer are logged.

        Args:
            part: `kafka`, `redis` or `model`, as `/readyz` names it.
            what: what is waited for, with its address: `Redis at 127.0.0.1:6379`.
            call: asks for it.
            remedy: what a person can do about it.

        Raises:
            StoppedError: the process was told to leave meanwhile.
            TidingsError: what cannot mend by waiting.
        """
        self._report(part, False, f"asking {what}")
        reminder = _Reminder(self._monotonic())
        attempt = 1
        while True:
            try:
                found = call()
            except RetryableError as error:
                if self._stop.is_set():
                    raise StoppedError(f"told to leave while waiting for {what}") from error
                self._waiting(part, what, f"{error}{'; ' + remedy if remedy else ''}", reminder)
            else:
                self._report(part, True, f"{what} is there")
                if attempt > 1:
                    log.info("there at last", what=what)
                return found
            if self._stop.wait(back_off_s(attempt, _LONGEST_PAUSE_S, self._jitter(), _FIRST_PAUSE_S)):
                raise StoppedError(f"told to leave while waiting for {what}")
            attempt += 1

    def _waiting(self, part: str, what: str, message: str, reminder: "_Reminder") -> None:
        self._report(part, False, f"waiting for {what}: {message}")
        if reminder.is_due(message, self._monotonic()):
            log.warning("waiting", what=what, error=message, for_s=round(self._monotonic() - reminder.since_s))

    def _report(self, part: str, ready: bool, message: str) -> None:
        self.watch.health.beat(self.watch.name)
        self.watch.health.report(part, self.watch.name, ready, message)
        standing = "building" if ready else message
        self.watch.health.report(self.watch.name, self.watch.name, False, f"starting: {standing}")


class _Reminder:
    """Says when to log again: at the first failure, at another one than before, and then after 30 s doubling to 5 minutes."""

    def __init__(self, since_s: float) -> None:
        self.since_s = since_s
        self._message: str | None = None
        self._next_s = since_s
        self._distance_s = _FIRST_REMINDER_S

    def is_due(self, message: str, now_s: float) -> bool:
        """Whether this failure, now, is worth a line."""
        if message == self._message and now_s < self._next_s:
            return False
        self._distance_s = _FIRST_REMINDER_S if message != self._message else min(_LONGEST_REMINDER_S, 2 * self._distance_s)
        self._message, self._next_s = message, now_s + self._distance_s
        return True
