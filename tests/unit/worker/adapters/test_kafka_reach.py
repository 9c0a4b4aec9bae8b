"""What a real broker cannot be made to show at will of an offset that the log does not have; the rest is contract."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import confluent_kafka as ck
import pytest
from structlog.testing import capture_logs

from tests.contract.kafka_brokers import Recorder
from worker.adapters.kafka import KafkaSource
from worker.adapters.kafka.reach import Astray, back_in_reach
from worker.errors import FatalError, RetryableError
from worker.messages import TopicPartition
from worker.settings import KafkaSettings

P0 = TopicPartition("t", 0)
OUT_OF_REACH = "fetch failed due to requested offset not available on the broker: Broker: Offset out of range (broker 1)"
TRUNCATED = "Partition log truncation detected at offset 9 (leader epoch 3): broker end offset is 7 (offset leader epoch 2)."


@pytest.mark.parametrize(("asked", "start"), [(0, 3), (2, 3), (3, 1), (5, 1), (9, 1), (None, 1)], ids=lambda value: f"{value}")
def test_where_to_go_on(asked: int | None, start: int) -> None:
    """Where the log begins, if that lies past what is asked for; else where we stand, for what was amiss has passed."""
    assert back_in_reach(Astray(P0, asked, 1, OUT_OF_REACH), 3, 9, "g") == start


@pytest.mark.parametrize(("asked", "said"), [(10, "at offset 10, but ends at 9"), (None, "broker end offset is 7")])
def test_a_log_that_lost_its_end(asked: int | None, said: str) -> None:
    """One sentence: what happened, to which partition, and what to do for which group."""
    with pytest.raises(FatalError, match=said) as told:
        back_in_reach(Astray(P0, asked, 1, TRUNCATED), 3, 9, "tidings-score")
    for part in ("t-0 ", "lost its end", "the group tidings-score", "kafka-consumer-groups.sh --reset-offsets", "Redis"):
        assert part in str(told.value)


class _Astray:
    """A consumer that was assigned t-0 at 5, and tells errors and records as they are put into `coming`."""

    def __init__(self, _config: dict[str, Any]) -> None:
        self.coming: list[Any] = []
        self.done: list[tuple[str, int | None]] = []
        self.log: tuple[int, int] | ck.KafkaException = (7, 9)
        self.is_fetching = True
        self.rebalances: list[list[ck.TopicPartition]] = []
        """What the next polls bring by way of new partitions."""

    def subscribe(self, _topics: list[str], on_assign: Callable[..., None], **callbacks: Any) -> None:
        self.on_assign, self.callbacks = on_assign, callbacks
        on_assign(self, [ck.TopicPartition("t", 0)])

    def committed(self, partitions: list[ck.TopicPartition], timeout: float) -> list[ck.TopicPartition]:
        assert timeout > 0
        return [ck.TopicPartition(p.topic, p.partition, 5) for p in partitions]

    def poll(self, _timeout_s: float) -> Any:
        if self.rebalances:
            self.on_assign(self, self.rebalances.pop(0))
        return self.coming.pop(0) if self.coming else None

    def consume(self, _count: int, _timeout_s: float) -> list[Any]:
        taken, self.coming = self.coming, []
        return taken

    def seek(self, partition: ck.TopicPartition) -> None:
        if not self.is_fetching:
            raise ck.KafkaException(ck.KafkaError(ck.KafkaError._STATE))
        self.done.append(("seek", partition.offset))

    def get_watermark_offsets(self, _partition: ck.TopicPartition, timeout: float) -> tuple[int, int]:
        assert timeout > 0
        if isinstance(self.log, ck.KafkaException):
            raise self.log
        return self.log

    def incremental_assign(self, partitions: list[ck.TopicPartition]) -> None:
        self.done += [("assign", partition.offset) for partition in partitions]

    def incremental_unassign(self, partitions: list[ck.TopicPartition]) -> None:
        self.done += [("unassign", None) for _ in partitions]

    def resume(self, partitions: list[ck.TopicPartition]) -> None:
        """Nothing is paused."""


def error(offset: int | None, text: str = OUT_OF_REACH) -> Any:
    """A message of librdkafka's that t-0 cannot be read at this offset."""
    cause = ck.KafkaError(ck.KafkaError._AUTO_OFFSET_RESET, text)
    return SimpleNamespace(topic=lambda: "t", partition=lambda: 0, offset=lambda: offset, error=lambda: cause)


def record(offset: int) -> Any:
    """A record of t-0."""
    body = {"key": None, "value": b"v", "timestamp": (1, 5), "headers": None, "error": None}
    place = {"topic": "t", "partition": 0, "offset": offset}
    return SimpleNamespace(**{name: lambda value=value: value for name, value in {**body, **place}.items()})


@pytest.fixture
def consumer() -> _Astray:
    """The consumer of `source`."""
    return _Astray({})


