"""At which boundaries a key is looked at, and how few that are."""

from itertools import pairwise
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worker.alert.builders import rules, signal
from worker.alert import looks as looks_module
from worker.alert.decide import Look, RuleReason, absorb, decide
from worker.alert.rules import Rule, RuleSet
from worker.alert.state import KeyState, RuleState
from worker.messages import AlertEvent, Signal

SHARE = (
    "rules: [{{name: one, detector: {{type: share, window: {window}, bucket: 10s, min_messages: 3, threshold: 0.9{more}}}}}]"
)
SINGLE = "rules: [{name: one, detector: {type: single, window: 50s, bucket: 10s, threshold: 0.95}}]"
PATIENT = "rules: [{name: one, detector: {type: single, window: 50s, bucket: 10s, threshold: 0.95}, no_data: fire}]"
moments = st.lists(st.integers(0, 400), max_size=30).map(sorted)


def looks(found: RuleSet, signals: list[Signal], until_s: int) -> list[int]:
    """Every boundary that is looked at, in seconds: the watermark goes with the signals, and to `until_s` in the end."""
    state, seen = KeyState("entity:acme"), list[Look]()
    for item in signals:
        state = decide(found, state, item, item.event_time_ms, seen.append).state
    decide(found, state, None, until_s * 1_000, seen.append)
    return [look.scene.at_ms // 1_000 for look in seen]


def well(moments_s: list[int]) -> list[Signal]:
    """Signals at which nothing is amiss."""
    return [signal(at_s, "positive", message_id=str(index)) for index, at_s in enumerate(moments_s)]


@given(moments)
def test_a_key_at_rest_is_looked_at_where_messages_are(moments_s: list[int]) -> None:
    """At the end of each bucket that has some, if they alone can be too much."""
    assert looks(rules(SINGLE), well(moments_s), 1_000) == sorted({at_s // 10 * 10 + 10 for at_s in moments_s})


@settings(deadline=None)
@given(moments, st.sampled_from(["", ", shortest_window: 20s", ", rise: 0.1"]))
def test_messages_that_leave_are_looked_at_as_well(moments_s: list[int], more: str) -> None:
    """Where a bucket comes or leaves a span, and where it was learnt from; but not where too few are left to say anything."""
    found = rules(SHARE.format(window="50s", more=more))
    seen, starts = looks(found, well(moments_s), 1_000), {at_s // 10 * 10 for at_s in moments_s}
    spans_s = [0, *([10] if "rise" in more else []), *[span_ms // 1_000 for span_ms in found.rules[0].detector.spans_ms]]
    assert set(seen) <= {start + span + 10 for start in starts for span in spans_s}
    assert all(one < other for one, other in pairwise(seen))
    told = {at_s for at_s in {start + 10 for start in starts} if sum(at_s - 50 <= moment < at_s for moment in moments_s) >= 3}
    assert told <= set(seen)


@given(moments)
def test_where_want_of_data_matters_every_boundary_is_looked_at(moments_s: list[int]) -> None:
    """As long as a key was heard of within what the rule looks back over."""
    seen, found = looks(rules(PATIENT), well(moments_s), 2_000), rules(PATIENT).rules[0]
    reach_s = found.span_ms // 1_000 + 10
    starts = [at_s // 10 * 10 for at_s in moments_s]
    assert seen == [at_s for at_s in range(10, 2_001, 10) if any(0 < at_s - start <= reach_s for start in starts)]


EXACT = [
    "{type: share, window: 50s, bucket: 10s, min_messages: 3, confidence: 0.8}",
    "{type: share, window: 80s, bucket: 10s, min_messages: 3, confidence: 0.8, shortest_window: 20s}",
    "{type: share, window: 50s, bucket: 10s, min_messages: 3, confidence: 0.8, rise: 0.05, half_life: 10m}",
    "{type: single, window: 50s, bucket: 10s, threshold: 0.8}",
    "{type: shift, window: 50s, bucket: 10s, warm_up: 3, threshold: 2.0}",
]
stretches = st.lists(st.tuples(st.integers(0, 150), st.integers(1, 8), st.booleans()), min_size=1, max_size=12)


def told(found: RuleSet, signals: list[Signal], until_ms: int) -> list[AlertEvent]:
    """All events, when the watermark goes with the signals, and to `until_ms` in the end."""
    state, events = KeyState("entity:acme"), list[AlertEvent]()
    for item in [*signals, None]:
        decision = decide(found, state, item, item.event_time_ms if item else until_ms)
        state, events = decision.state, [*events, *decision.events]
    return events


def every_boundary(rule: Rule, _state: RuleState, at_ms: int, upto_ms: int) -> int | None:
    """What `next_look` would be without any thrift."""
    return at_ms + rule.detector.bucket if at_ms + rule.detector.bucket <= upto_ms else None


@settings(deadline=None)
@given(
    stretches,
    st.sampled_from(EXACT),
    st.sampled_from(["keep", "resolve", "fire", "stale"]),
    st.sampled_from(["0s", "20s"]),
)
def test_a_look_at_every_boundary_would_tell_the_same(
    of: list[tuple[int, int, bool]], detector: str, no_data: str, for_: str
) -> None:
    """Silences and stretches of good and bad, one after the other: what is passed over is nothing but work."""
    found = rules(f"rules: [{{name: one, detector: {detector}, no_data: {no_data}, for: {for_}}}]")
    signals, at_s = list[Signal](), 5
    for pause_s, count, bad in of:
        at_s += pause_s
        signals += [signal(at_s + 2 * index, "negative" if bad else "positive") for index in range(count)]
        at_s += 2 * count
    thrifty = told(found, signals, 1_000_000 + at_s * 1_000)
    with patch.object(looks_module, "next_look", every_boundary):
        assert told(found, signals, 1_000_000 + at_s * 1_000) == thrifty


@pytest.mark.parametrize("more", ["", ", shortest_window: 20s", ", rise: 0.1"])
def test_finer_buckets_cost_no_more_looks(more: str) -> None:
    """However many buckets a window has, there are no more looks a signal."""
    signals, once_more = well(list(range(0, 60_000, 170))), "rise" in more
    found = {window: looks(rules(SHARE.format(window=window, more=more)), signals, 60_000) for window in ("2m", "20m", "40m")}
    spans = len(rules(SHARE.format(window="40m", more=more)).rules[0].detector.spans_ms)
    assert {len(seen) <= (1 + once_more + spans) * len(signals) for seen in found.values()} == {True}


def test_a_state_that_is_further_than_the_watermark_is_left_as_it_is() -> None:
    """As where a store was put back under a worker: what is read again is late, and the key is not due for ever."""
    found = rules(SHARE.format(window="50s", more=""))
    state = KeyState("entity:acme")
    for item in well([1, 2, 3, 14, 35]):
        state = decide(found, state, item, item.event_time_ms).state
    again = decide(found, state, signal(2), 8_000)
    kept, was = again.state.rules["one"], state.rules["one"]
    assert (kept.buckets, kept.closed, kept.evaluated_ms, kept.late) == (was.buckets, was.closed, 30_000, 1)
    assert absorb(found, again.state, [signal(3)], 8_000) == again.state
    assert (again.reasons, again.state.due_ms) == ((RuleReason("one", "late"),), 40_000)
    both = rules(SHARE.format(window="50s", more="")[:-1] + SINGLE.replace("rules: [{name: one", ", {name: other"))
    besides = decide(both, state, signal(2), 8_000).state.rules
    assert (besides["one"], besides["other"].evaluated_ms) == (kept, 0)
    first = decide(found, KeyState("entity:acme"), signal(2), 8_000).state
    assert [bucket.tally.messages for bucket in absorb(found, first, [signal(3)], 8_000).rules["one"].buckets] == [2]


def test_looks_leap_over_silence() -> None:
    """A key that was silent for a year costs a handful of looks, not a million, even where want of data matters."""
    year_s = 365 * 86_400
    seen = looks(rules(PATIENT), well([5, year_s]), year_s + 60)
    assert len(seen) <= 20
    assert seen[-1] >= year_s
