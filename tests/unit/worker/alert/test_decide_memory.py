"""What a detector has learnt of a key, and how long that is kept."""

import pytest

from tests.unit.worker.alert.builders import RULE, rules, signal
from tests.unit.worker.alert.test_decide import FRESH, SHIFT, SINGLE, feed
from worker.alert import ring
from worker.alert.decide import decide
from worker.messages import AlertEvent


@pytest.mark.parametrize(("at_s", "is_known"), [(600, True), (609.999, True), (610, False)])
def test_a_memory_is_lost_in_a_silence_as_long(at_s: float, is_known: bool) -> None:
    """From the end of the last bucket with messages to the next, ten half-lives of 60 s: then it is as on the first day."""
    later = [signal(at_s), signal(at_s + 10)]
    known, _ = feed(rules(SHIFT), [signal(1), *later])
    fresh, _ = feed(rules(SHIFT), later)
    assert (known.rules["mood"].memory != fresh.rules["mood"].memory) is is_known


@pytest.mark.parametrize(("watermark_ms", "is_known"), [(600_000, True), (610_000, False)])
def test_a_memory_is_lost_without_a_message_too(watermark_ms: int, is_known: bool) -> None:
    """Where a rule looks at a key that is silent."""
    found = rules(SHIFT + "    no_data: fire\n")
    state, _ = feed(found, [signal(1), signal(12)])
    state = decide(found, state, None, watermark_ms + 10_000).state
    assert (state.rules["mood"].memory is not None) is is_known


@pytest.mark.parametrize(("at_s", "told"), [(600, ["firing"]), (700, [])])
def test_a_past_that_is_forgotten_is_held_against_nobody(at_s: int, told: list[str]) -> None:
    """The first messages after a silence that long are no fall below what was usual before it."""
    calm = [signal(at, "positive") for at in range(1, 60)]
    _, events = feed(rules(SHIFT), [*calm, *[signal(at_s + number / 10) for number in range(30)], signal(at_s + 10)])
    assert [event.state for event in events] == told


def test_what_leaves_a_window_can_make_the_rest_too_much() -> None:
    """Four bad ones of seven are not, and four of four are: when the good ones leave, without another message."""
    good = [signal(at_s, "positive") for at_s in (1, 2, 3)]
    _, events = feed(rules(), [*good, *[signal(at_s) for at_s in (11, 12, 13, 14)], signal(100, "neutral")])
    assert [(event.state, event.at_ms) for event in events] == [("firing", 60_000)]


def test_what_no_window_will_hold_again_is_forgotten() -> None:
    """Five buckets of ten seconds, and those that may still grow, so that a key's state stays small."""
    state, _ = feed(rules(), [signal(at_s, "positive") for at_s in range(5, 100, 10)])
    kept = state.rules["bad-press"]
    assert ([bucket.start_ms for bucket in kept.buckets], ring.messages(kept.closed)) == ([90_000], 5)


def test_a_key_that_came_too_late_is_looked_at_as_any_other() -> None:
    """All that is known of it is that it was late."""
    late = decide(rules(), FRESH, signal(3), 25_000).state
    assert late.rules["bad-press"].late == 1
    again = decide(rules(), late, None, 50_000)
    assert (again.events, again.state.due_ms, again.state.rules["bad-press"].late) == ((), None, 1)


@pytest.mark.parametrize(
    ("text", "messages", "due_ms"),
    [
        (RULE, 4, 60_000),
        (RULE, 3, None),
        (SHIFT, 4, None),
        (SINGLE, 1, None),
        (SINGLE + "    no_data: fire\n", 1, 20_000),
    ],
)
def test_a_key_is_woken_where_something_can_change_without_a_message(text: str, messages: int, due_ms: int | None) -> None:
    """Messages leave a window, and enough are left for the rest to be too much; or their want is what the rule is about."""
    state, _ = feed(rules(text), [signal(at_s, "positive") for at_s in range(1, messages + 1)])
    assert decide(rules(text), state, None, 10_000).state.due_ms == due_ms


def test_one_severe_message_is_enough_whatever_min_messages_says() -> None:
    """The key is woken at the end of its bucket, and does not wait for another signal."""
    text = "rules: [{name: one, detector: {type: single, window: 50s, bucket: 10s, threshold: 0.8, min_messages: 2}}]"
    state, _ = feed(rules(text), [signal(1, negative=0.99)])
    assert state.due_ms == 10_000
    assert [event.state for event in decide(rules(text), state, None, 10_000).events] == ["firing"]


def test_an_alert_outlives_its_messages() -> None:
    """Looked at again and again without one, it is due at every boundary."""
    state, _ = feed(rules(), [signal(at_s) for at_s in (1, 2, 3, 4, 10)])
    for watermark_ms in (3_600_000, 3_700_000, 3_800_000):
        decision = decide(rules(), state, None, watermark_ms)
        state = decision.state
        kept = state.rules["bad-press"]
        assert (decision.events, state.due_ms, kept.buckets, kept.closed) == ((), watermark_ms + 10_000, (), ring.EMPTY)


@pytest.mark.parametrize(
    ("no_data", "told"), [("resolve", ["recovered"]), ("stale", ["went_silent"]), ("keep", []), ("fire", [])]
)
def test_an_alert_of_a_changed_rule_that_nothing_comes_for_is_still_looked_at(no_data: str, told: list[str]) -> None:
    """What the rule makes of too little data holds for it too, though no message ever comes under the new rule."""
    state, _ = feed(rules(), [signal(at_s) for at_s in (1, 2, 3, 4, 10)])
    changed, events = rules(RULE + f"    no_data: {no_data}\n"), list[AlertEvent]()
    for watermark_ms in range(20_000, 200_000, 10_000):
        decision = decide(changed, state, None, watermark_ms)
        state = decision.state
        events += decision.events
    assert [event.reason for event in events] == told


@pytest.mark.parametrize("no_data", ["resolve", "stale"])
def test_an_alert_of_a_changed_rule_is_given_a_window_of_time(no_data: str) -> None:
    """What was not gathered yet is no want of data: else each change of a rule would end its alerts at the next boundary."""
    state, _ = feed(rules(), [signal(at_s) for at_s in (1, 2, 3, 4, 10)])
    changed = rules(RULE.replace("threshold: 0.5", "threshold: 0.55") + f"    no_data: {no_data}\n")
    state = decide(changed, state, None, 30_000).state
    assert [event.at_ms for event in decide(changed, state, None, 79_999).events] == []
    assert [event.at_ms for event in decide(changed, state, None, 80_000).events] == [80_000]


def test_a_changed_rule_says_nothing_of_keys_that_it_has_not_heard_of() -> None:
    """Else each change of a rule that alerts on the want of data would alert on every key, as its window is empty then."""
    state, _ = feed(rules(), [signal(at_s, "positive") for at_s in (1, 2, 3, 4, 10)])
    changed = rules(RULE + "    no_data: fire\n")
    state = decide(changed, state, None, 20_000).state
    assert decide(changed, state, None, 200_000).events == ()
