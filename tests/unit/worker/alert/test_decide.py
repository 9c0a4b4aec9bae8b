import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.worker.alert.builders import MODEL, RULE, rules, signal
from worker.alert.decide import alert_id, decide, silence
from worker.alert.detectors import View, judge
from worker.alert.lifecycle import Life, Timing, advance
from worker.alert.ring import EMPTY
from worker.alert.rules import RuleSet
from worker.alert.state import KeyState
from worker.alert.windows import Tally
from worker.messages import AlertEvent, Label, Signal

FRESH = KeyState("entity:acme")
SHIFT = """
rules:
  - name: mood
    detector: {type: shift, window: 50s, bucket: 10s, threshold: 2, drift: 0.1, half_life: 60s, warm_up: 3}
"""
SINGLE = """
rules:
  - name: severe
    detector: {type: single, window: 50s, bucket: 10s, threshold: 0.85}
"""
SLOW = RULE + "    for: 20s\n    keep_firing_for: 20s\n"


def feed(
    found: RuleSet, signals: Iterable[Signal], state: KeyState = FRESH, watermark_ms: int = -10_000, lateness_ms: int = 0
) -> tuple[KeyState, list[AlertEvent]]:
    """Decide for signals one after the other, as the role would for a partition with this one key."""
    events: list[AlertEvent] = []
    for item in signals:
        watermark_ms = max(watermark_ms, item.event_time_ms - lateness_ms)
        decision = decide(found, state, item, watermark_ms)
        state = decision.state
        events += decision.events
    return state, events


def bad(*times_s: float) -> list[Signal]:
    """Negative signals at these seconds."""
    return [signal(at_s) for at_s in times_s]


def good(*times_s: float) -> list[Signal]:
    """Positive signals at these seconds."""
    return [signal(at_s, "positive") for at_s in times_s]


def test_fires_at_the_boundary_that_the_watermark_passes() -> None:
    """Four negatives are enough, but nothing happens before their bucket is closed."""
    state, events = feed(rules(), bad(1, 2, 3, 4, 9.999))
    assert (events, state.due_ms) == ([], 10_000)
    assert decide(rules(), state, None, 9_999).events == ()
    (fired,) = decide(rules(), state, None, 10_000).events
    assert (fired.state, fired.reason, fired.started_at_ms, fired.at_ms) == ("firing", "threshold_passed", 10_000, 10_000)
    assert fired.alert_id == alert_id("bad-press", "entity:acme", 10_000)
    assert fired.id == f"{fired.alert_id}-firing"


def test_event_carries_its_evidence() -> None:
    """The window's bounds and figures, the statistic and its threshold, the three worst messages, model and rule version."""
    worst = [signal(at, score=score, message_id=str(score)) for at, score in ((2, -0.99), (3, -0.5), (14, -0.95), (15, -0.97))]
    _, (fired,) = feed(rules(), [*worst, *good(16), signal(20, "neutral")])
    evidence = fired.evidence
    assert (evidence.window_start_ms, evidence.window_end_ms) == (-30_000, 20_000)
    assert (evidence.messages, evidence.negatives, evidence.negative_share) == (5, 4, 0.8)
    assert [sample.score for sample in evidence.samples] == [-0.99, -0.97, -0.95]
    assert evidence.statistic >= evidence.threshold == 0.5
    assert (fired.model, fired.rule_version, evidence.detector) == (MODEL, rules().rules[0].version, "share")


def test_for_and_keep_firing_for_delay() -> None:
    """With both at 20 s, an alert fires two boundaries after its breach began, and resolves two after all was well."""
    stream = [*bad(*range(30)), *good(*range(30, 200))]
    _, (fired, resolved) = feed(rules(SLOW), stream)
    _, (at_once, well) = feed(rules(), stream)
    assert (fired.started_at_ms, fired.at_ms) == (10_000, 30_000)
    assert (at_once.at_ms, at_once.started_at_ms) == (10_000, 10_000)
    assert resolved.alert_id == fired.alert_id
    assert (resolved.reason, resolved.at_ms) == ("recovered", well.at_ms + 20_000)


