from collections import Counter

import pytest

from tests.unit.worker.alert.builders import RULE, event, rules, signal
from worker.alert.late import LateSignals
from worker.alert.lifecycle import Life
from worker.alert.partition import Effects, PartitionMemory, Placed
from worker.alert.rebuild import past
from worker.alert.state import NEVER_MS, decode_state
from worker.messages import Control, Signal, Silence, Tick
from worker.ports import PartitionState, StoredEvent


def memory(lateness_ms: int = 0, cached_keys: int = 100) -> PartitionMemory:
    """A partition of which nothing is known yet."""
    return PartitionMemory(rules(), lateness_ms, cached_keys)


RESOLVING = rules(RULE + "    no_data: resolve\n")


def resolving() -> PartitionMemory:
    """One under a rule to which silence means that all is well."""
    return PartitionMemory(RESOLVING, 0, 100)


def run(
    held: PartitionMemory, *signals: Signal | Control | None, at: int = 0, stored: dict[str, bytes] | None = None
) -> Effects:
    """Apply and settle a run of signals that starts at offset `at`."""
    placed = [Placed(at + index, item) for index, item in enumerate(signals)]
    held.learn(held.missing(placed), stored or {})
    effects = held.apply(placed)
    held.settle(effects.next_offset)
    return effects


def burst(key: str = "entity:acme", start_s: int = 0) -> list[Signal]:
    """Enough negatives to fire when their bucket closes."""
    return [signal(start_s + at, alert_key=key) for at in (1, 2, 3, 4)]


def test_effects_of_a_run() -> None:
    """The changed states, their timers, the newest event time and the next offset."""
    effects = run(memory(), *burst(), at=7)
    assert (effects.next_offset, effects.max_event_time_ms) == (11, 4_000)
    assert effects.due == {"entity:acme": 10_000}
    assert decode_state(effects.states["entity:acme"]).due_ms == 10_000
    assert (effects.events, effects.late) == ((), LateSignals())


def test_the_watermark_wakes_other_keys() -> None:
    """A key falls due by the signals of others; the event belongs to the signal that moved the watermark."""
    held = memory()
    run(held, *burst())
    (fired,) = run(held, signal(5, alert_key="topic:x"), signal(10, alert_key="topic:x"), at=4).events
    assert (fired.offset, fired.sequence, fired.event.alert_key) == (5, 0, "entity:acme")


def test_events_of_one_signal_are_numbered() -> None:
    """Several keys can fall due at one signal: in order of time and key, numbered from nought."""
    held = memory()
    run(held, *burst("entity:b"), *burst("entity:c"), *burst("entity:a"))
    events = run(held, signal(10, alert_key="topic:x"), at=12).events
    assert [(item.sequence, item.event.alert_key) for item in events] == [(0, "entity:a"), (1, "entity:b"), (2, "entity:c")]


def test_lateness_holds_the_watermark_back() -> None:
    """With 15 s allowed, a window closes 15 s after its end, and what came in between counts."""
    held = memory(lateness_ms=15_000)
    assert run(held, *burst(), signal(24.9, "neutral"), signal(9, "positive")).events == ()
    (fired,) = run(held, signal(25, "neutral"), at=6).events
    assert fired.event.evidence.messages == 5


def test_late_signals_are_told() -> None:
    """They change no window, and the run says how many there were, for which rules, and how far behind."""
    late = run(memory(), signal(50), signal(1), signal(2), signal(50)).late
    assert late == LateSignals(2, Counter({"bad-press": 2}), 49_000, 97_000)


def test_undecodable_signals_only_move_the_offset() -> None:
    """A hole in the run is passed over."""
    effects = run(memory(), None, None, at=3)
    assert (effects.next_offset, effects.states, effects.max_event_time_ms) == (5, {}, NEVER_MS)


