"""Why: the reason that goes with every decision, rule by rule, and what a tick changes besides."""

import pytest

from tests.unit.worker.alert.builders import RULE, rules, signal
from tests.unit.worker.alert.test_decide import FRESH, SLOW, bad, feed, good
from worker.alert.decide import Decision, Look, acknowledge, decide, silence
from worker.alert.rules import RuleSet
from worker.alert.suppression import Suppression
from worker.messages import Acknowledge, Signal, Silence

OWN = RULE + "    scope: {entities: acme}\n"


def in_force(said: Silence) -> Suppression:
    """A silence."""
    found = Suppression()
    found.take(said, 0)
    return found


def reasons(decision: Decision) -> list[tuple[str, str]]:
    """As they stand."""
    return [(rule, reason) for rule, reason in decision.reasons]


@pytest.mark.parametrize(
    ("found", "signals", "first", "second"),
    [
        (rules(), good(1), "no_data", "no_data"),
        (rules(SLOW), bad(1, 2, 3, 4, 12), "data_ended", "no_data"),
        (rules(OWN), bad(1, 2, 3, 4, 10), "went_silent", "still_silent"),
    ],
)
def test_a_tick_says_what_it_did(found: RuleSet, signals: list[Signal], first: str, second: str) -> None:
    """To each rule that has heard of the key, and covers it; another one says something else of it."""
    state, _ = feed(found, signals)
    once = silence(found, state, 500_000)
    assert reasons(once) == [("bad-press", first)]
    assert reasons(silence(found, once.state, 600_000)) == [("bad-press", second)]


def test_a_tick_tells_what_keeps_a_stale_alert_quiet() -> None:
    """What began since it went stale, and what ended, at the time of the tick."""
    state, (fired,) = feed(rules(), bad(1, 2, 3, 4, 10))
    quiet = Silence("s", ("entity=acme",), 900_000, "kim", "premiere", 0)
    stale = silence(rules(), state, 500_000).state
    begun = silence(rules(), stale, 600_000, in_force(quiet))
    assert [(e.change, e.reason, e.at_ms, e.alert_id) for e in begun.events] == [
        ("suppressed", "silenced", 600_000, fired.alert_id)
    ]
    ended = silence(rules(), begun.state, 900_000, in_force(quiet))
    assert [(e.change, e.reason, e.at_ms) for e in ended.events] == [("unsuppressed", "silence_ended", 900_000)]


def test_acknowledging_says_what_it_did() -> None:
    """Of the rule whose alert it is; of none where it is not open. Who has an alert has it when it goes stale, too."""
    state, (fired,) = feed(rules(), bad(1, 2, 3, 4, 10))
    said = Acknowledge("entity:acme", fired.alert_id, "kim", "on it", 5)
    taken = acknowledge(rules(), state, said, 12_000)
    assert reasons(taken) == [("bad-press", "acknowledged")]
    assert reasons(acknowledge(rules(), FRESH, said, 12_000)) == [("", "not_open")]
    (stale,) = silence(rules(), taken.state, 500_000).events
    assert stale.acknowledgement == taken.events[0].acknowledgement is not None
    (back,) = feed(rules(), [*bad(11, 12, 13, 14), signal(20)], silence(rules(), taken.state, 500_000).state, 12_000)[1]
    assert (back.state, back.episode, back.revision) == ("firing", 2, 1)


def test_a_changed_rule_says_so_and_forgets_nothing_of_its_alert() -> None:
    """Who takes it upon themselves afterwards has the same alert; signals that came too late are counted on."""
    state, (fired,) = feed(rules(), bad(1, 2, 3, 4, 10, 3))
    stricter = rules(RULE.replace("min_messages: 4", "min_messages: 5"))
    changed = decide(stricter, state, None, 19_000)
    assert reasons(changed) == [("bad-press", "rule_changed")]
    assert changed.state.rules["bad-press"].late == 1
    taken = acknowledge(stricter, changed.state, Acknowledge("entity:acme", fired.alert_id, "kim", "on it", 5), 19_000)
    assert [(event.change, event.alert_id) for event in taken.events] == [("acknowledged", fired.alert_id)]


def test_a_removed_rule_says_so() -> None:
    """Its alert's last event has the id of every other end, and the time at which the rule was found to be gone."""
    state, (fired,) = feed(rules(), bad(1, 2, 3, 4, 10))
    decision = decide(rules(RULE.replace("bad-press", "other")), state, None, 23_456)
    assert [(event.id, event.at_ms) for event in decision.events] == [(f"{fired.alert_id}-resolved", 23_456)]
    assert reasons(decision) == [("bad-press", "rule_removed")]


def test_an_event_has_its_rules_link() -> None:
    """With the places in it filled in, from the event itself."""
    _, (fired,) = feed(rules(RULE + "    link: 'https://dash/{alert_key}/{alert_id}?from={start_ms}'\n"), bad(1, 2, 3, 4, 10))
    assert fired.link == f"https://dash/entity%3Aacme/{fired.alert_id}?from=-40000"


def test_a_look_says_what_it_came_to() -> None:
    """The last of several boundaries, for each rule, and an observer hears of each of them."""
    state, _ = feed(rules(), bad(1, 2, 3, 4))
    seen = list[Look]()
    decision = decide(rules(), state, None, 29_999, seen.append)
    assert reasons(decision) == [("bad-press", "still_breaching")]
    assert [(look.rule, look.alert_key, look.scene.at_ms, look.step.reason) for look in seen] == [
        (rules().rules[0], "entity:acme", 10_000, "threshold_passed"),
        (rules().rules[0], "entity:acme", 20_000, "still_breaching"),
    ]


def test_silences_before_a_message_from_far_ahead_are_told() -> None:
    """Where much lateness is allowed, a message may lie beyond a gap that is passed over: what began in it is told in order."""
    state, _ = feed(rules(), bad(1, 2, 3, 4, 10))
    ahead = decide(rules(), state, signal(900), 10_000).state
    quiet = in_force(Silence("s", ("entity=acme",), 400_000, "kim", "premiere", 300_001))
    told = decide(rules(), ahead, None, 910_000, None, quiet).events
    assert [(event.change, event.at_ms) for event in told] == [("suppressed", 310_000), ("unsuppressed", 400_000)]


@pytest.mark.parametrize(("at_s", "intake"), [(10, "counted"), (9, "late")])
def test_a_signal_that_comes_with_a_look_has_its_own_reason(at_s: float, intake: str) -> None:
    """First what became of it, then what the look came to."""
    state, _ = feed(rules(), bad(1, 2, 3, 4))
    decision = decide(rules(), state, signal(at_s), 10_000)
    assert reasons(decision) == [("bad-press", intake), ("bad-press", "threshold_passed")]


def test_a_key_that_is_new_is_no_changed_rule() -> None:
    """All that is said of its first signal is what became of it."""
    assert reasons(decide(rules(), FRESH, signal(1), 1_000)) == [("bad-press", "counted")]


def test_a_signal_of_another_rule_ends_the_alert_of_one_that_is_gone() -> None:
    """However little there is to look at: it is not counted past it in silence."""
    two = rules(RULE + RULE.replace("rules:", "").replace("bad-press", "gone"))
    state, fired = feed(two, bad(1, 2, 3, 4, 10))
    assert [event.rule for event in fired] == ["bad-press", "gone"]
    decision = decide(rules(), state, signal(11), 11_000)
    assert [(event.rule, event.reason) for event in decision.events] == [("gone", "rule_removed")]
    assert reasons(decision) == [("bad-press", "counted"), ("gone", "rule_removed")]