def test_no_data_keeps_it_firing_and_due() -> None:
    """Silence for an hour neither resolves an alert nor lets it sleep; the next good messages do resolve it."""
    state, (fired,) = feed(rules(), bad(1, 2, 3, 4, 10))
    silent = decide(rules(), state, None, 3_600_000)
    assert silent.events == ()
    assert silent.state.due_ms == 3_610_000
    _, (resolved,) = feed(rules(), good(*range(3_601, 3_612)), silent.state, 3_600_000)
    assert (resolved.alert_id, resolved.reason) == (fired.alert_id, "recovered")


def test_a_second_alert_is_another_alert() -> None:
    """After it resolved, the same key can fire again under a new id."""
    _, events = feed(rules(), [*bad(*range(20)), *good(*range(20, 100)), *bad(*range(100, 200))])
    assert [event.state for event in events] == ["firing", "resolved", "firing"]
    assert events[0].alert_id == events[1].alert_id != events[2].alert_id


def test_late_signals_are_counted_and_ignored() -> None:
    """A signal older than the last closed boundary changes one figure only."""
    state, _ = feed(rules(), bad(1, 2, 25))
    decision = decide(rules(), state, signal(19.999), 25_000)
    (before,), (after,) = state.rules.values(), decision.state.rules.values()
    assert (after.late, after.buckets, after.closed) == (before.late + 1, before.buckets, before.closed)
    assert [reason.reason for reason in decision.reasons] == ["late"]
    assert decide(rules(), state, signal(20), 25_000).reasons[0].reason == "counted"


def test_duplicates_count_only_where_the_rule_says_so() -> None:
    """One story syndicated fifty times is not a surge."""
    copies = [signal(at_s, duplicate_of="first") for at_s in (1, 2, 3, 4, 5)]
    assert feed(rules(), copies) == (KeyState("entity:acme"), [])
    counting = rules(RULE + "    count_duplicates: true\n")
    _, events = feed(counting, [*copies, signal(10)])
    assert [event.state for event in events] == ["firing"]


def test_scope_filters_signals() -> None:
    """Signals of another source, kind or label do not count."""
    tweets = rules(RULE + "    scope: {source: blog, kind: news}\n")
    state, events = feed(tweets, bad(1, 2, 3, 4, 10))
    assert (state.rules, events) == ({}, [])
    _, events = feed(tweets, [signal(at_s, source="blog", kind="news") for at_s in (1, 2, 3, 4, 10)])
    assert len(events) == 1
    gloomy = rules(RULE + "    scope: {label: negative}\n")
    assert feed(gloomy, good(1))[0].rules == {}
    assert len(feed(gloomy, [*good(1), *bad(1, 2, 3, 4, 10)])[1]) == 1


def test_few_messages_set_no_timer() -> None:
    """A key with nothing to re-evaluate is not woken, so that a million quiet keys cost nothing."""
    state, _ = feed(rules(), bad(1, 2, 3))
    assert state.due_ms is None
    assert decide(rules(), state, signal(4), 4_000).state.due_ms == 10_000


def test_timer_waits_for_the_first_bucket() -> None:
    """Messages ahead of the watermark set the timer to the end of their own bucket."""
    state, _ = feed(rules(), bad(101, 102, 103, 104), lateness_ms=60_000)
    assert state.due_ms == 110_000


def test_changed_rule_starts_its_window_afresh() -> None:
    """What was gathered under other terms proves nothing: not enough of the new, no alert."""
    state, _ = feed(rules(SLOW), bad(1, 2, 3, 4, 12))
    assert state.rules["bad-press"].life.status == "pending"
    other = rules(RULE.replace("threshold: 0.5", "threshold: 0.55"))
    changed = decide(other, state, None, 19_000)
    rule_state = changed.state.rules["bad-press"]
    assert (rule_state.life.status, rule_state.version) == ("ok", other.rules[0].version)
    assert (rule_state.buckets, rule_state.closed) == ((), EMPTY) != (state.rules["bad-press"].buckets, EMPTY)
    assert [reason.reason for reason in changed.reasons] == ["rule_changed"]