@pytest.mark.parametrize("from_offset", [0, 4])
def test_what_is_on_record_is_not_decided_anew(from_offset: int) -> None:
    """A replay restores the events on record, whatever it would decide itself, and then goes on as if nothing had happened."""
    fresh, rebuilt = memory(), memory()
    known, unknown = [*burst(), signal(10, "neutral")], [signal(11, "neutral"), *burst("entity:b", 10), signal(20, "neutral")]
    (fired,) = run(fresh, *known).events
    rebuilt.past = past(5, [fired])
    replayed = run(rebuilt, *known[from_offset:], at=from_offset)
    assert (replayed.events, replayed.restored) == ((fired,), 1)
    later = [run(held, *unknown, at=5) for held in (fresh, rebuilt)]
    assert [stored.event.alert_id for stored in later[0].events] == [stored.event.alert_id for stored in later[1].events]
    assert later[1].restored == 0


def test_the_record_prevails_over_the_replay() -> None:
    """Where a replay finds an alert that never was, it is dropped at the end of the record, and none that was open is lost."""
    held, other = memory(), event(at_ms=0, alert_key="topic:quiet")
    held.past = past(5, [StoredEvent(2, 0, other)])
    effects = run(held, *burst(), signal(10, "neutral"))
    assert [stored.event for stored in effects.events] == [other]
    states = {key: decode_state(body).rules["bad-press"].life for key, body in effects.states.items()}
    assert states == {"entity:acme": Life("ok"), "topic:quiet": Life("firing", 0)}
    assert effects.due["topic:quiet"] is not None


@pytest.mark.parametrize("offset", [5, 7])
def test_a_record_whose_signals_are_gone_still_counts(offset: int) -> None:
    """The topic no longer reaches back to the position: the open alerts are taken over before the first signal is decided."""
    held, open_one = resolving(), event(at_ms=0, rule_version=RESOLVING.rules[0].version)
    held.past = past(5, [StoredEvent(2, 0, open_one)])
    placed = [Placed(offset, signal(100, "positive"))]
    held.learn(held.missing(placed), {})
    effects = held.apply(placed)
    assert [(stored.offset, stored.event.state) for stored in effects.events] == [(offset, "resolved")]
    assert effects.restored == 0


def test_an_alert_from_the_record_is_looked_at_when_it_falls_due() -> None:
    """Its timer is the record's too: another key's signal ends it, though the replay has not seen its key at all."""
    held = resolving()
    open_one = event(at_ms=0, alert_key="topic:quiet", rule_version=RESOLVING.rules[0].version)
    held.past = past(2, [StoredEvent(0, 0, open_one)])
    run(held, signal(1), signal(2))
    (resolved,) = run(held, signal(100), at=2).events
    assert (resolved.event.alert_key, resolved.event.state) == ("topic:quiet", "resolved")


def test_states_that_left_memory_are_asked_for() -> None:
    """Of two keys and room for one, the older is let go, and is needed again for its own signal and when it falls due."""
    held = memory(cached_keys=1)
    effects = run(held, *burst("entity:a"), signal(5, alert_key="entity:b"))
    assert held.missing([Placed(5, signal(6, alert_key="entity:a"))]) == ["entity:a"]
    assert held.missing([Placed(5, signal(6, alert_key="entity:b"))]) == []
    assert held.missing([Placed(5, signal(10, alert_key="entity:b"))]) == ["entity:a"]
    (fired,) = run(held, signal(10, alert_key="entity:b"), at=5, stored=effects.states).events
    assert fired.event.alert_key == "entity:a"


def test_a_key_that_does_not_fall_due_is_not_asked_for() -> None:
    """Not the newest signal wakes it, but the watermark behind that."""
    held = memory(lateness_ms=15_000, cached_keys=1)
    run(held, *burst("entity:a"), signal(5, alert_key="entity:b"))
    assert held.missing([Placed(5, signal(24.9, alert_key="entity:b"))]) == []
    assert held.missing([Placed(5, signal(25, alert_key="entity:b"))]) == ["entity:a"]


def test_the_state_used_last_stays() -> None:
    """It is the least recently used that goes, not the first to come."""
    held = memory(cached_keys=1)
    run(held, *[signal(at, alert_key=key) for at, key in enumerate(["entity:a", "entity:b", "entity:a"])])
    assert held.missing([Placed(3, signal(3, alert_key=key)) for key in ("entity:a", "entity:b")]) == ["entity:b"]


