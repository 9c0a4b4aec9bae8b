"""The replay sends in order, books whatever comes back, and knows when it is over. Kafka and Redis are lists here."""

import itertools
import json
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from deploy.local.demo import replay
from deploy.local.demo.clients import AlertStreams, Feed, Reader
from deploy.local.demo.errors import DemoError
from deploy.local.demo.ledger import Position
from deploy.local.demo.names import Names
from deploy.local.demo.plan import Planned
from deploy.local.demo.replay import Ends, Replay
from deploy.local.demo.stage import Stage
from tests.unit.deploy.demo.builders import START_MS, a_message, a_stage, an_alert, bad_input

PLAN = [a_message("m-1"), bad_input(), a_message("m-2")]


class FakeRecord:
    """A record as the Kafka client gives it."""

    def __init__(self, topic: str, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        self.topic: Callable[[], str] = lambda: topic
        self.key: Callable[[], bytes | None] = lambda: key
        self.value: Callable[[], bytes] = lambda: value
        self.headers: Callable[[], list[tuple[str, bytes]]] = lambda: headers


class FakeKafka:
    """Feed and reader in one: a worker that answers at once, `echoes` times, with an alert at the end."""

    def __init__(self, stage: Stage, echoes: int = 1) -> None:
        self._stage = stage
        self._echoes = echoes
        self._records: list[FakeRecord] = []
        self.sent: list[str | None] = []

    def send(self, planned: Planned, at_s: float) -> None:
        """Book and answer."""
        self.sent.append(planned.id)
        self._stage.ledger.sent(planned, at_s)
        position = Position("news", 0, len(self.sent))
        self._stage.ledger.delivered(planned, position)
        answer = _letter(planned, position) if planned.id is None else _prediction(planned.id)
        self._records += [answer] * self._echoes

    def serve(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """All is sent: the alert comes and goes."""
        states = ("firing", "resolved")
        self._records += [FakeRecord("sentiment.alerts", b"topic:film", an_alert(state), []) for state in states]

    def read(self, _timeout_s: float) -> list[Any]:
        """Return what there is."""
        records, self._records = self._records, []
        return records


def _prediction(name: str) -> FakeRecord:
    body = {"id": name, "label": "negative", "entities": [], "topics": ["film"], "event_time_ms": START_MS}
    return FakeRecord("sentiment.predictions", name.encode(), json.dumps(body).encode(), [])


def _letter(planned: Planned, position: Position) -> FakeRecord:
    origin = {"topic": position.topic, "partition": position.partition, "offset": position.offset, "reason": "not_json"}
    headers = [(f"tidings.{name}", str(value).encode()) for name, value in origin.items()]
    return FakeRecord("sentiment.dead-letters", None, planned.body, headers)


class SlowKafka(FakeKafka):
    """A worker that answers nothing for twenty reads, and then everything."""

    most_unanswered = 0

    def read(self, timeout_s: float) -> list[Any]:
        """Return what there is, now and then."""
        self.most_unanswered = max(self.most_unanswered, self._stage.ledger.unanswered)
        self._reads = getattr(self, "_reads", 0) + 1
        return [] if self._reads % 20 else super().read(timeout_s)


class FakeStreams:
    """Redis with both alert events."""

    def read(self) -> list[bytes]:
        """Return them."""
        return [an_alert("firing"), an_alert("resolved")]


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by 0.1 s whenever it is asked."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks) / 10)


def played(stage: Stage, kafka: FakeKafka, check: Callable[[], None] = lambda: None) -> Stage:
    """Run the plan."""
    ends = Ends(cast("Feed", kafka), cast("Reader", kafka), cast("AlertStreams", FakeStreams()), Names(), check)
    Replay(ends, stage, lambda: None).run(PLAN)
    return stage


def test_everything_is_sent_in_order_and_booked() -> None:
    """Each record goes out once, in the plan's order, and each answer is booked where it belongs."""
    stage = a_stage()
    kafka = FakeKafka(stage)
    played(stage, kafka)
    assert kafka.sent == ["m-1", None, "m-2"]
    assert (stage.sent, stage.ledger.predictions, stage.ledger.dead_letters) == (3, 2, 1)
    assert stage.alerts.came_full_circle == {"topic:film"}
    assert stage.letters == ["a number: not_json"]
    assert stage.board.series["topic:film"].all.messages == 2


def test_doubles_are_seen() -> None:
    """What comes twice is counted."""
    stage = a_stage()
    assert played(stage, FakeKafka(stage, echoes=2)).ledger.duplicates == 3


def test_it_gives_up_on_what_does_not_come() -> None:
    """A run without answers ends by itself, and counts them as lost."""
    stage = a_stage()
    assert len(played(stage, FakeKafka(stage, echoes=0)).ledger.lost) == 3


def test_a_slow_worker_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than a bound is sent ahead of the answers; the wait is on record, and every message still goes out once."""
    monkeypatch.setattr(replay, "MOST_UNANSWERED", 1)
    stage = a_stage()
    kafka = SlowKafka(stage)
    played(stage, kafka)
    assert kafka.sent == ["m-1", None, "m-2"]
    assert kafka.most_unanswered == 1
    assert stage.held_back_s > 1
    assert stage.ledger.lost == []


def test_a_quick_worker_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is held back when the answers come at once."""
    monkeypatch.setattr(replay, "MOST_UNANSWERED", 1)
    stage = a_stage()
    assert played(stage, FakeKafka(stage)).held_back_s == 0


def test_redis_is_compared() -> None:
    """The events of the Redis streams are those of the topic."""
    stage = a_stage()
    assert played(stage, FakeKafka(stage)).alerts.differences == []


def test_a_dead_worker_ends_the_run() -> None:
    """When the worker or a part has ended the run ends with that error."""

    def check() -> None:
        raise DemoError("the worker ended with status 1")

    stage = a_stage()
    with pytest.raises(DemoError, match="status 1"):
        played(stage, FakeKafka(stage), check)
