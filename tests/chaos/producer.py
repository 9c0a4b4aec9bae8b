"""Sends the plan: in order, at its rate, each message once, and never so far ahead that a fault could make one late."""

from __future__ import annotations

import heapq
import threading
import time
import zlib
from collections import defaultdict, deque
from collections.abc import Container, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import confluent_kafka as ck
from confluent_kafka import KafkaException

from tests.chaos.observe import Onlooker, Place, TopicNames, read_from
from tests.chaos.plan import Planned

_LOOK_EVERY_S = 0.02
_ENDLESS_MS = 10**15
_DELIVERY_S = 150.0
"""Whatever cannot be delivered for so long, with all brokers down for no longer than a restart takes, never will be."""
_ATTEMPT_S = 8.0
_SETTLE_S = 1.5
"""What a broker has received and not written by then, it never will."""
_BATCH = 100


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


class Numbered(NamedTuple):
    """A message and its number in the plan."""

    number: int
    message: Planned


@dataclass(frozen=True)
class Pace:
    """How fast: at the plan's own times (`at_s`) or by so much ahead of them, or as fast as the hold-back lets through."""

    at_plan_times: bool
    ahead_s: float = 0.0


class PlanProducer:
    """The thread that sends; `failed` says why the run is void, empty while all is well.

    Each message once, whatever happens to the brokers: what was not acknowledged is looked for in the log before it is sent
    again, by a new client. librdkafka's idempotent producer does not do for this: with brokers killed under it, it was seen to
    write a record twice, to acknowledge one that was not in the log, and to stand still for minutes (2.16.0, Kafka 4.3.1).
    """

    def __init__(self, bootstrap: str, names: TopicNames, onlooker: Onlooker, partitions: int, most_ms: int) -> None:
        self._bootstrap = bootstrap
        self._names = names
        self._partitions = partitions
        self.hold = HoldBack(most_ms, onlooker.accounted)
        self._floors: defaultdict[tuple[str, int], int] = defaultdict(int)
        """Where, in each partition, to look from for a message that was not acknowledged."""
        self.ends: defaultdict[tuple[str, int], int] = defaultdict(int)
        """The offset after the last message that is known to be in each partition."""
        self._stop = threading.Event()
        self.sent = 0
        self.acknowledged = 0
        self.failed = ""
        self.pace = Pace(at_plan_times=True)
        self._producer = self._client()
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

    def _client(self) -> ck.Producer:
        return ck.Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "acks": "all",
                "message.send.max.retries": 0,
                "message.timeout.ms": int(_ATTEMPT_S * 1_000),
                "linger.ms": 2,
                "log_level": 0,
                "reconnect.backoff.max.ms": 1_000,
            }
        )

    def _send_all(self, messages: Sequence[Planned]) -> None:
        began = time.monotonic()
        waiting = deque(messages)
        while waiting and not self._stop.is_set():
            batch: list[Numbered] = []
            while waiting and len(batch) < _BATCH and self._may_go(waiting[0], time.monotonic() - began):
                batch.append(Numbered(self.sent, waiting.popleft()))
                self.hold.sent(self.sent, batch[-1].message.event_time_ms)
                self.sent += 1
            if batch:
                self._deliver(batch)
            else:
                time.sleep(_LOOK_EVERY_S)

    def _may_go(self, message: Planned, now_s: float) -> bool:
        if self.pace.at_plan_times and message.at_s > now_s + self.pace.ahead_s:
            return False
        return self.hold.allows(message.event_time_ms)

    def _deliver(self, batch: Sequence[Numbered]) -> None:
        """Send until each is in the log."""
        deadline = time.monotonic() + _DELIVERY_S
        left = list(batch)
        while left and not self._stop.is_set():
            placed = self._attempt(left)
            if len(placed) < len(left):
                self._producer = self._client()
                self._stop.wait(_SETTLE_S)
                placed |= self._look_up([one for one in left if one.number not in placed])
            for number, place in placed.items():
                self.hold.placed(number, place)
                self.ends[place[:2]] = max(self.ends[place[:2]], place[2] + 1)
                self.acknowledged += 1
            left = [one for one in left if one.number not in placed]
            if left and time.monotonic() > deadline:
                self.failed = f"{len(left)} messages could not be delivered within {_DELIVERY_S:.0f} s"
                return
        for one in batch:
            self._floors[self._place_of(one)] += 1

    def _place_of(self, one: Numbered) -> tuple[str, int]:
        return self._names.inputs[one.message.kind], partition_of(one.message, one.number, self._partitions)

    def _attempt(self, batch: Sequence[Numbered]) -> dict[int, Place]:
        """Send each once, and return the places of those that were acknowledged."""
        placed: dict[int, Place] = {}

        def settle(number: int, error: ck.KafkaError | None, where: ck.Message) -> None:
            if error is None:
                placed[number] = (where.topic() or "", where.partition() or 0, where.offset() or 0)

        for one in batch:
            topic, partition = self._place_of(one)
            self._producer.produce(
                topic,
                one.message.value,
                one.message.key,
                partition,
                on_delivery=partial(settle, one.number),
                timestamp=one.message.timestamp_ms,
                headers=list(one.message.headers),
            )
        self._producer.flush(_ATTEMPT_S + 2)
        return placed

    def _look_up(self, unsure: Sequence[Numbered]) -> dict[int, Place]:
        """Find in the log what was not acknowledged and got there all the same."""
        found: dict[int, Place] = {}
        wanted: dict[object, int] = {(one.message.key, one.message.value, one.message.headers): one.number for one in unsure}
        for topic, partition in {self._place_of(one) for one in unsure}:
            with suppress(KafkaException):
                for record in read_from(self._bootstrap, topic, partition, self._floors[topic, partition]):
                    number = wanted.get((record.key, record.value, record.headers))
                    if number is not None:
                        found[number] = (topic, partition, record.offset)
        return found
