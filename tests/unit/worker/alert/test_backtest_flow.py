"""What a backtest counts at once is what the flow decides one by one; and what else the log holds."""

import random
from collections import Counter

import pytest

from tests.unit.worker.alert.builders import RULE, rules, signal
from worker.alert.backtest import Backtest, Outcome
from worker.alert.decide import Decision
from worker.alert.flow import Flow, Turned
from worker.alert.late import LateSignals
from worker.alert.state import KeyState
from worker.messages import Acknowledge, AlertEvent, Control, Signal, Silence, Tick

KEYS = ("entity:acme", "topic:outage")
TWO = RULE + "  - {name: severe, detector: {type: single, window: 30s, bucket: 15s, threshold: 0.85}}\n"
LATENESS_MS = 3_000
BAD = [signal(at) for at in (1, 2, 3, 4, 10)]


def dense(seed: int) -> list[Signal]:
    """Four signals a second, bad and well by turns, some of them too late to count."""
    chance, signals = random.Random(seed), []
    for number in range(400):
        gloomy = number // 100 % 2 == 0
        label = "negative" if chance.random() < (0.8 if gloomy else 0.1) else "positive"
        fields = {"alert_key": chance.choice(KEYS), "message_id": f"{number}"}
        at_s = 20 + number / 4 - chance.choice((0, 0, 1, 2.5, 12))
        signals.append(signal(at_s, "negative" if label == "negative" else "positive", **fields))
    return signals


def one_by_one(signals: list[Signal]) -> tuple[list[AlertEvent], LateSignals]:
    """The flow's own events, and what it finds late."""
    flow, events, late = Flow(rules(TWO), LATENESS_MS), list[AlertEvent](), LateSignals()

    def turned(_: KeyState, decision: Decision, cause: Signal | Control | None) -> None:
        events.extend(decision.events)
        if isinstance(cause, Signal):
            late.note(cause, [rule for rule, reason in decision.reasons if reason == "late"], flow.max_event_time_ms)

    for item in signals:
        flow.states.setdefault(item.alert_key, KeyState(item.alert_key))
        flow.take(item, turned)
    return sorted(events, key=lambda event: (event.at_ms, event.alert_key, event.rule)), late


def backtest(*placed: Signal | Control, text: str = RULE, lateness_ms: int = 0, only: set[str] | None = None) -> Outcome:
    """The outcome of one partition's log."""
    test = Backtest(rules(text), lateness_ms, only=only)
    test.take(0, placed)
    return test.outcome()


@pytest.mark.parametrize("seed", range(3))
def test_what_is_counted_at_once_is_what_the_flow_counts_one_by_one(seed: int) -> None:
    """Events to the last figure, and who was late."""
    signals = dense(seed)
    events, late = one_by_one(signals)
    outcome = backtest(*signals, text=TWO, lateness_ms=LATENESS_MS)
    assert list(outcome.events) == events
    assert len(events) >= 4
    assert outcome.late == late
    assert late.signals > 20
    assert outcome.keys == Counter(item.alert_key for item in signals)
    ends = {event.alert_id: event for event in events if event.state == "resolved"}
    begun = [(event, ends.get(event.alert_id)) for event in events if event.state == "firing"]
    assert [(alert.fired, alert.resolved) for alert in outcome.alerts] == begun
    times_ms = [item.event_time_ms for item in signals]
    assert (outcome.first_ms, outcome.last_ms, outcome.rules) == (min(times_ms), max(times_ms), rules(TWO))


def test_between_two_boundaries_signals_are_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is what makes a backtest quick: of two hundred in a bucket, the flow is asked about the first."""
    asked, take = list[Signal | Control](), Flow.take

    def counting(self: Flow, placed: Signal | Control, turned: Turned) -> None:
        asked.append(placed)
        take(self, placed, turned)

    monkeypatch.setattr(Flow, "take", counting)
    signals = [signal(10 + number / 25, message_id=f"{number}") for number in range(500)]
    outcome = backtest(*signals, lateness_ms=LATENESS_MS)
    assert [item.event_time_ms for item in asked if isinstance(item, Signal)] == [10_000, 13_000, 23_000]
    assert [event.evidence.messages for event in outcome.events] == [250]


def test_partitions_are_put_together() -> None:
    """Alerts and events in order of time, key and rule; keys, times and the late of all."""
    test = Backtest(rules(), 0)
    test.take(1, [signal(at, alert_key="entity:b") for at in (1, 2, 3, 4, 10, 5)])
    test.take(0, [signal(at, alert_key="entity:a") for at in (1, 2, 3, 4, 10, 6)])
    test.take(0, [signal(at, alert_key="entity:c") for at in (0, 50)])
    outcome = test.outcome()
    assert [event.alert_key for event in outcome.events] == ["entity:a", "entity:b"]
    assert [alert.alert_key for alert in outcome.alerts] == ["entity:a", "entity:b"]
    assert (outcome.keys, outcome.signals) == ({"entity:a": 6, "entity:b": 6, "entity:c": 2}, 14)
    assert (outcome.first_ms, outcome.last_ms, outcome.late.signals) == (0, 50_000, 3)


def test_what_people_say_of_an_alert_is_taken_as_it_stands() -> None:
    """An acknowledgement and a silence are told, after what they are of, and the alert is one."""
    (fired,) = backtest(*BAD).events
    said = Acknowledge("entity:acme", fired.alert_id, "kim", "looking", 5)
    silence = Silence("s", ("entity=acme",), 1_000_000, "kim", "premiere")
    outcome = backtest(*BAD, said, silence, signal(20))
    assert [event.change for event in outcome.events] == ["firing", "acknowledged", "suppressed"]
    (alert,) = outcome.alerts
    assert (alert.fired, alert.silences, alert.resolved) == (fired, 0, None)


@pytest.mark.parametrize(("only", "changes"), [({"entity:acme"}, ["firing", "acknowledged"]), ({"topic:x"}, [])])
def test_of_keys_that_are_left_out_nothing_is_decided(only: set[str], changes: list[str]) -> None:
    """Not by what people say of them either, nor for keys of which there was no signal."""
    (fired,) = backtest(*BAD).events
    said = [Acknowledge(key, fired.alert_id, "kim", "looking", 5) for key in ("entity:acme", "entity:new")]
    outcome = backtest(*BAD, *said, only=only)
    assert [event.change for event in outcome.events] == changes
    assert outcome.signals == 5


def test_an_acknowledgement_of_a_key_without_a_signal_changes_nothing() -> None:
    """It may stand in the log before the first of them that the input has."""
    outcome = backtest(Acknowledge("entity:acme", "nothing", "kim", "looking", 5), *BAD)
    assert [event.change for event in outcome.events] == ["firing"]


def test_what_waits_is_counted_before_a_tick() -> None:
    """Signals of a bucket that is not over when the partition falls silent are in the window when it goes on."""
    more = [signal(at, "positive") for at in (11, 12, 13)]
    with_tick, without = (backtest(*BAD, *more, *tick, signal(20), signal(30)) for tick in ([Tick(15_000)], []))
    assert [event.state for event in with_tick.events] == ["firing", "stale", "firing"]
    assert with_tick.events[-1].evidence.messages == 8
    assert [event.state for event in without.events] == ["firing"]