@pytest.mark.parametrize(
    "more", ["    severity: critical\n", "    labels: {team: press}\n", "    for: 10s\n", "    keep_firing_for: 1m\n"]
)
def test_a_rule_that_counts_as_before_goes_on_with_what_it_has(more: str) -> None:
    """Messages gathered, and a pending alert: under its new version, and by its new durations."""
    state, _ = feed(rules(SLOW), bad(1, 2, 3, 4, 12))
    same = rules(RULE + more)
    after = decide(same, state, None, 19_000)
    before, now = state.rules["bad-press"], after.state.rules["bad-press"]
    assert (now.buckets, now.closed, now.life) == (before.buckets, before.closed, before.life)
    assert now.version == same.rules[0].version
    assert (after.events, after.reasons) == ((), ())
    assert [event.rule_version for event in decide(same, after.state, None, 20_000).events] == [same.rules[0].version]


@pytest.mark.parametrize(
    ("change", "is_kept"),
    [
        (("rise: 0.1", "rise: 0.1"), True),
        (("name: turned", "name: turned, severity: info"), True),
        (("rise: 0.1", "rise: 0.2"), False),
        (("name: turned", "name: turned, scope: {kind: chat}"), False),
        (("name: turned", "name: turned, count_duplicates: true"), False),
    ],
)
def test_what_a_detector_has_learnt_outlives_what_does_not_touch_it(change: tuple[str, str], is_kept: bool) -> None:
    """A new label must not cost a fortnight of learning."""
    text = "rules: [{name: turned, detector: {type: share, window: 50s, bucket: 10s, rise: 0.1, min_messages: 4}}]"
    state, _ = feed(rules(text), good(*range(1, 400)))
    changed = decide(rules(text.replace(*change)), state, None, 399_000).state.rules["turned"]
    assert state.rules["turned"].memory is not None
    assert changed.memory == (state.rules["turned"].memory if is_kept else None)


def test_a_state_that_does_not_know_what_it_was_gathered_under_learns_that() -> None:
    """One that an earlier version of Tidings wrote."""
    state, _ = feed(rules(), bad(1, 2, 3))
    old = KeyState(state.alert_key, {"bad-press": replace(state.rules["bad-press"], basis="")}, state.due_ms)
    assert decide(rules(), old, signal(12), 12_000).state.rules["bad-press"].basis == rules().rules[0].basis
    changed = decide(rules(RULE + "    severity: info\n"), old, None, 9_000).state.rules["bad-press"]
    assert (changed.buckets, changed.closed, changed.basis) == ((), EMPTY, rules().rules[0].basis)


def test_changed_rule_does_not_forget_a_firing_alert() -> None:
    """It goes on under its id, and resolves when the new rule finds all well on its own data."""
    state, (fired,) = feed(rules(), bad(1, 2, 3, 4, 10))
    stricter = rules(RULE.replace("min_messages: 4", "min_messages: 5"))
    state, (resolved,) = feed(stricter, good(*range(11, 35)), state, 10_000)
    assert (resolved.alert_id, resolved.started_at_ms) == (fired.alert_id, fired.started_at_ms)
    assert (resolved.reason, resolved.rule_version) == ("recovered", stricter.rules[0].version)