@pytest.fixture
def source(consumer: _Astray, monkeypatch: pytest.MonkeyPatch) -> KafkaSource:
    """A member of a group that stands at 5."""
    monkeypatch.setattr(ck, "Consumer", lambda _config: consumer)
    made = KafkaSource(KafkaSettings(), "g")
    made.subscribe(["t"], Recorder())
    consumer.done.clear()
    return made


def test_what_was_fetched_before_the_loss_is_returned(source: KafkaSource, consumer: _Astray) -> None:
    """Only what lies between it and the beginning of the log is lost."""
    consumer.coming = [record(5), error(6)]
    assert [got.offset for got in source.poll(10, 0)] == [5]
    assert (source.expired, consumer.done) == (1, [("unassign", None), ("assign", 7)])


@pytest.mark.parametrize("asked", [5, 6])
def test_old_news_of_a_partition_that_was_sought_since_is_passed_over(
    source: KafkaSource, consumer: _Astray, asked: int
) -> None:
    """It would take the partition back to where it was."""
    source.seek({P0: 8})
    consumer.coming = [error(asked)]
    source.poll(10, 0)
    assert (source.expired, consumer.done) == (0, [("seek", 8)])


def test_news_of_a_partition_that_went_is_passed_over(source: KafkaSource, consumer: _Astray) -> None:
    """It is another member's."""
    consumer.callbacks["on_revoke"](consumer, [ck.TopicPartition("t", 0)])
    consumer.coming = [error(5)]
    source.poll(10, 0)
    assert (source.expired, consumer.done) == (0, [("unassign", None)])


def test_a_passing_fault_skips_nothing(source: KafkaSource, consumer: _Astray) -> None:
    """The log has the offset after all: the partition is begun again where we stand, be librdkafka further."""
    consumer.log, consumer.coming = (0, 90), [error(8)]
    with capture_logs() as logged:
        source.poll(10, 0)
    assert (source.expired, consumer.done) == (0, [("unassign", None), ("assign", 5)])
    assert [line["log_level"] for line in logged] == ["warning"]


def test_a_log_that_was_cut_ends_the_process(source: KafkaSource, consumer: _Astray) -> None:
    """The client, which compared the leader's epochs, names no offset then."""
    consumer.coming = [error(None, TRUNCATED)]
    with pytest.raises(FatalError, match="t-0 has lost its end"):
        source.poll(10, 0)


def test_a_question_that_is_not_answered_is_put_again(source: KafkaSource, consumer: _Astray) -> None:
    """The partition is not forgotten over it."""
    consumer.log = ck.KafkaException(ck.KafkaError(ck.KafkaError._TIMED_OUT))
    consumer.coming = [error(5)]
    with pytest.raises(RetryableError, match="looking for an offset of t-0"):
        source.poll(10, 0)
    consumer.log = (7, 9)
    source.poll(10, 0)
    assert (source.expired, consumer.done) == (2, [("unassign", None), ("assign", 7)])


def test_a_lacking_permission_is_told_as_one(source: KafkaSource, consumer: _Astray) -> None:
    """An offset that may not be asked for is none that the log does not have."""
    consumer.log = ck.KafkaException(ck.KafkaError(ck.KafkaError.TOPIC_AUTHORIZATION_FAILED))
    consumer.coming = [error(None, "failed to query logical offset: Broker: Topic authorization failed (broker 1)")]
    with pytest.raises(FatalError, match="grant"):
        source.poll(10, 0)


def test_a_rewind_within_a_rebalance_is_done_after_it(source: KafkaSource, consumer: _Astray) -> None:
    """To unassign from within would count as the answer to the rebalance."""

    class Rewinding(Recorder):
        def on_assigned(self, partitions: Any) -> Any:
            if not partitions:
                source.seek({P0: 6})
                assert consumer.done == []
            return super().on_assigned(partitions)

    source.subscribe(["t"], Rewinding())
    consumer.done.clear()
    consumer.is_fetching = False
    consumer.rebalances.append([])
    source.poll(10, 0)
    assert consumer.done == [("unassign", None), ("assign", 6)]


def test_a_rebalance_has_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The listener's questions and the source's own wait, together, no longer than one of them may."""
    now_s, asked = [1_000.0], list[float]()

    class Blocked(_Astray):
        def committed(self, partitions: list[ck.TopicPartition], timeout: float) -> list[ck.TopicPartition]:  # noqa: ARG002 - no answer
            asked.append(timeout)
            now_s[0] += timeout
            raise ck.KafkaException(ck.KafkaError(ck.KafkaError.UNSTABLE_OFFSET_COMMIT))

    class Asking(Recorder):
        def on_assigned(self, partitions: Any) -> Any:
            for _ in range(2):
                with pytest.raises(RetryableError):
                    member.committed(partitions)
            return super().on_assigned(partitions)

    monkeypatch.setattr(ck, "Consumer", Blocked)
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    settings = KafkaSettings()
    member = KafkaSource(settings, "g")
    with pytest.raises(FatalError, match="cannot be begun"):
        member.subscribe(["t"], Asking())
    assert len(asked) >= 3
    assert sum(asked) < settings.transaction_timeout_s + 15 + len(asked) < settings.max_poll_interval_s
