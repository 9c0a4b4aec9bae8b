import io
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import pytest

from worker import produce as producing
from worker.errors import RetryableError
from worker.messages import OutRecord
from worker.produce import Plan, produce
from worker.settings import KafkaSettings


class Producer:
    """Keeps what it is given; `flushed` is how many had been sent when it was flushed."""

    def __init__(self, _settings: KafkaSettings) -> None:
        self.sent: list[OutRecord] = []
        self.flushed: int | None = None

    def send(self, record: OutRecord) -> None:
        """Keep."""
        self.sent.append(record)

    def require(self, topic: str) -> None:
        """Every topic is there."""

    def flush(self) -> None:
        """Note."""
        self.flushed = len(self.sent)


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> Producer:
    """The producer that `produce` gets."""
    one = Producer(KafkaSettings())
    monkeypatch.setattr(producing, "PlainProducer", lambda _settings: one)
    return one


@pytest.mark.parametrize(
    ("lines", "sent"),
    [
        (b"", []),
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\r\nb", [b"a", b"b"]),
        (b"\n\na\n\n", [b"a"]),
        (b" a \n", [b" a "]),
        (b"\xff\x00\n", [b"\xff\x00"]),
    ],
)
def test_lines_are_sent_byte_for_byte(producer: Producer, lines: bytes, sent: list[bytes]) -> None:
    """Each line that is not empty, without its line end, delivered when the call returns."""
    assert produce(KafkaSettings(), Plan("news", 0), io.BytesIO(lines)) == len(sent)
    assert [(record.topic, record.key, record.value) for record in producer.sent] == [("news", None, line) for line in sent]
    assert producer.flushed == len(sent)


@pytest.mark.parametrize(
    ("line", "text"), [(b'it\'s "good"', 'it\'s "good"'), (b"caf\xe9", "caf\ufffd"), ("é🚀".encode(), "é🚀")]
)
def test_plain_text_is_wrapped(producer: Producer, line: bytes, text: str) -> None:
    """With `as_text` each line becomes a message; what is no UTF-8 gets the replacement character."""
    produce(KafkaSettings(), Plan("chat", 0, as_text=True), io.BytesIO(line))
    assert [json.loads(record.value or b"") for record in producer.sent] == [{"text": text}]


class Interrupted(io.BytesIO):
    """Ctrl-C after two lines."""

    def __iter__(self) -> Iterator[bytes]:  # type: ignore[override]
        yield b"a\n"
        yield b"b\n"
        raise KeyboardInterrupt


def test_ctrl_c_delivers_what_was_sent(producer: Producer) -> None:
    """The count is of what was delivered."""
    lines: BinaryIO = Interrupted()
    assert produce(KafkaSettings(), Plan("news", 0), lines) == 2
    assert producer.flushed == 2


def test_a_missing_topic_is_named_before_anything_is_sent(producer: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka itself would say so only after half a minute, and not which."""

    def missing(topic: str) -> None:
        raise RetryableError(f"no such topic: {topic}")

    monkeypatch.setattr(producer, "require", missing)
    with pytest.raises(RetryableError, match="no such topic: nosuch"):
        produce(KafkaSettings(), Plan("nosuch", 0), io.BytesIO(b"a"))
    assert producer.sent == []


def test_what_cannot_be_delivered_is_an_error(producer: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not counted in silence."""

    def fail() -> None:
        raise RetryableError("a record could not be delivered")

    monkeypatch.setattr(producer, "flush", fail)
    with pytest.raises(RetryableError):
        produce(KafkaSettings(), Plan("news", 0), io.BytesIO(b"a"))


class Time:
    """A clock that only sleeping and `late_s` turn."""

    def __init__(self, late_s: list[float] | None = None) -> None:
        self.now_s = 50.0
        self.slept: list[float] = []
        self._late_s = iter(late_s or [])

    def monotonic(self) -> float:
        """Now."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Sleep, and be late."""
        self.slept.append(seconds)
        self.now_s += seconds + next(self._late_s, 0.0)


@pytest.mark.parametrize(("rate", "took_s"), [(0, 0), (10, 0.9), (0.5, 18.0)])
def test_the_rate_is_kept(monkeypatch: pytest.MonkeyPatch, producer: Producer, rate: float, took_s: float) -> None:
    """So many a second, the first at once; without a rate nobody waits."""
    clock = Time()
    monkeypatch.setattr(producing, "time", clock)
    produce(KafkaSettings(), Plan("news", rate), io.BytesIO(b"a\n" * 10))
    assert clock.now_s - 50 == pytest.approx(took_s)
    assert len(producer.sent) == 10


def test_a_delay_is_not_made_up_for_by_a_burst(monkeypatch: pytest.MonkeyPatch, producer: Producer) -> None:
    """After ten seconds away, at most one second's worth is caught up."""
    clock = Time(late_s=[10.0])
    monkeypatch.setattr(producing, "time", clock)
    produce(KafkaSettings(), Plan("news", 10), io.BytesIO(b"a\n" * 30))
    at_once: list[Any] = [pause for pause in clock.slept if pause == 0]
    assert len(at_once) <= 10
    assert len(producer.sent) == 30
