import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worker.alert.builders import RULE, rules, signal
from tests.unit.worker.alert.test_role import KEYS, TOPIC, Bench, story
from worker.alert.backtest import Backtest, Outcome
from worker.alert.decide import Look
from worker.codec import control_record, decode_placed
from worker.messages import AlertEvent, Control, Record, Signal, Tick, TopicPartition

MANY = """
rules:
  - name: bad-press
    detector: {type: share, window: 50s, bucket: 10s, threshold: 0.5, resolve_below: 0.4, min_messages: 4, confidence: 0.8}
  - name: severe
    scope: {keys: ["entity:acme", "topic:outage"]}
    detector: {type: single, window: 30s, bucket: 15s, threshold: 0.85}
    no_data: stale
  - name: fall
    scope: {kind: chat}
    detector: {type: shift, window: 40s, bucket: 4s, threshold: 3.0, warm_up: 5}
    for: 8s
    keep_firing_for: 10s
    flap_guard: {fires: 2, within: 1m}
  - name: quiet
    detector: {type: share, window: 20s, bucket: 5s, min_messages: 2}
    no_data: fire
    count_duplicates: true
  - name: many
    scope: {source: tweets}
    detector: {type: volume, window: 30s, bucket: 10s, once_in: 30s, min_ratio: 1.1}
  - name: gloom
    detector: {type: surge, window: 30s, bucket: 6s, once_in: 1m, min_ratio: 1.1}
"""


def backtest(*signals: Signal | Control, text: str = RULE, lateness_ms: int = 0) -> Outcome:
    """Signals of one partition through a backtest."""
    test = Backtest(rules(text), lateness_ms)
    test.take(0, signals)
    return test.outcome()


def placed(records: list[Record]) -> dict[int, list[Signal | Control]]:
    """What a topic holds, by partition."""
    found: dict[int, list[Signal | Control]] = {}
    for record in records:
        found.setdefault(record.partition, []).append(decode_placed(record))
    return found


def as_live(bench: Bench, text: str, runs: int) -> list[AlertEvent]:
    """The events of a backtest over what the bench's topic holds, each partition in so many runs."""
    test = Backtest(rules(text), 3_000)
    for partition, log in placed(bench.broker.records(TOPIC)).items():
        size = len(log) // runs + 1
        for start in range(0, len(log), size):
            test.take(partition, log[start : start + size])
    return list(test.outcome().events)


def by_id(events: list[AlertEvent]) -> list[AlertEvent]:
    """In an order of their own."""
    return sorted(events, key=lambda event: (event.id, event.at_ms))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1_000), st.sampled_from([RULE, MANY]), st.integers(1, 5), st.lists(st.integers(0, 239), max_size=3))
def test_it_gives_the_very_events_of_the_live_role(seed: int, text: str, runs: int, ticks: list[int]) -> None:
    """Partitions, late signals, duplicates, ticks: each event is the same, evidence and all."""
    bench, chance = Bench(partitions=2, text=text), random.Random(seed)
    for number, item in enumerate(story(seed)):
        if number in ticks:
            at = TopicPartition(TOPIC, number % 2)
            bench.broker.produce(control_record(at, Tick(item.event_time_ms + 60_000)))
        late_ms = 20_000 if chance.random() < 0.02 else 0
        twin = "first" if chance.random() < 0.05 else None
        fields = {name: getattr(item, name) for name in item.__struct_fields__}
        bench.send(Signal(**fields | {"event_time_ms": item.event_time_ms - late_ms, "duplicate_of": twin}))
    bench.role(allowed_lateness_ms=3_000).run_until_idle()
    live = bench.relayed()
    assert by_id(as_live(bench, text, runs)) == by_id(live)
    assert live