@pytest.mark.parametrize("others", [RULE.replace("bad-press", "other"), RULE + "    scope: {entities: someone-else}\n"])
def test_removed_rule_resolves_its_alert(others: str) -> None:
    """A rule that is gone, or no longer covers the key, ends its alert aloud, at the key's next look, and is then forgotten."""
    state, (fired,) = feed(rules(), bad(1, 2, 3, 4, 10))
    assert state.due_ms == 20_000
    decision = decide(rules(others), state, None, 20_000)
    (resolved,) = decision.events
    assert (resolved.state, resolved.reason, resolved.alert_id) == ("resolved", "rule_removed", fired.alert_id)
    assert resolved.evidence == fired.evidence
    assert decision.state == KeyState("entity:acme")


def test_removed_rule_without_an_alert_goes_quietly() -> None:
    """Nothing was said, so nothing is to be taken back."""
    state, _ = feed(rules(SLOW), bad(1, 2, 3, 4, 10))
    decision = decide(rules(RULE.replace("bad-press", "other")), state, None, 20_000)
    assert (decision.events, decision.state.rules) == ((), {})


def test_rules_of_one_key_do_not_mix() -> None:
    """Two rules with other windows each keep their own, and their events come in order of time, then name."""
    two = RULE + RULE.replace("rules:", "").replace("bad-press", "aaa").replace("bucket: 10s", "bucket: 5s")
    state, events = feed(rules(two), bad(1, 2, 3, 4, 60))
    assert [(event.rule, event.at_ms) for event in events] == [("aaa", 5_000), ("bad-press", 10_000)]
    assert list(state.rules) == ["aaa", "bad-press"]


def test_alert_ids_do_not_clash() -> None:
    """Rule, key and start all tell."""
    ids = {alert_id(rule, key, at) for rule in ("a", "b") for key in ("a", "b") for at in (1, 2)}
    assert len(ids) == 8
    assert alert_id("a", "b", 1) == "332d4741402e1780", "as it ever was: alerts that are open have one"


LATENESS_MS = 15_000
labels: st.SearchStrategy[Label] = st.sampled_from(("negative", "negative", "positive", "neutral"))
items = st.tuples(st.integers(0, 400), labels, st.sampled_from([None, None, None, "x"]))
streams = st.integers(0, 120).flatmap(lambda size: st.lists(items, min_size=size, max_size=size))


def naive(found: RuleSet, signals: list[Signal], until_ms: int) -> list[tuple[str, int, int, int, int]]:
    """What should happen, the slow way: every boundary, every signal counted anew."""
    (rule,) = found.rules
    life, told = Life(), list[tuple[str, int, int, int, int]]()
    for at_ms in range(0, until_ms + 1, rule.detector.bucket):
        window = [item for item in signals if at_ms - rule.detector.window <= item.event_time_ms < at_ms]
        counted = [item for item in window if item.duplicate_of is None]
        negatives = sum(item.label == "negative" for item in counted)
        _, reading = judge(rule.detector, None, View(at_ms, Tally(len(counted), negatives), Tally()))
        step = advance(life, reading.verdict, at_ms, Timing(rule.for_, rule.keep_firing_for))
        if step.life.status != life.status and step.life.status in {"firing", "resolved"}:
            told.append((step.life.status, at_ms, step.life.since_ms, len(counted), negatives))
        life = step.life
    return told


@settings(max_examples=50)
@given(streams, st.sampled_from([RULE, SLOW]))
def test_events_are_those_of_the_slow_way(items: list[tuple[int, Label, str | None]], text: str) -> None:
    """Sparse buckets, skipped boundaries and timers change nothing: states, times and figures equal a recount from scratch."""
    signals = [signal(at_s, label, duplicate_of=copy) for at_s, label, copy in sorted(items, key=lambda item: item[0])]
    _, events = feed(rules(text), [*signals, signal(600, "neutral")])
    figures = [(e.state, e.at_ms, e.started_at_ms, e.evidence.messages, e.evidence.negatives) for e in events]
    assert figures == naive(rules(text), signals, 600_000)


