"""Sends the plan: in order, at its rate, each message once, and never so far ahead that a fault could make one late."""

from __future__ import annotations

import heapq
import threading
import time
import zlib
from collections import deque
from collections.abc import Container, Sequence
from dataclasses import dataclass

import confluent_kafka as ck

from tests.chaos.observe import Onlooker, Place, TopicNames
from tests.chaos.plan import Planned

_LOOK_EVERY_S = 0.02
_ENDLESS_MS = 10**15
_DELIVERY_S = 90.0
"""Whatever is not acknowledged so long after the last acknowledgement never will be; seen once with librdkafka 2.16.0."""


def partition_of(message: Planned, number: int, partitions: int) -> int:
    """Choose a partition that is the same in every run: by key, and by the message's number in the plan without one."""
    return (zlib.crc32(message.key) if message.key is not None else number) % partitions


class HoldBack:
    """Whether the next message may go: its event time less that of the oldest one not accounted for stays within `most_ms`."""

    def __init__(self, most_ms: int, accounted: Container[Place]) -> None:
        self._most_ms = most_ms
        self._accounted = accounted
        self._open: list[tuple[int, int]] = []
        self._places: dict[int, Place] = {}

    def sent(self, number: int, event_time_ms: int) -> None:
        """Take note of a message that goes out."""
        heapq.heappush(self._open, (event_time_ms, number))

    def placed(self, number: int, place: Place) -> None:
        """Take note of where Kafka put it."""
        self._places[number] = place

    def let_go(self) -> None:
        """Hold nothing back any more: what is open is lost, and to wait for it is in vain."""
        self._most_ms = _ENDLESS_MS

    def oldest_ms(self) -> int | None:
        """The smallest event time among those not accounted for, None without any."""
        while self._open and self._places.get(self._open[0][1]) in self._accounted:
            _, number = heapq.heappop(self._open)
            del self._places[number]
        return self._open[0][0] if self._open else None

    def allows(self, event_time_ms: int) -> bool:
        """Whether a message of this event time may go out now."""
        oldest_ms = self.oldest_ms()
        return oldest_ms is None or event_time_ms - oldest_ms <= self._most_ms


@dataclass(frozen=True)
class Pace:
    """How fast: at the plan's own times (`at_s`), or as fast as the hold-back lets through."""

    at_plan_times: bool


class PlanProducer:
    """The thread that sends; `failed` says why the run is void, empty while all is well."""

    def __init__(self, bootstrap: str, names: TopicNames, onlooker: Onlooker, partitions: int, most_ms: int) -> None:
        self._names = names
        self._partitions = partitions
        self.hold = HoldBack(most_ms, onlooker.accounted)
        self._placed: deque[tuple[int, Place]] = deque()
        self._stop = threading.Event()
        self.sent = 0
        self.acknowledged = 0
        self.failed = ""
        self.pace = Pace(at_plan_times=True)
        self._producer = ck.Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 0,  # never: whatever happens to the brokers, it is delivered once they are back
                "linger.ms": 5,
                "log_level": 0,
                "reconnect.backoff.max.ms": 1_000,
                "error_cb": self._on_error,
            }
        )
        self._thread: threading.Thread | None = None

    def start(self, messages: Sequence[Planned], pace: Pace) -> None:
        """Begin to send these; the earlier ones have all been sent."""
        if self._thread is not None and self._thread.is_alive():
            self.failed = self.failed or "the earlier messages could not all be sent"
            return
        self.pace = pace
        self._thread = threading.Thread(target=self._send_all, args=(messages,), name="plan-producer", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether everything was handed over and acknowledged."""
        thread = self._thread
        return thread is not None and not thread.is_alive() and self.acknowledged == self.sent

    def close(self) -> None:
        """Stop, sent or not."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
        self._producer.purge()
        self._producer.flush(1)

    def _send_all(self, messages: Sequence[Planned]) -> None:
        began = time.monotonic()
        for message in messages:
            while not self._stop.is_set() and not self._may_go(message, time.monotonic() - began):
                self._producer.poll(_LOOK_EVERY_S)
                self._note_places()
            if self._stop.is_set():
                return
            self._send(message)
        self._await_deliveries()

    def _await_deliveries(self) -> None:
        moved_at, moved = time.monotonic(), self.acknowledged
        while self.acknowledged < self.sent and not self._stop.is_set():
            self._producer.poll(0.1)
            self._note_places()
            if self.acknowledged != moved:
                moved_at, moved = time.monotonic(), self.acknowledged
            if time.monotonic() - moved_at > _DELIVERY_S:
                self.failed = f"{self.sent - self.acknowledged} messages were not acknowledged within {_DELIVERY_S:.0f} s"
                return

    def _may_go(self, message: Planned, now_s: float) -> bool:
        if self.pace.at_plan_times and message.at_s > now_s:
            return False
        return self.hold.allows(message.event_time_ms)

    def _send(self, message: Planned) -> None:
        number = self.sent
        topic = self._names.inputs[message.kind]
        self.hold.sent(number, message.event_time_ms)
        self._producer.produce(
            topic,
            message.value,
            message.key,
            partition_of(message, number, self._partitions),
            on_delivery=lambda error, where: self._on_delivery(number, error, where),
            timestamp=message.timestamp_ms,
            headers=list(message.headers),
        )
        self.sent += 1
        self._producer.poll(0)
        self._note_places()

    def _on_delivery(self, number: int, error: ck.KafkaError | None, where: ck.Message) -> None:
        if error is not None:
            self.failed = self.failed or f"message {number} was not delivered: {error.str()}"
            return
        self.acknowledged += 1
        self._placed.append((number, (where.topic() or "", where.partition() or 0, where.offset() or 0)))

    def _note_places(self) -> None:
        while self._placed:
            self.hold.placed(*self._placed.popleft())

    def _on_error(self, error: ck.KafkaError) -> None:
        if error.fatal():
            self.failed = self.failed or f"the plan's producer failed: {error.str()}"
