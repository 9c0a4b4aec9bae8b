"""The order of arrival, for every detector: what becomes of a partition with several keys."""

import random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worker.alert.builders import rules, signal
from worker.alert.decide import Look, decide
from worker.alert.flow import Flow
from worker.alert.state import KeyState, encode_state
from worker.messages import AlertEvent, Label, Signal


class Case(NamedTuple):
    """A detector with buckets of ten units of time; baselines of counts take hours to settle."""

    detector: str
    unit_s: int = 1


CASES = {
    "share": Case("{type: share, window: 50s, bucket: 10s, threshold: 0.4, min_messages: 3, confidence: 0.8}"),
    "scan": Case(
        "{type: share, window: 80s, bucket: 10s, shortest_window: 20s, threshold: 0.4, min_messages: 3, confidence: 0.8}"
    ),
    "rise": Case(
        "{type: share, window: 50s, bucket: 10s, threshold: 0.1, rise: 0.1, half_life: 5m, min_messages: 3, confidence: 0.8}"
    ),
    "surge": Case("{type: surge, window: 1h, bucket: 10m, once_in: 1h, min_ratio: 1.1}", 60),
    "shift": Case("{type: shift, window: 50s, bucket: 10s, threshold: 0.5, drift: 0.0, half_life: 5m, warm_up: 3}"),
    "single": Case("{type: single, window: 50s, bucket: 10s, threshold: 0.85}"),
    "volume": Case("{type: volume, window: 1h, bucket: 10m, once_in: 1h, min_ratio: 1.1}", 60),
}
LATENESS = 15
KEYS = ("entity:a", "entity:b", "topic:c")
END = 3_000

labels: st.SearchStrategy[Label] = st.sampled_from(("negative", "negative", "positive", "neutral"))
items = st.tuples(st.integers(0, 1_200), labels, st.sampled_from([None, None, "x"]), st.sampled_from(KEYS))
streams = st.integers(0, 120).flatmap(lambda size: st.lists(items, min_size=size, max_size=size))


def rule(case: Case, no_data: str, duplicates: str) -> str:
    """The case's one rule."""
    waits = f"for: {10 * case.unit_s}s, keep_firing_for: {10 * case.unit_s}s"
    return f"rules: [{{name: one, detector: {case.detector}, {waits}, no_data: {no_data}, count_duplicates: {duplicates}}}]"


def outcome(text: str, lateness_ms: int, arrival: list[Signal]) -> tuple[list[AlertEvent], dict[str, bytes]]:
    """The events in order of time, key and rule, and the states, of a partition's signals in this order."""
    flow, events = Flow(rules(text), lateness_ms), list[AlertEvent]()
    for item in arrival:
        flow.states.setdefault(item.alert_key, KeyState(item.alert_key))
        flow.take(item, lambda _, decision, __: events.extend(decision.events))
    ordered = sorted(events, key=lambda event: (event.at_ms, event.alert_key, event.rule, event.id))
    return ordered, {key: encode_state(state) for key, state in flow.states.items()}


@pytest.mark.parametrize("kind", CASES)
@settings(max_examples=25, deadline=None)
@given(
    streams,
    st.randoms(use_true_random=False),
    st.sampled_from(["keep", "resolve", "fire", "stale"]),
    st.sampled_from(["true", "false"]),
)
def test_order_within_the_lateness_makes_no_difference(
    kind: str, found: list[tuple[int, Label, str | None, str]], chance: random.Random, no_data: str, duplicates: str
) -> None:
    """The same signals, duplicates among them, in any order within the allowed lateness: the same events and states."""
    case = CASES[kind]
    lateness_ms = LATENESS * case.unit_s * 1_000
    signals = [
        signal(at * case.unit_s, label, message_id=str(number), duplicate_of=copy, alert_key=key)
        for number, (at, label, copy, key) in enumerate(sorted(found, key=lambda item: item[0]))
    ]
    arrival = sorted(signals, key=lambda item: item.event_time_ms + chance.randint(0, lateness_ms))
    closing = [signal(END * case.unit_s, "neutral", alert_key=key) for key in KEYS]
    text = rule(case, no_data, duplicates)
    assert outcome(text, lateness_ms, arrival + closing) == outcome(text, lateness_ms, signals + closing)