@settings(max_examples=50)
@given(streams, st.randoms(use_true_random=False), st.sampled_from([RULE, SLOW]))
def test_order_within_the_lateness_makes_no_difference(
    items: list[tuple[int, Label, str | None]], chance: random.Random, text: str
) -> None:
    """The same signals in any order of arrival within the allowed lateness give the same events, and the same state."""
    signals = [
        signal(at_s, label, message_id=str(number), duplicate_of=copy)
        for number, (at_s, label, copy) in enumerate(sorted(items, key=lambda item: item[0]))
    ]
    arrival = sorted(signals, key=lambda item: item.event_time_ms + chance.randint(0, LATENESS_MS))
    closing = [signal(2_000, "neutral")]
    inorder = feed(rules(text), signals + closing, lateness_ms=LATENESS_MS)
    shuffled = feed(rules(text), arrival + closing, lateness_ms=LATENESS_MS)
    assert shuffled == inorder


@settings(max_examples=50)
@given(streams, st.lists(st.integers(0, 450), max_size=20), st.sampled_from([RULE, SLOW]))
def test_how_often_a_key_is_looked_at_makes_no_difference(
    items: list[tuple[int, Label, str | None]], looks: list[int], text: str
) -> None:
    """Waking a key when it is due, at other times besides, or not at all until its next signal: the events are the same."""
    signals = [signal(at_s, label) for at_s, label, _ in sorted(items, key=lambda item: item[0])]
    closing = signal(2_000, "neutral")
    _, lazily = feed(rules(text), [*signals, closing])
    state, eagerly = FRESH, list[AlertEvent]()
    steps = sorted(
        [(item.event_time_ms, 0, item) for item in signals] + [(at * 1_000, 1, None) for at in looks], key=lambda s: s[:2]
    )
    for watermark_ms, _, item in [*steps, (closing.event_time_ms, 0, closing)]:
        while state.due_ms is not None and state.due_ms <= watermark_ms:
            decision = decide(rules(text), state, None, state.due_ms)
            state, eagerly = decision.state, [*eagerly, *decision.events]
        decision = decide(rules(text), state, item, watermark_ms)
        state, eagerly = decision.state, [*eagerly, *decision.events]
    assert eagerly == lazily


STALE = RULE + "    no_data: stale\n"


def test_a_rule_can_let_an_alert_go_stale_for_want_of_data() -> None:
    """Neither resolved nor sure any more; with data it fires on, under the same alert id, as its second episode."""
    _, events = feed(rules(STALE), [*bad(1, 2, 3, 4), *bad(100, 101, 102, 103), *good(*range(110, 160)), signal(200)])
    assert [(e.id.partition("-")[2], e.state, e.episode, e.reason) for e in events] == [
        ("firing", "firing", 1, "threshold_passed"),
        ("stale", "stale", 1, "went_silent"),
        ("firing-2", "firing", 2, "still_breaching"),
        ("resolved", "resolved", 2, "recovered"),
    ]
    assert len({event.alert_id for event in events}) == 1


def test_a_rule_can_resolve_for_want_of_data_if_it_says_so() -> None:
    """And waits as long as it does with data; the watermark of the partition must have come so far."""
    text = RULE + "    no_data: resolve\n    keep_firing_for: 20s\n"
    _, (fired, resolved) = feed(rules(text), [*bad(1, 2, 3, 4), signal(3_600)])
    assert (resolved.alert_id, resolved.state, resolved.at_ms) == (fired.alert_id, "resolved", 80_000)


def test_a_rule_can_alert_on_the_want_of_data() -> None:
    """Once a key that was heard of falls below the minimum, until there is enough again."""
    text = RULE + "    no_data: fire\n"
    _, events = feed(rules(text), [*good(1, 2, 3, 4, 45), *good(101, 102, 103, 104, 110)])
    assert [(event.state, event.reason, event.at_ms) for event in events] == [
        ("firing", "data_absent", 60_000),
        ("resolved", "recovered", 110_000),
    ]


