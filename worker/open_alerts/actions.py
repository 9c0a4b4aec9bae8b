"""What people do about alerts: written into the log of signals, then waited for until the alert role has taken it."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from worker.codec import control_record
from worker.errors import RetryableError, SelectionError
from worker.messages import Acknowledge, AlertEvent, Control, Expire, OutRecord, Silence, TopicPartition
from worker.open_alerts.book import Book, Entry

_LOOK_AGAIN_S = 0.1


class Log(Protocol):
    """Where control records go."""

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Return all partitions of a topic."""
        ...

    def send(self, records: Sequence[OutRecord]) -> None:
        """Write all of them, in one transaction."""
        ...


class Desk:
    """Does what it is told and waits for `wait_s` until it has been done.

    Args:
        sleep, monotonic: how it waits, in seconds.

    Each action raises RetryableError if the alert role has not taken it by then; it stands in the log all the same.
    """

    def __init__(
        self,
        log: Log,
        book: Book,
        topic: str,
        wait_s: float = 10.0,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._book = book
        self._topic = topic
        self._wait_s = wait_s
        self._sleep = sleep
        self._monotonic = monotonic

    def acknowledge(self, entry: Entry, said: Acknowledge) -> AlertEvent:
        """Have an alert acknowledged, and return the event that says so.

        Raises:
            SelectionError: the alert ended before.
        """
        self._log.send([control_record(entry.partition, said)])
        found: list[AlertEvent] = []

        def is_done() -> bool:
            for other in self._book.alerts():
                if other.event.alert_id == said.alert_id:
                    found[:] = [other.event]
                    told = other.event.acknowledgement
                    return told is not None and (told.author, told.at_ms) == (said.author, said.at_ms)
            raise SelectionError(f"the alert {said.alert_id} ended before it could be acknowledged")

        self._wait(is_done, "acknowledgement")
        return found[0]

    def silence(self, silence: Silence) -> None:
        """Have every partition know a silence."""
        partitions = self._say(silence)
        self._wait(lambda: self._book.silenced_in(silence.id) >= partitions, "silence")

    def expire(self, silence_id: str) -> None:
        """Have every partition forget a silence.

        Raises:
            SelectionError: no partition knows of it.
        """
        if not self._book.silenced_in(silence_id):
            raise SelectionError(f"there is no silence {silence_id}; `tidings alerts silence list` shows those that there are")
        self._say(Expire(silence_id))
        self._wait(lambda: not self._book.silenced_in(silence_id), "end of the silence")

    def _say(self, control: Control) -> set[TopicPartition]:
        partitions = self._log.partitions(self._topic)
        self._log.send([control_record(partition, control) for partition in partitions])
        return set(partitions)

    def _wait(self, is_done: Callable[[], bool], what: str) -> None:
        deadline_s = self._monotonic() + self._wait_s
        while not is_done():
            if self._monotonic() >= deadline_s:
                raise RetryableError(
                    f"the {what} is written, but no alert role has taken it within {self._wait_s:g} s: is one running"
                    " (`tidings work --roles alert`), or far behind? It is taken when one comes to it; no need to repeat it"
                )
            self._sleep(_LOOK_AGAIN_S)
