"""Acknowledgement, silences and inhibition as `decide` and a partition make them; `test_suppression` has what is in force."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worker.alert.builders import RULE, rules, signal
from tests.unit.worker.alert.builders import event as fired
from worker.alert import attention
from worker.alert.lifecycle import Life
from worker.alert.partition import Effects, PartitionMemory, Placed
from worker.alert.rebuild import past
from worker.alert.state import RuleState
from worker.messages import (
    Acknowledge,
    Acknowledgement,
    AlertEvent,
    Control,
    Expire,
    Inhibitor,
    Label,
    Signal,
    Silence,
    Standing,
    Tick,
)
from worker.ports import PartitionState, StoredEvent

KEY = "entity:acme"
INHIBIT = RULE + "inhibit: [{source_matchers: [severity=critical], target_matchers: [entity=acme]}]\n"
FIRE = [signal(at_s) for at_s in (1, 2, 3, 4)]
SOURCE = Inhibitor("source", {"severity": "critical"}, True)
Item = Signal | Control | None


def silence(starts_s: float = 0, ends_s: float = 1_000, name: str = "s", matcher: str = "entity=acme") -> Silence:
    """A silence of event times in seconds."""
    return Silence(name, (matcher,), round(ends_s * 1_000), "kim", "premiere", round(starts_s * 1_000))


def at(at_s: float, label: Label = "negative") -> Signal:
    """A signal at this second."""
    return signal(at_s, label, message_id=f"m{at_s}")


class Partition:
    """A partition in memory, and all that came of it."""

    def __init__(self, text: str = RULE) -> None:
        self.memory = PartitionMemory(rules(text), 0, 100)
        self.offset = 0
        self.store: dict[str, bytes] = {}
        self.book: dict[str, AlertEvent] = {}
        self.stored: list[StoredEvent] = []
        self.effects: list[Effects] = []

    def take(self, *items: Item) -> list[AlertEvent]:
        """Apply one run; return the events that it brought."""
        run = [Placed(self.offset + index, item) for index, item in enumerate(items)]
        self.memory.learn(self.memory.missing(run), self.store)
        effects = self.memory.apply(run)
        self.memory.settle(effects.next_offset)
        self.offset = effects.next_offset
        self.store |= effects.states
        self.stored += effects.events
        self.effects.append(effects)
        self.book |= {name: event for name, event in effects.open.items() if event is not None}
        for name in [name for name, event in effects.open.items() if event is None]:
            self.book.pop(name, None)
        return [stored.event for stored in effects.events]

    def ack(self, author: str = "kim", alert_id: str | None = None, key: str = KEY) -> Acknowledge:
        """An acknowledgement of the open alert."""
        open_one = next(iter(self.book), "none")
        return Acknowledge(key, alert_id or open_one, author, f"{author} looks", 5)


def told(events: Sequence[AlertEvent]) -> list[tuple[Any, ...]]:
    """What subscribers go by."""
    return [(event.change, event.reason, event.at_ms, event.suppressed_by) for event in events]


def firing(text: str = RULE) -> Partition:
    """A partition with an open alert, looked at up to 10 s."""
    one = Partition(text)
    assert [event.change for event in one.take(*FIRE, at(10))] == ["firing"]
    return one


def test_an_acknowledgement_stays_until_the_alert_resolves() -> None:
    """It is told, every later event has it, the last who gives one has it; the next alert begins without."""
    one = firing()
    first, second = one.take(one.ack(), one.ack("lee"))
    assert (first.change, first.state, first.reason, first.revision) == ("acknowledged", "firing", "acknowledged", 1)
    assert first.acknowledgement == Acknowledgement("kim", "kim looks", 5)
    assert first.id == f"{first.alert_id}-acknowledged-1"
    assert second.id == f"{first.alert_id}-acknowledged-2"
    (resolved,) = one.take(*[at(at_s, "positive") for at_s in (11, 12, 13, 14, 15, 16, 17, 18, 20)])
    assert (resolved.change, resolved.acknowledgement) == ("resolved", Acknowledgement("lee", "lee looks", 5))
    assert one.book == {}
    again = one.take(*[at(at_s) for at_s in range(100, 106)], at(110))
    assert [(event.change, event.acknowledgement) for event in again] == [("firing", None)]


@pytest.mark.parametrize(("alert_id", "key"), [("other", KEY), (None, "topic:x")])
def test_an_acknowledgement_of_what_is_not_open_is_counted(alert_id: str | None, key: str) -> None:
    """An alert that there is not, or of another key: nothing changes."""
    one = firing()
    assert one.take(one.ack(alert_id=alert_id, key=key)) == []
    assert (one.effects[-1].not_open, one.effects[-1].states) == (1, {})


def test_a_silence_that_ends() -> None:
    """The alert lives on, and is told to be quiet and to be heard again at the first boundaries that are so."""
    one = firing()
    assert one.take(silence(ends_s=35)) == []
    assert told(one.take(at(19), at(20))) == [("suppressed", "silenced", 20_000, ("silence:s",))]
    assert told(one.take(at(31), at(39))) == []
    assert told(one.take(at(40))) == [("unsuppressed", "silence_ended", 40_000, ())]


def test_an_alert_that_fires_and_resolves_in_silence() -> None:
    """Both say by what they are kept quiet; no word of its own is needed."""
    one = Partition()
    one.take(silence())
    calm = [at(at_s, "positive") for at_s in (11, 12, 13, 14, 15, 16, 17, 18, 20)]
    assert told(one.take(*FIRE, at(10), *calm)) == [
        ("firing", "threshold_passed", 10_000, ("silence:s",)),
        ("resolved", "recovered", 20_000, ("silence:s",)),
    ]


def test_a_silence_that_somebody_ends() -> None:
    """It is heard at the next look, and a silence of something else changes nothing."""
    one = firing()
    one.take(silence(), silence(name="x", matcher="entity=other"))
    one.take(at(20))
    assert told(one.take(Expire("s"), Expire("x"), at(30))) == [("unsuppressed", "silence_ended", 30_000, ())]


def test_silences_within_a_long_gap_are_told_where_they_lay() -> None:
    """Event time may leap over months: what began and ended meanwhile is told at its own boundaries."""
    one = firing()
    one.take(silence(5_001, 6_000))
    assert told(one.take(at(90_000)))[:2] == [
        ("suppressed", "silenced", 5_010_000, ("silence:s",)),
        ("unsuppressed", "silence_ended", 6_000_000, ()),
    ]


def test_inhibition_begins_and_ends_with_its_source() -> None:
    """At the next look; a silence beside it goes first."""
    one = firing(INHIBIT)
    assert told(one.take(SOURCE, at(20))) == [("suppressed", "inhibited", 20_000, ("inhibition:source",))]
    assert told(one.take(silence(), at(30))) == []
    last = one.take(Expire("s"), Inhibitor("source", SOURCE.labels, False), at(40))
    assert told(last) == [("unsuppressed", "silence_ended", 40_000, ())]


def test_other_inhibition_rules_count_at_the_next_look() -> None:
    """After a reload."""
    one = firing()
    assert one.take(SOURCE, at(20)) == []
    one.memory.replace_rules(rules(INHIBIT))
    assert told(one.take(at(30))) == [("suppressed", "inhibited", 30_000, ("inhibition:source",))]


def test_silence_of_a_partition_and_silence_by_people() -> None:
    """An alert that goes stale says that it is quiet; and acknowledging it leaves it stale."""
    one = firing()
    one.take(silence(0, 600))
    (stale,) = one.take(Tick(500_000))
    assert (stale.change, stale.suppressed_by) == ("stale", ("silence:s",))
    (taken,) = one.take(one.ack())
    assert (taken.state, taken.change, taken.at_ms, taken.suppressed_by) == ("stale", "acknowledged", 500_000, ("silence:s",))
    (back,) = one.take(at(20))
    assert (back.change, back.suppressed_by, back.acknowledgement) == ("firing", ("silence:s",), taken.acknowledgement)


def test_a_removed_rule_resolves_in_silence() -> None:
    """With what keeps the alert quiet, and who has it."""
    one = firing()
    one.take(silence(), one.ack())
    one.memory.replace_rules(rules(RULE.replace("bad-press", "other")))
    (resolved,) = [event for event in one.take(at(20)) if event.change == "resolved"]
    assert (resolved.reason, resolved.suppressed_by) == ("rule_removed", ("silence:s",))
    assert resolved.acknowledgement is not None


def test_what_is_in_force_is_stored_when_it_changes() -> None:
    """And a partition that is loaded from the store goes on with it."""
    one = firing()
    assert one.effects[-1].suppression is None
    one.take(silence())
    stored = one.effects[-1].suppression
    other = Partition()
    other.memory.resume(PartitionState(one.offset, 10_000, {KEY: 20_000}, stored))
    other.offset, other.store = one.offset, one.store
    assert told(other.take(at(20))) == [("suppressed", "silenced", 20_000, ("silence:s",))]


def test_the_book_has_the_last_event_of_what_is_open() -> None:
    """Whatever that was, and nothing of what has ended."""
    one = firing()
    one.take(one.ack(), silence())
    (event,) = one.take(at(20))
    assert list(one.book.values()) == [event]
    assert (event.change, event.acknowledgement is not None) == ("suppressed", True)


def test_what_is_in_force_is_said_again() -> None:
    """At first, and then twice in every stretch that a replay covers; where nothing is, nothing is said."""
    one = firing()
    assert one.memory.standing() is None
    one.take(silence())
    said = one.memory.standing()
    assert said == Standing((silence(),))
    assert one.memory.standing() is None
    half_s = rules().span_ms / 2_000
    one.take(at(10 + half_s - 0.001))
    assert one.memory.standing() is None
    one.take(at(10 + half_s))
    assert one.memory.standing() == said


def test_a_rebuild_knows_what_was_said() -> None:
    """Acknowledgement and suppression come from the record, silences from the last standing that the replay passes."""
    one = firing()
    one.take(one.ack(), silence())
    one.take(at(20))
    standing = one.memory.standing()
    one.take(standing, at(21))
    lost = Partition()
    lost.memory.past = past(one.offset, one.stored)
    lost.offset = one.offset - 2
    lost.take(standing, at(21))
    assert lost.book == one.book
    later = at(30), at(40), Expire("s"), at(50), lost.ack("lee")
    assert told(lost.take(*later)) == told(one.take(*later))
    assert [event.id for event in lost.book.values()] == [event.id for event in one.book.values()]
    assert next(iter(lost.book.values())).id.endswith("-acknowledged-4")


def test_the_book_is_corrected_at_the_end_of_a_rebuild() -> None:
    """What the record has open is in it, though the replay never came to its events; what only the replay fired is not."""
    one = firing()
    lost = Partition()
    lost.memory.past = past(5, one.stored)
    lost.offset = 4
    lost.take(at(12))
    assert list(lost.book) == list(one.book)
    other = Partition()
    other.memory.past = past(5, [])
    other.take(*FIRE, at(10))
    assert other.book == {}


controls = st.sampled_from(
    [
        silence(0, 45),
        silence(35, 300, "t"),
        Expire("s"),
        Expire("t"),
        SOURCE,
        Inhibitor("source", SOURCE.labels, False),
        Tick(400_000),
        "ack",
        None,
    ]
)
signals = st.builds(at, st.integers(0, 300), st.sampled_from(["negative", "negative", "positive"]))


@settings(max_examples=150)
@given(st.lists(signals | controls, max_size=40), st.data())
def test_run_boundaries_change_nothing(placed: list[Any], data: st.DataObject) -> None:
    """Actions at the same offsets give the same events, however the log is cut into runs and whoever goes on from the store."""
    known = firing(INHIBIT)
    items = [known.ack() if item == "ack" else item for item in placed]
    whole = firing(INHIBIT)
    if items:
        whole.take(*items)
    cut = firing(INHIBIT)
    while items:
        size = data.draw(st.integers(1, len(items)))
        cut.take(*items[:size])
        items = items[size:]
        if data.draw(st.booleans()):
            cut = _restarted(cut)
    assert cut.stored == whole.stored
    assert cut.book == whole.book
    assert len({stored.event.id for stored in whole.stored}) == len(whole.stored), "ids are unique"


def _restarted(one: Partition) -> Partition:
    """Another worker, that goes on from what was stored."""
    other = Partition(INHIBIT)
    due = dict[str, int]()
    for effects in one.effects:
        due |= {key: at_ms for key, at_ms in effects.due.items() if at_ms is not None}
        due = {key: at_ms for key, at_ms in due.items() if effects.due.get(key, at_ms) is not None}
    suppressions = [effects.suppression for effects in one.effects if effects.suppression is not None]
    state = PartitionState(one.offset, one.memory.max_event_time_ms, due, suppressions[-1] if suppressions else None)
    other.memory.resume(state)
    other.offset, other.store, other.book = one.offset, one.store, one.book
    other.stored, other.effects = one.stored, one.effects
    return other


OPEN = RuleState("v", 60_000, Life("firing", 60_000), fired=fired())


@pytest.mark.parametrize(
    ("state", "alert_id"),
    [
        (OPEN, "another"),
        (msgspec.structs.replace(OPEN, fired=None), "a60000"),
        (msgspec.structs.replace(OPEN, life=Life("resolved", 60_000)), "a60000"),
    ],
)
def test_what_is_not_open_cannot_be_taken_upon_oneself(state: RuleState, alert_id: str) -> None:
    """Not another alert, not one that was never told, not one that has ended: the state stays as it is, and is told so."""
    said = Acknowledge(KEY, alert_id, "kim", "on it", 5)
    assert attention.acknowledge(state, said, 70_000) == (state, "not_open", None)


def test_what_was_said_is_remembered_with_the_alert() -> None:
    """The state's last event is the one that goes out, and the reason is in both."""
    said = Acknowledge(KEY, "a60000", "kim", "on it", 5)
    state, reason, told_event = attention.acknowledge(OPEN, said, 70_000)
    assert told_event is not None
    assert state.fired == told_event
    assert reason == told_event.reason == "acknowledged"
    assert (state.life.revision, told_event.id, told_event.at_ms) == (1, "a60000-acknowledged-1", 70_000)