def test_a_dense_stream_gives_the_events_of_the_live_role() -> None:
    """Fifty signals to a bucket: what is counted at once is counted right."""
    bench, chance = Bench(text=MANY), random.Random(7)
    for number in range(3_000):
        gloomy = (number // 500) % 2
        item = story(number % 5)[number % 240]
        at_ms = 1_700_000_000_000 + number * 40 - chance.randint(0, 2_000)
        score = round(chance.uniform(-1, 0.2 if gloomy else 1), 3)
        bench.send(signal(at_ms / 1_000, "negative" if score < -0.3 else "positive", score=score, alert_key=item.alert_key))
    bench.role(allowed_lateness_ms=3_000).run_until_idle()
    assert by_id(as_live(bench, MANY, 3)) == by_id(bench.relayed())
    assert len(bench.relayed()) > 10


BAD = [signal(at) for at in (1, 2, 3, 4)]


def test_alerts_are_put_together_from_their_events() -> None:
    """Fired, resolved, and the keys and times that were seen."""
    well = [signal(at, "positive") for at in range(10, 40)]
    outcome = backtest(*BAD, *well, signal(41, alert_key="topic:x"))
    (alert,) = outcome.alerts
    assert (alert.alert_key, alert.rule, alert.fired_at_ms, alert.resolved_at_ms) == (
        "entity:acme",
        "bad-press",
        10_000,
        20_000,
    )
    assert (outcome.signals, outcome.keys) == (35, {"entity:acme": 34, "topic:x": 1})
    assert (outcome.first_ms, outcome.last_ms) == (1_000, 41_000)


def test_what_the_input_leaves_open_stays_open() -> None:
    """As live: the watermark moves with signals alone."""
    assert backtest(*BAD, signal(9)).alerts == ()
    (alert,) = backtest(*BAD, signal(10)).alerts
    assert (alert.resolved, alert.resolved_at_ms) == (None, None)


def test_an_alert_that_goes_silent_and_returns_is_one() -> None:
    """A tick makes it stale; data makes it fire on; it resolves once."""
    back, well = [signal(at) for at in (10, 21)], [signal(at, "positive") for at in range(22, 60)]
    outcome = backtest(*BAD, back[0], Tick(15_000), back[1], *well)
    (alert,) = outcome.alerts
    assert [event.state for event in outcome.events] == ["firing", "stale", "firing", "resolved"]
    assert (alert.fired_at_ms, alert.silences) == (10_000, 1)
    assert alert.resolved is not None


def test_late_signals_are_counted_by_rule() -> None:
    """One that is late for two rules is one late signal; how far behind the newest is told too."""
    late = backtest(signal(50), signal(42), signal(31), text=MANY).late
    assert late.rules == dict.fromkeys(("bad-press", "fall", "gloom", "many", "quiet", "severe"), 2)
    assert (late.signals, late.behind_ms, late.total_ms) == (2, 19_000, 27_000)
    assert backtest(signal(50), signal(45), signal(49.5), text=MANY).late.rules == {
        "bad-press": 2,
        "fall": 1,
        "gloom": 1,
        "many": 2,
        "quiet": 2,
    }


def test_the_newest_time_is_that_of_any_signal() -> None:
    """Also of one that is only counted."""
    outcome = backtest(signal(1), signal(5), signal(3))
    assert (outcome.first_ms, outcome.last_ms) == (1_000, 5_000)


def test_nothing_in_nothing_out() -> None:
    """No signals, no times."""
    outcome = backtest()
    assert (outcome.signals, outcome.first_ms, outcome.last_ms, outcome.alerts) == (0, None, None, ())


@pytest.mark.parametrize("seed", range(3))
def test_with_only_some_keys_these_come_out_the_same(seed: int) -> None:
    """The other keys still move the watermark."""
    some, everything = Backtest(rules(MANY), 3_000, only={KEYS[1]}), Backtest(rules(MANY), 3_000)
    for test in (some, everything):
        test.take(0, story(seed))
    assert some.outcome().events == tuple(event for event in everything.outcome().events if event.alert_key == KEYS[1])
    assert some.outcome().signals == everything.outcome().signals


def test_an_observer_sees_every_boundary_and_changes_nothing() -> None:
    """Of each key and rule, each once, in order."""
    looks: list[Look] = []
    watched, plain = Backtest(rules(), 0, looks.append), Backtest(rules(), 0)
    for test in (watched, plain):
        test.take(0, [*BAD, *[signal(at, "positive") for at in range(10, 40, 3)]])
    assert [look.scene.at_ms for look in looks] == [10_000, 20_000, 30_000]
    assert [look.step.life.status for look in looks] == ["firing", "firing", "resolved"]
    assert watched.outcome().events == plain.outcome().events
