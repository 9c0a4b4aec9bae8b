"""Send the plan on time and read all the while, in one thread, until everything is answered or nothing moves any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploy.local.demo.clients import AlertStreams, Feed, Reader, seen
from deploy.local.demo.ledger import Seen
from deploy.local.demo.names import Names
from deploy.local.demo.plan import Planned
from deploy.local.demo.stage import PHASE_WORDS, Stage

READ_S = 0.01
SHOW_EVERY_S = 0.2
CHECK_EVERY_S = 0.5
MOST_UNANSWERED = 300
HELD_BACK_S = 0.5
STALL_S = 30.0
ALERT_LIMIT_S = 15.0
LATE_S = 2.0


@dataclass(frozen=True, slots=True)
class Ends:
    """What a replay talks to; `check` raises when the worker or a part of the stack has ended."""

    feed: Feed
    reader: Reader
    streams: AlertStreams
    names: Names
    check: Callable[[], None]


class Replay:
    """One run of the plan. `show` draws the stage; it is called often."""

    def __init__(self, ends: Ends, stage: Stage, show: Callable[[], None]) -> None:
        self._ends = ends
        self._stage = stage
        self._show = show
        self._shown_s = self._checked_s = self._moved_s = time.monotonic()
        topics = ends.names.outputs
        self._booked: dict[str, Callable[[Seen], None]] = {
            topics["predictions"]: self._prediction,
            topics["dead_letters"]: self._dead_letter,
            topics["alerts"]: self._alert,
        }

    def run(self, plan: Sequence[Planned]) -> None:
        """Send, wait for the answers, wait for the alert, and look once more for what comes twice.

        Raises:
            DemoError: Kafka or Redis stopped answering, or the worker ended.
        """
        self._send(plan)
        self._wait("all is sent; waiting for the last answers", lambda: self._stage.ledger.settled, STALL_S)
        self._wait("all is answered; waiting for the alert to resolve", self._alerts_settled, ALERT_LIMIT_S)
        self._wait("looking for anything that comes twice", lambda: False, LATE_S)
        self._check(time.monotonic())
        self._stage.words = "done"
        self._show()

    def _send(self, plan: Sequence[Planned]) -> None:
        """Send each record when it is due; a worker that falls far behind is waited for, and all the rest is due later."""
        start_s = time.monotonic()
        for number, planned in enumerate(plan):
            due_s = start_s + planned.at_s + self._stage.held_back_s
            while (now_s := time.monotonic()) < due_s or self._stage.ledger.unanswered >= MOST_UNANSWERED:
                self._turn(now_s)
            if now_s > due_s + HELD_BACK_S:
                self._stage.held_back_s += now_s - due_s
            self._ends.feed.send(planned, now_s)
            self._stage.sent = number + 1
            self._stage.words = PHASE_WORDS[planned.phase]
        self._ends.feed.close()

    def _wait(self, words: str, done: Callable[[], bool], limit_s: float) -> None:
        """Turn until `done`, or until nothing new has come for `limit_s` seconds."""
        self._stage.words = words
        self._moved_s = time.monotonic()
        while not done() and (now_s := time.monotonic()) < self._moved_s + limit_s:
            self._turn(now_s)

    def _alerts_settled(self) -> bool:
        alerts = self._stage.alerts
        return bool(alerts.events) and not alerts.open and not alerts.differences

    def _turn(self, now_s: float) -> None:
        self._ends.feed.serve()
        for message in self._ends.reader.read(READ_S):
            arrived = seen(message, time.monotonic())
            self._booked[arrived.topic](arrived)
            self._moved_s = arrived.at_s
        if now_s >= self._checked_s + CHECK_EVERY_S:
            self._check(now_s)
        if now_s >= self._shown_s + SHOW_EVERY_S:
            self._shown_s = self._stage.now_s = now_s
            self._show()

    def _check(self, now_s: float) -> None:
        self._checked_s = now_s
        self._ends.check()
        self._stage.alerts.in_redis(self._ends.streams.read())

    def _prediction(self, arrived: Seen) -> None:
        body = self._stage.ledger.prediction(arrived)
        self._stage.board.prediction(body, arrived.at_s)

    def _dead_letter(self, arrived: Seen) -> None:
        self._stage.letters.append(self._stage.ledger.dead_letter(arrived))

    def _alert(self, arrived: Seen) -> None:
        self._stage.alerts.on_topic(arrived.value or b"")
