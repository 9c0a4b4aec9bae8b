import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.alert.builders import event, rules, signal
from worker.alert.lifecycle import OK, Life
from worker.alert.rebuild import Reach, as_told, past, replay_start
from worker.alert.state import KeyState, RuleState
from worker.codec import encode_signal
from worker.messages import AlertEvent, OutRecord, Record, TopicPartition
from worker.ports import StoredEvent
from worker.testing.broker import InMemoryBroker, InMemoryHistory, InMemorySource

TOPIC = "sentiment.signals"
P0 = TopicPartition(TOPIC, 0)
NOW_MS = 1_700_000_000_000
VERSION = rules().by_name["bad-press"].version


class Asked(InMemoryHistory):
    """A record of signals that notes what is read of it."""

    def __init__(self, broker: InMemoryBroker, looked: list[range]) -> None:
        super().__init__(broker)
        self._looked = looked

    def signals(self, partition: TopicPartition, offsets: range) -> list[Record]:
        """Note, and read."""
        self._looked.append(offsets)
        return super().signals(partition, offsets)


def start_of(
    times_ms: list[tuple[int, int]],
    position: int,
    span_ms: int,
    max_future_ms: int = 300_000,
    looked: list[range] | None = None,
) -> int:
    """Where a replay begins in a partition with records of these Kafka and event times; `looked` is told what was read."""
    broker = InMemoryBroker({TOPIC: 1})
    for kafka_ms, event_ms in times_ms:
        broker.produce(OutRecord(TOPIC, None, encode_signal(signal(event_ms / 1_000)), (), kafka_ms))
    source, history = InMemorySource(broker, "alert"), Asked(broker, [] if looked is None else looked)
    return replay_start(source, history, P0, position, Reach(span_ms, NOW_MS, max_future_ms))


@given(st.lists(st.integers(0, 10_000_000), min_size=1, max_size=30), st.data(), st.integers(1, 1_000_000))
def test_replay_covers_the_span(ages_ms: list[int], data: st.DataObject, span_ms: int) -> None:
    """However old the last relayed signal is, every signal of the span before it is read again."""
    times_ms = sorted(NOW_MS - age for age in ages_ms)
    position = data.draw(st.integers(1, len(times_ms)))
    start = start_of([(at_ms, at_ms) for at_ms in times_ms], position, span_ms)
    assert 0 <= start <= position
    assert all(at_ms < times_ms[position - 1] - span_ms for at_ms in times_ms[:start])


@given(st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 60_000)), min_size=1, max_size=30), st.integers(1, 600_000))
def test_replay_goes_by_event_time(steps_ms: list[tuple[int, int]], span_ms: int) -> None:
    """In an outage Kafka's time goes on and event time does not; in catching up it is the other way round. Both are covered."""
    times_ms, kafka_ms, event_ms = [], NOW_MS - sum(step for step, _ in steps_ms), 10**12
    for kafka_step, event_step in steps_ms:
        kafka_ms, event_ms = kafka_ms + kafka_step, event_ms + event_step
        times_ms.append((kafka_ms, event_ms))
    start = start_of(times_ms, len(times_ms), span_ms)
    assert all(at_ms < event_ms - span_ms for _, at_ms in times_ms[:start])


def test_replay_of_a_live_topic_is_short() -> None:
    """With a signal a second, a window of ten minutes and a long past, at most twice the window is read, not all of it."""
    times_ms = [NOW_MS - age_s * 1_000 for age_s in range(10_000, 0, -1)]
    start = start_of([(at_ms, at_ms) for at_ms in times_ms], 10_000, 600_000)
    assert 10_000 - 1_200 <= start <= 10_000 - 600


def test_to_find_where_a_replay_begins_little_is_read() -> None:
    """Some tens of signals before the position, and at each step back."""
    times_ms, looked = [NOW_MS - age * 60_000 for age in range(400, 0, -1)], list[range]()
    start_of([(at_ms, at_ms) for at_ms in times_ms], 400, 300_000, looked=looked)
    assert looked[0].stop == 400
    assert max(len(offsets) for offsets in looked) <= 50