@pytest.mark.parametrize("kind", ["surge", "volume"])
def test_how_long_a_key_was_awaited_makes_no_difference(kind: str) -> None:
    """Its past begins with its first message: how far the watermark lay behind when that came is chance."""
    signals = [signal(6_000, alert_key="entity:a"), signal(6_800, alert_key="entity:b")]
    closing = [signal(END * 60, "neutral", alert_key=key) for key in ("entity:a", "entity:b")]
    text = rule(CASES[kind], "keep", "true")
    assert outcome(text, 900_000, signals + closing) == outcome(text, 900_000, signals[::-1] + closing)


@pytest.mark.parametrize("kind", CASES)
def test_a_look_that_is_passed_over_is_not_forgotten(kind: str) -> None:
    """Where too little is left to look at, what came is known all the same; another key's message decides how much is left."""
    case = CASES[kind]
    times = ((21, "entity:a"), (62, "entity:a"), (84, "entity:a"), (86, "entity:b"))
    signals = [signal(at * case.unit_s, alert_key=key, message_id=str(at)) for at, key in times]
    closing = [signal(END * case.unit_s, "neutral", alert_key="entity:a")]
    text, lateness_ms = rule(case, "resolve", "true"), LATENESS * case.unit_s * 1_000
    one, other = signals, [*signals[:2], signals[3], signals[2]]
    assert outcome(text, lateness_ms, one + closing) == outcome(text, lateness_ms, other + closing)


@pytest.mark.parametrize("kind", CASES)
@settings(max_examples=25, deadline=None)
@given(streams, st.lists(st.integers(0, END), max_size=30), st.sampled_from(["keep", "resolve", "fire", "stale"]))
def test_how_often_a_key_is_looked_at_makes_no_difference(
    kind: str, found: list[tuple[int, Label, str | None, str]], looks: list[int], no_data: str
) -> None:
    """A key that is looked at in the midst of a silence is in the end as one that is not, whatever its detector remembers."""
    case = CASES[kind]
    one, unit_ms = rules(rule(case, no_data, "true")), case.unit_s * 1_000
    signals = [
        signal(at * case.unit_s, label, message_id=str(at)) for at, label, _, _ in sorted(found, key=lambda item: item[0])
    ]
    steps = [*[(item.event_time_ms, item) for item in signals], (END * unit_ms, signal(END * case.unit_s))]

    def after(extra: list[int]) -> tuple[KeyState, list[AlertEvent]]:
        state, events = KeyState("entity:a"), list[AlertEvent]()
        for at_ms, item in sorted(
            [*steps, *[(at * unit_ms, None) for at in extra]], key=lambda step: (step[0], step[1] is None)
        ):
            decision = decide(one, state, item, at_ms)
            state, events = decision.state, [*events, *decision.events]
        return state, events

    assert after(looks) == after([])


@pytest.mark.parametrize("kind", CASES)
def test_a_long_silence_costs_no_more_than_a_window(kind: str) -> None:
    """A signal costs as many looks after a thousand empty buckets as after a million, whatever the detector remembers."""
    case, seen = CASES[kind], list[Look]()
    one, unit_ms = rules(rule(case, "keep", "true").replace("once_in: 1h", "once_in: 30d")), case.unit_s * 1_000
    state, silences = KeyState("entity:a"), list[int]()
    for at in (5, 15, 25, 35, 10_000, 10_000_000):
        seen.clear()
        state = decide(one, state, signal(at * case.unit_s, "positive"), at * unit_ms, seen.append).state
        silences.append(len(seen))
    detector = one.rules[0].detector
    assert 0 < max(silences) <= detector.window // detector.bucket + 1


@pytest.mark.parametrize("kind", CASES)
def test_the_streams_make_alerts(kind: str) -> None:
    """Under these rules something fires, so that there is something that an order could change."""
    case = CASES[kind]
    quiet = [signal(at * case.unit_s, "positive") for at in range(0, 900, 9)]
    loud = [signal((900 + at / 10) * case.unit_s) for at in range(900)]
    events, _ = outcome(rule(case, "keep", "true"), 0, [*quiet, *loud])
    assert "firing" in {event.state for event in events}