def test_a_flap_guard_is_the_rules_own() -> None:
    """Three alerts within the hour: the third stays."""
    text = RULE + "    flap_guard: {fires: 3, within: 1h}\n"
    stream = [
        item
        for start in range(0, 1_000, 200)
        for item in (*bad(*range(start, start + 20)), *good(*range(start + 20, start + 120)))
    ]
    assert [event.state for event in feed(rules(text), stream)[1]] == ["firing", "resolved", "firing", "resolved", "firing"]
    assert len(feed(rules(), stream)[1]) > 6


def test_silence_makes_a_firing_alert_stale_once() -> None:
    """A tick says so; a second one says nothing new; data brings the alert back."""
    state, (fired,) = feed(rules(), bad(1, 2, 3, 4, 10))
    first = silence(rules(), state, 500_000)
    (stale,) = first.events
    assert (stale.id, stale.state, stale.at_ms, stale.reason) == (f"{fired.alert_id}-stale", "stale", 500_000, "went_silent")
    assert stale.evidence == fired.evidence
    second = silence(rules(), first.state, 600_000)
    assert (second.events, second.state) == ((), first.state)
    _, (back, resolved) = feed(rules(), [*bad(11, 12, 13, 14), *good(*range(21, 90))], first.state, 10_000)
    assert (back.id, back.episode, back.alert_id) == (f"{fired.alert_id}-firing-2", 2, fired.alert_id)
    assert (resolved.id, resolved.state) == (f"{fired.alert_id}-resolved", "resolved")


def test_silence_drops_what_is_pending_and_nothing_else() -> None:
    """The windows stay, and signals that come after the tick count as if there had been none."""
    state, _ = feed(rules(SLOW), bad(1, 2, 3, 4, 12))
    assert state.rules["bad-press"].life.status == "pending"
    quiet = silence(rules(SLOW), state, 500_000)
    after, before = quiet.state.rules["bad-press"], state.rules["bad-press"]
    assert (quiet.events, after.life.status) == ((), "ok")
    assert (after.buckets, after.closed, after.evaluated_ms) == (before.buckets, before.closed, before.evaluated_ms)


def test_silence_of_a_removed_rule_is_left_to_the_next_look() -> None:
    """The alert of a rule that is gone is resolved when its key is looked at, not by a tick."""
    state, _ = feed(rules(), bad(1, 2, 3, 4, 10))
    others = rules(RULE.replace("bad-press", "other"))
    assert silence(others, state, 500_000).events == ()
    assert decide(others, silence(others, state, 500_000).state, None, 20_000).events[0].reason == "rule_removed"


@settings(max_examples=50)
@given(
    streams,
    st.lists(st.integers(0, 450), max_size=20),
    st.sampled_from(["resolve", "fire", "stale", "keep"]),
    st.integers(0, 40),
)
def test_how_often_a_key_is_looked_at_makes_no_difference_without_data(
    items: list[tuple[int, Label, str | None]], looks: list[int], policy: str, gap: int
) -> None:
    """Whatever want of data means, and whichever detector looks: silence that is passed over gives what waiting gives."""
    for text in (RULE, SHIFT, SINGLE):
        found = rules(f"{text}    no_data: {policy}\n    keep_firing_for: {gap}s\n")
        signals = [signal(at_s, label) for at_s, label, _ in sorted(items, key=lambda item: item[0])]
        closing = [signal(at_s, "neutral") for at_s in (2_000, 2_001, 50_000)]
        steps = sorted(
            [(s.event_time_ms, 0, s) for s in signals] + [(at * 1_000, 1, None) for at in looks], key=lambda s: s[:2]
        )
        state, eagerly = FRESH, list[AlertEvent]()
        for watermark_ms, _, item in [*steps, *((s.event_time_ms, 0, s) for s in closing)]:
            decision = decide(found, state, item, watermark_ms)
            state, eagerly = decision.state, [*eagerly, *decision.events]
        lazy_state, lazily = feed(found, [*signals, *closing])
        assert (eagerly, state) == (lazily, lazy_state)