def test_replay_believes_no_time_from_the_future() -> None:
    """Event time ran slower than Kafka's, and one signal says that it is of years ahead: the span is covered all the same."""
    times_ms = [(NOW_MS - age_s * 20_000, NOW_MS - age_s * 1_000) for age_s in range(400, 0, -1)]
    times_ms[397] = (times_ms[397][0], NOW_MS + 10**11)
    start = start_of(times_ms, 400, 100_000, max_future_ms=10**9)
    assert all(event_ms < NOW_MS - 101_000 for _, event_ms in times_ms[:start])


def test_position_at_the_beginning_needs_no_replay() -> None:
    """Nothing lies before it."""
    assert start_of([(NOW_MS, NOW_MS)], 0, 60_000) == 0


def stored(offset: int, state: str = "firing", **fields: object) -> StoredEvent:
    """An event on record."""
    return StoredEvent(offset, 0, event(at_ms=offset, state=state, **fields))


def test_the_record_of_a_partition() -> None:
    """Events before the position, by offset; open is what fired last and did not resolve, rule by rule."""
    two = (stored(1), StoredEvent(1, 1, event(at_ms=1, rule="other", state="resolved")))
    known = [*two, stored(2, rule="other"), stored(3, "resolved"), stored(5, alert_key="topic:x"), stored(8)]
    record = past(8, known)
    assert list(record.events) == [1, 2, 3, 5]
    assert {key: {rule: at.at_ms for rule, at in of_key.items()} for key, of_key in record.open.items()} == {
        "entity:acme": {"other": 2},
        "topic:x": {"bad-press": 5},
    }
    assert record.before(3) == (*two, stored(2, rule="other"))


FIRED = event(at_ms=20_000, started_at_ms=20_000, rule_version=VERSION)
WENT_STALE = msgspec.structs.replace(FIRED, state="stale", at_ms=45_000)
FIRED_ON = msgspec.structs.replace(FIRED, episode=2, at_ms=50_000)


@pytest.mark.parametrize(
    ("replayed", "told", "expected"),
    [
        (OK, None, OK),
        (Life("pending", 5_000), None, Life("pending", 5_000)),
        (Life("resolved", 5_000), None, Life("resolved", 5_000)),
        (Life("firing", 5_000), None, OK),
        (OK, FIRED, Life("firing", 20_000)),
        (Life("pending", 30_000), FIRED, Life("firing", 20_000)),
        (Life("firing", 30_000, 40_000), FIRED, Life("firing", 20_000, 40_000)),
        (Life("firing", 20_000, 40_000), FIRED, Life("firing", 20_000, 40_000)),
        (Life("firing", 20_000, 40_000, (9_000, 20_000)), FIRED, Life("firing", 20_000, 40_000, (9_000, 20_000))),
        (Life("firing", 20_000, 40_000), WENT_STALE, Life("stale", 20_000, silences=1)),
        (Life("firing", 20_000), FIRED_ON, Life("firing", 20_000, silences=1)),
    ],
)
def test_alerts_are_as_told(replayed: Life, told: AlertEvent | None, expected: Life) -> None:
    """Whether an alert is firing, or stale, and since when is for the record to say; all else is for the replay."""
    found = event(at_ms=50_000) if replayed.is_open else None
    before = KeyState("entity:acme", {"bad-press": RuleState(VERSION, 50_000, replayed, fired=found)})
    after = as_told(rules(), before, {"bad-press": told} if told else {})
    assert after.rules["bad-press"].life == expected
    assert after.rules["bad-press"].fired == told
    assert (after.due_ms is None) == (expected == OK)


@pytest.mark.parametrize("at_ms", [20_000, 29_999])
def test_an_open_alert_without_a_trace_in_the_replay_is_kept(at_ms: int) -> None:
    """Its key was silent for all of it; it is looked at again at the next boundary, also where a tick told of it last."""
    told = msgspec.structs.replace(FIRED, at_ms=at_ms)
    after = as_told(rules(), KeyState("entity:acme"), {"bad-press": told})
    assert after.rules["bad-press"] == RuleState(VERSION, 20_000, Life("firing", 20_000), fired=told, seen_ms=20_000)
    assert after.due_ms == 30_000


def test_an_open_alert_whose_rule_is_gone_is_looked_at_at_once() -> None:
    """So that it is resolved, as any alert whose rule was removed."""
    gone = event(at_ms=20_000, rule="gone")
    after = as_told(rules(), KeyState("entity:acme"), {"gone": gone})
    assert (after.rules["gone"].fired, after.due_ms) == (gone, 20_000)
