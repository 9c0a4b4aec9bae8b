from hypothesis import given
from hypothesis import strategies as st

from worker.alert.rebuild import replay_start
from worker.messages import OutRecord, TopicPartition
from worker.testing.broker import InMemoryBroker, InMemorySource

TOPIC = "sentiment.signals"
P0 = TopicPartition(TOPIC, 0)
NOW_MS = 1_700_000_000_000


def source_of(timestamps_ms: list[int]) -> InMemorySource:
    """A partition with records of these timestamps."""
    broker = InMemoryBroker({TOPIC: 1})
    for timestamp_ms in timestamps_ms:
        broker.produce(OutRecord(TOPIC, None, b"", (), timestamp_ms))
    return InMemorySource(broker, "alert")


@given(st.lists(st.integers(0, 10_000_000), min_size=1, max_size=30), st.data(), st.integers(1, 1_000_000))
def test_replay_covers_the_span(ages_ms: list[int], data: st.DataObject, span_ms: int) -> None:
    """However old the last relayed signal is, every signal of the span before it is read again."""
    timestamps_ms = sorted(NOW_MS - age for age in ages_ms)
    position = data.draw(st.integers(1, len(timestamps_ms)))
    start = replay_start(source_of(timestamps_ms), P0, position, NOW_MS, span_ms)
    last_ms = timestamps_ms[position - 1]
    assert 0 <= start <= position
    assert all(timestamp_ms < last_ms - span_ms for timestamp_ms in timestamps_ms[:start])


def test_replay_of_a_live_topic_is_short() -> None:
    """With a signal a second and a window of a minute, two to four minutes are read again, not the whole topic."""
    source = source_of([NOW_MS - age_s * 1_000 for age_s in range(10_000, 0, -1)])
    assert 10_000 - 240 <= replay_start(source, P0, 10_000, NOW_MS, 60_000) <= 10_000 - 60


def test_position_at_the_beginning_needs_no_replay() -> None:
    """Nothing lies before it."""
    assert replay_start(source_of([NOW_MS]), P0, 0, NOW_MS, 60_000) == 0
