"""One passage of the plan through the workers, from the first message until every alert has settled."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Self

from confluent_kafka import KafkaException

from deploy.local.errors import LocalStackError
from tests.chaos.arrival import Arrival, arrival
from tests.chaos.observe import Onlooker, Subscriber, TopicNames, read_all, read_streams, relay_positions
from tests.chaos.outcome import Outcome
from tests.chaos.plan import Plan, Planned
from tests.chaos.producer import Pace, PlanProducer
from tests.chaos.stage import PARTITIONS, Stage
from tests.chaos.standstill import standstill
from tests.chaos.workers import RoleName, Workers

_LOOK_EVERY_S = 0.2
_CALM_S = 3.0
_LOST_PATIENCE_S = 20.0
"""How long to wait for more once something is known to be lost."""


class VoidError(LocalStackError):
    """The run says nothing: the input itself did not get through."""


@dataclass(frozen=True)
class Crew:
    """How many workers of each role, which bug is planted in them, if any, and whether one of each role is spared."""

    score: int
    alert: int
    planted: str = ""
    spare_one: bool = False


class Passage:
    """The topics, the workers, the sender and the onlookers of one passage; `close` ends those."""

    def __init__(self, stage: Stage, plan: Plan, run: str, crew: Crew) -> None:
        """Make the topics and the workers; nothing runs yet but the onlookers."""
        folder = self.folder = stage.new_folder(run)
        self.names = TopicNames(folder.name)
        self._stage = stage
        self._plan = plan
        (folder / "watchlist.yaml").write_text(plan.watchlist, encoding="utf-8")
        (folder / "rules.yaml").write_text(plan.rules, encoding="utf-8")
        stage.create_topics(self.names)
        stage.cluster.await_in_sync(30)
        bootstrap = stage.cluster.bootstrap
        counts: Mapping[RoleName, int] = {"score": crew.score, "alert": crew.alert}
        with ExitStack() as closing:
            env = stage.settings(self.names, folder, plan.lateness_s) | {"CHAOS_PLANTED": crew.planted}
            self.workers = Workers(folder, env, counts, spare_one=crew.spare_one)
            closing.callback(self.workers.kill)
            self.onlooker = Onlooker(bootstrap, self.names)
            closing.callback(self.onlooker.close)
            self.subscriber = Subscriber(lambda: stage.redis.url, self.names, PARTITIONS)
            closing.callback(self.subscriber.close)
            self.producer = PlanProducer(bootstrap, self.names, self.onlooker, PARTITIONS, plan.max_skew_ms)
            closing.callback(self.producer.close)
            self._closing = closing.pop_all()

    def __enter__(self) -> Self:
        """Start the workers."""
        self.workers.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all that runs."""
        self._closing.close()

    @property
    def predicted(self) -> int:
        """How many input messages have their prediction or dead letter."""
        return len(self.onlooker.accounted)

    @property
    def alerts(self) -> int:
        """How many alert events are on the topic."""
        return self.onlooker.counts[self.names.alerts]

    def begin(self, pace: Pace) -> None:
        """Begin to send the plan's messages."""
        self.producer.start(self._plan.messages, pace)

    def finish_input(self, patience_s: float, tick: Callable[[], None]) -> bool:
        """Wait until all that was planned is sent and accounted for, then the same with the closing messages.

        False when something is lost, and the rest was sent without waiting for it: the workers have committed past what has no
        outcome, or nothing went on for `patience_s` seconds.

        Raises:
            VoidError: a message could not be sent.
        """
        self.producer.pace = Pace(at_plan_times=False)
        complete = self._drained(len(self._plan.messages), patience_s, tick)
        if not complete:
            self.producer.hold.let_go()
            self._drained(len(self._plan.messages), _LOST_PATIENCE_S, tick)
        closing: tuple[Planned, ...] = self._plan.closing
        self.producer.start(closing, Pace(at_plan_times=False))
        total = len(self._plan.messages) + len(closing)
        return self._drained(total, patience_s if complete else _LOST_PATIENCE_S, tick) and complete

    def settle(self, limit_s: float, tick: Callable[[], None]) -> bool:
        """Wait until the relay has passed the last signal of every partition; False when it has not in time."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            tick()
            if time.monotonic() - self.onlooker.last_news_at > _CALM_S and self._relayed():
                return True
            time.sleep(_LOOK_EVERY_S)
        return False

    def check(self) -> None:
        """Raise VoidError if a message could not be sent."""
        if self.producer.failed:
            raise VoidError(self.producer.failed)

    def standstill(self) -> list[str]:
        """What holds it up, as far as Kafka and the workers tell, one line each."""
        return [*standstill(self._stage.cluster.bootstrap, self.names), *self.workers.last_words()]

    def outcome(self) -> Outcome:
        """Everything that there is to see now, read from the beginning."""
        names, bootstrap = self.names, self._stage.cluster.bootstrap
        return Outcome(
            predictions=read_all(bootstrap, names.predictions, names.neutral),
            dead_letters=read_all(bootstrap, names.dead_letters, names.neutral),
            alerts=read_all(bootstrap, names.alerts, names.neutral),
            stream_seen=list(self.subscriber.seen),
            stream_end=read_streams(self._stage.redis.url, names, PARTITIONS),
        )

    def arrived(self) -> Arrival:
        """What the input topics hold of the plan.

        Raises:
            ValueError: they hold something else.
        """
        names, bootstrap = self.names, self._stage.cluster.bootstrap
        inputs = [record for topic in names.inputs.values() for record in read_all(bootstrap, topic, lambda body: body)]
        return arrival(self._plan, inputs)

    def _drained(self, count: int, patience_s: float, tick: Callable[[], None]) -> bool:
        moved_at, moved, past_at = time.monotonic(), (0, 0), 0.0
        while not (self.producer.done and self.predicted >= count and self.producer.hold.oldest_ms() is None):
            tick()
            self.check()
            now = (self.producer.acknowledged, self.predicted)
            if now != moved:
                moved_at, moved, past_at = time.monotonic(), now, 0.0
            calm_s = time.monotonic() - moved_at
            if not past_at and calm_s > _CALM_S and self._committed_past_all():
                past_at = time.monotonic()
            if calm_s > patience_s or (past_at and time.monotonic() - past_at > _CALM_S):
                return False
            time.sleep(_LOOK_EVERY_S)
        return True

    def _committed_past_all(self) -> bool:
        """Whether the score group's offsets lie past all that was sent: what has no outcome soon, never will."""
        with suppress(KafkaException):
            for topic in self.names.inputs.values():
                positions = relay_positions(self._stage.cluster.bootstrap, f"{self.names.run}-score", topic, PARTITIONS)
                if any(positions.get(number, -1) < self.producer.ends[topic, number] for number in range(PARTITIONS)):
                    return False
            return True
        return False

    def _relayed(self) -> bool:
        with suppress(KafkaException):
            group = f"{self.names.run}-alert"
            positions = relay_positions(self._stage.cluster.bootstrap, group, self.names.signals, PARTITIONS)
            return all(positions.get(number, -1) >= end for number, end in self.onlooker.signal_ends.items())
        return False
