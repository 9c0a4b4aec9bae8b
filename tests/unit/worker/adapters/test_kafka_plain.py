"""What a real broker does not do at will to a reader; the rest is contract."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import confluent_kafka as ck
import pytest

from worker.adapters.kafka import PlainReader, plain
from worker.adapters.kafka.refusals import Refusals
from worker.errors import FatalError, RetryableError
from worker.messages import Record
from worker.settings import KafkaSettings

HANDSHAKE = "FindCoordinator response error: SASL OAUTHBEARER mechanism handshake failed"


class _Consumer:
    """A consumer of t-0 to which comes what is put into `coming`."""

    def __init__(self) -> None:
        self.coming: list[Any] = []

    def list_topics(self, *_args: Any, **_named: Any) -> Any:
        partitions = {0: SimpleNamespace()}
        return SimpleNamespace(topics={"t": SimpleNamespace(partitions=partitions, error=None)})

    def poll(self, _timeout_s: float) -> None:
        pass

    def assign(self, _partitions: list[ck.TopicPartition]) -> None:
        pass

    def consume(self, _count: int, _timeout_s: float) -> list[Any]:
        taken, self.coming = self.coming, []
        return taken


def message(offset: int, error: ck.KafkaError | None = None) -> Any:
    """A record of t-0, or librdkafka's word that something is amiss."""
    fields = {"topic": "t", "partition": 0, "offset": offset, "key": None, "value": b"v", "timestamp": (1, 5), "headers": None}
    return SimpleNamespace(**{name: lambda value=value: value for name, value in {**fields, "error": error}.items()})


def failure(name: str) -> Any:
    """An error of librdkafka's, instead of a record."""
    return message(0, ck.KafkaError(getattr(ck.KafkaError, name), HANDSHAKE))


@pytest.fixture
def consumer() -> _Consumer:
    """The consumer of `reader`."""
    return _Consumer()


@pytest.fixture
def reader(consumer: _Consumer, monkeypatch: pytest.MonkeyPatch) -> PlainReader:
    """A reader of t from its beginning."""
    monkeypatch.setattr(ck, "Consumer", lambda _config: consumer)
    return PlainReader(KafkaSettings(), ["t"], from_beginning=True)


def offsets(records: Any) -> list[int]:
    """Where they stand."""
    return [record.offset for record in records if isinstance(record, Record)]


def test_a_connection_that_is_refused_once_ends_nothing(reader: PlainReader, consumer: _Consumer) -> None:
    """As one can be while its token is being renewed; what came beside it is read."""
    consumer.coming = [message(1), failure("_AUTHENTICATION"), message(2)]
    assert offsets(reader.read(0)) == [1, 2]
    consumer.coming = [message(3)]
    assert offsets(reader.read(0)) == [3]


def test_one_that_stays_refused_ends_in_half_a_minute(consumer: _Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to look at; nobody waits for a password to mend itself."""
    now_s = [1_000.0]
    monkeypatch.setattr(ck, "Consumer", lambda _config: consumer)
    monkeypatch.setattr(plain, "Refusals", partial(Refusals, clock=lambda: now_s[0]))
    reader = PlainReader(KafkaSettings(), ["t"], from_beginning=True)
    for _ in range(7):
        consumer.coming = [failure("_AUTHENTICATION")]
        assert offsets(reader.read(0)) == []
        now_s[0] += 5
    with pytest.raises(FatalError, match=r"Kafka refuses us: .*look at kafka\.sasl_mechanism"):
        list(reader.read(0))


def test_any_other_error_is_the_callers(reader: PlainReader, consumer: _Consumer) -> None:
    """A topic that was deleted, say: there is nothing to wait for."""
    consumer.coming = [failure("UNKNOWN_TOPIC_OR_PART")]
    with pytest.raises(RetryableError, match="reading topics failed"):
        list(reader.read(0))