def test_resumed_memory_goes_on_as_if_it_had_never_stopped() -> None:
    """Offset, watermark, timers and states are all there is to a partition."""
    steady, first = memory(), memory()
    stream = [*burst(), signal(12, "neutral"), *burst("entity:b", 12), signal(30, alert_key="topic:x"), *burst(start_s=31)]
    expected = run(steady, *stream)
    early = run(first, *stream[:6])
    resumed = memory()
    due = {key: at for key, at in early.due.items() if at is not None}
    resumed.resume(PartitionState(early.next_offset, early.max_event_time_ms, due))
    later = run(resumed, *stream[6:], at=6, stored=early.states)
    assert early.events + later.events == expected.events
    assert {**early.states, **later.states} == expected.states


def test_going_back_is_refused() -> None:
    """What was counted once is not counted again."""
    held = memory()
    run(held, *burst())
    with pytest.raises(ValueError, match="from offset 4"):
        run(held, signal(5), at=3)
    with pytest.raises(ValueError, match="expected signals"):
        held.apply([])


def test_an_expired_state_loses_its_timer() -> None:
    """Where Redis forgot a key's state, its timer leads nowhere and is removed."""
    held = memory()
    held.resume(PartitionState(5, 4_000, {"entity:gone": 10_000}))
    assert run(held, signal(20, alert_key="topic:x"), at=5).due["entity:gone"] is None


def test_an_unchanged_key_is_not_written() -> None:
    """A duplicate that does not count costs no write."""
    held = PartitionMemory(rules(RULE), 0, 100)
    run(held, *burst())
    assert run(held, signal(5, duplicate_of="x"), at=4).states == {}


def test_a_tick_makes_the_open_alerts_of_the_partition_stale() -> None:
    """All of them, in the order of their keys, at the tick's offset; the watermark stays where it was."""
    held = memory()
    run(held, *burst("entity:b"), *burst("entity:a"), signal(10, alert_key="topic:x"))
    effects = run(held, Tick(900_000), at=9)
    told = [(item.offset, item.sequence, item.event.alert_key, item.event.state) for item in effects.events]
    assert told == [(9, 0, "entity:a", "stale"), (9, 1, "entity:b", "stale")]
    assert (effects.next_offset, effects.max_event_time_ms) == (10, 10_000)
    assert {key for key in effects.states if b"stale" in effects.states[key]} == {"entity:a", "entity:b"}
    again = run(held, Tick(1_000_000), at=10)
    assert (again.events, again.states) == ((), {}), "what is unchanged is not written"


def test_a_tick_needs_the_states_of_keys_with_timers() -> None:
    """Those that were let go of are asked for again."""
    held = memory(cached_keys=1)
    stored = run(held, *burst("entity:a"), *burst("entity:b")).states
    assert held.missing([Placed(8, Tick(900_000))]) == ["entity:a"]
    assert run(held, Tick(900_000), at=8, stored=stored).events == ()


def test_a_tick_in_an_empty_partition_says_nothing() -> None:
    """It only moves the offset."""
    effects = run(memory(), Tick(5))
    assert (effects.next_offset, effects.events, effects.max_event_time_ms) == (1, (), NEVER_MS)


def test_what_keeps_alerts_quiet_is_stored_whatever_else_the_run_holds() -> None:
    """A silence that is followed by a tick is not lost with the next worker."""
    held, silence = memory(), Silence("s", ("entity=acme",), 60_000, "kim", "premiere")
    stored = run(held, silence, Tick(900_000)).suppression
    assert stored is not None
    resumed = memory()
    resumed.resume(PartitionState(2, 0, {}, stored))
    assert resumed.suppression.silences == (silence,)
    assert run(held, Tick(1_000_000), at=2).suppression is None


def test_of_too_many_silences_those_go_that_are_over() -> None:
    """By the watermark: here the eighth."""
    held = memory()
    ends_ms = [50_000 if number == 7 else 200_000 for number in range(501)]
    silences = [Silence(f"{number}", ("entity=acme",), at_ms, "kim", "premiere") for number, at_ms in enumerate(ends_ms)]
    run(held, signal(100), *silences)
    assert held.suppression.silences == (*silences[:7], *silences[8:])
