from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.notify.builders import ONE, alert, config
from worker.messages import Acknowledgement, AlertEvent
from worker.notify.book import Book
from worker.notify.groups import Contents, Ending, Result
from worker.notify.routing import GroupName

WAIT, INTERVAL, REPEAT = 30_000, 300_000, 14_400_000
ACKNOWLEDGED = Acknowledgement("kim", "on it", 1)


class Desk:
    """A book with a clock, and a receiver that does as it is told."""

    def __init__(self, text: str = ONE) -> None:
        self.config = config(text)
        self.book = Book(self.config)
        self.groups: dict[bytes, bytes] = {}
        self.members: dict[bytes, bytes] = {}
        self.now_ms = 0
        self.told: list[Contents] = []

    def take(self, *events: AlertEvent) -> None:
        """Have events come in."""
        self.book.take(events, self.now_ms)
        self.store()

    def store(self) -> None:
        """Put the book on record."""
        changes = self.book.changes()
        for stored, fields in ((self.groups, changes.groups), (self.members, changes.members)):
            for name, value in fields.items():
                if value is None:
                    del stored[name]
                else:
                    stored[name] = value
        self.book.settle()

    def restart(self, text: str | None = None) -> None:
        """Die, and begin again from what is on record."""
        self.book = Book(config(text) if text else self.config)
        self.book.restore(self.groups.values(), self.members.values(), self.now_ms)
        self.store()

    def begin(self) -> tuple[GroupName, Contents] | None:
        """Begin to tell of what is due."""
        due = self.book.due(self.now_ms)
        if not due:
            return None
        _, contents = self.book.begin(due[0])
        self.store()
        return due[0], contents

    def tell(self, result: Result = "sent") -> list[tuple[list[str], list[str]]]:
        """Tell of what is due now, once each; returns the keys that fire and that have ended."""
        found = []
        for name in self.book.due(self.now_ms):
            _, contents = self.book.begin(name)
            self.store()
            self.book.finish(name, Ending(contents.key, result), self.now_ms)
            self.store()
            self.told.append(contents)
            found.append(([e.alert_key[7:] for e in contents.firing], [e.alert_key[7:] for e in contents.ended]))
        return found

    def later(self, milliseconds: int, result: Result = "sent") -> list[tuple[list[str], list[str]]]:
        """Let time pass and tell."""
        self.now_ms += milliseconds
        return self.tell(result)


def test_a_group_waits_for_more() -> None:
    """Alerts that come within `group_wait` are one notification, and nothing comes twice."""
    desk = Desk()
    desk.take(alert("a"))
    assert desk.later(WAIT - 1) == []
    desk.take(alert("b"))
    assert desk.later(1) == [(["a", "b"], [])]
    assert desk.later(REPEAT - 1) == []


def test_more_in_a_group_waits_for_the_interval() -> None:
    """A new alert, and the end of another, come in one notification, `group_interval` after the last."""
    desk = Desk()
    desk.take(alert("a"))
    desk.later(WAIT)
    desk.take(alert("b"), alert("a", "resolved"))
    assert desk.later(INTERVAL - 1) == []
    assert desk.later(1) == [(["b"], ["a"])]
    desk.take(alert("b", "resolved"))
    assert desk.later(INTERVAL) == [([], ["b"])]
    assert len(desk.book) == 0
    assert desk.groups == desk.members == {}


def test_what_fires_is_repeated_unless_acknowledged() -> None:
    """After `repeat_interval`, under another key."""
    desk = Desk()
    desk.take(alert("a"))
    desk.later(WAIT)
    assert desk.later(REPEAT) == [(["a"], [])]
    assert desk.told[0].key != desk.told[1].key
    desk.take(alert("a", change="acknowledged", acknowledgement=ACKNOWLEDGED))
    assert desk.later(2 * REPEAT) == []
    desk.take(alert("a", "resolved", acknowledgement=ACKNOWLEDGED))
    assert desk.later(WAIT) == [([], ["a"])]


def test_an_alert_that_ends_untold_is_not_told() -> None:
    """Neither that it fired nor that it ended."""
    desk = Desk()
    desk.take(alert("a"), alert("a", "resolved"))
    assert desk.later(REPEAT) == []
    assert len(desk.book) == 0


def test_suppressed_is_quiet_until_it_is_not() -> None:
    """A silenced alert is told of once the silence is over; one told before is told again then."""
    desk = Desk()
    desk.take(alert("a", suppressed_by=("silence:1",), change="suppressed"))
    assert desk.later(REPEAT) == []
    desk.take(alert("a", change="unsuppressed"))
    assert desk.later(WAIT) == [(["a"], [])]
    desk.take(alert("a", suppressed_by=("silence:1",), change="suppressed"))
    assert desk.later(REPEAT) == []
    desk.take(alert("a", change="unsuppressed"))
    assert desk.later(WAIT) == [(["a"], [])]


def test_an_end_in_silence_is_told_to_who_knew() -> None:
    """Or an incident would stay open for ever; an end wakes nobody."""
    desk = Desk()
    desk.take(alert("a"))
    desk.later(WAIT)
    desk.take(alert("a", "resolved", suppressed_by=("silence:1",)))
    assert desk.later(INTERVAL) == [([], ["a"])]


def test_stale_still_fires() -> None:
    """No data never means resolved, and is no news either."""
    desk = Desk()
    desk.take(alert("a"))
    desk.later(WAIT)
    desk.take(alert("a", "stale"))
    assert desk.later(INTERVAL) == []
    assert desk.later(REPEAT) == [(["a"], [])]


def test_without_send_resolved_nobody_hears_of_the_end() -> None:
    """And the group is gone."""
    desk = Desk(ONE.replace("/hook'", "/hook', send_resolved: false"))
    desk.take(alert("a"))
    desk.later(WAIT)
    desk.take(alert("a", "resolved"))
    assert desk.later(REPEAT) == []
    assert len(desk.book) == 0


def test_a_refusal_is_given_up_until_the_repeat() -> None:
    """It is no news any more; nobody hears of an end of what they refused."""
    desk = Desk()
    desk.take(alert("a"))
    assert desk.later(WAIT, "refused") == [(["a"], [])]
    assert desk.later(REPEAT - 1) == []
    assert desk.later(1, "refused") == [(["a"], [])]
    desk.take(alert("a", "resolved"))
    assert desk.later(REPEAT) == []


def test_a_receiver_that_was_down_hears_what_is_so() -> None:
    """Once: what came and went meanwhile is not told."""
    desk = Desk()
    desk.take(alert("a"))
    for _ in range(5):
        desk.later(WAIT, "failed")
    desk.take(alert("a", "resolved"), alert("b"), alert("c"))
    assert desk.later(WAIT) == [(["b", "c"], [])]
    assert desk.later(INTERVAL) == []


def test_the_end_of_what_may_have_been_told_is_told() -> None:
    """A notification without an answer may have arrived."""
    desk = Desk()
    desk.take(alert("a"))
    desk.later(WAIT, "unknown")
    desk.take(alert("a", "resolved"))
    assert desk.later(WAIT) == [([], ["a"])]


def test_a_death_between_sending_and_record_repeats_the_key() -> None:
    """The same contents under the same key, from the record of before."""
    desk = Desk()
    desk.take(alert("a"), alert("b"))
    desk.now_ms += WAIT
    first = desk.begin()
    desk.restart()
    again = desk.begin()
    assert first is not None
    assert again is not None
    assert again[1].key == first[1].key
    assert again[1].firing == first[1].firing


def test_an_end_while_sending_is_told_after() -> None:
    """And a late answer to another notification changes nothing."""
    desk = Desk()
    desk.take(alert("a"))
    desk.now_ms += WAIT
    begun = desk.begin()
    assert begun is not None
    desk.take(alert("a", "resolved"))
    desk.book.finish(begun[0], Ending("another", "sent"), desk.now_ms)
    desk.book.finish(begun[0], Ending(begun[1].key, "sent"), desk.now_ms)
    assert desk.later(INTERVAL) == [([], ["a"])]


def test_who_fires_anew_while_the_end_is_told_is_news() -> None:
    """The receiver has just heard that it ended."""
    desk = Desk()
    desk.take(alert("a"))
    desk.later(WAIT)
    desk.take(alert("a", "resolved"))
    desk.now_ms += INTERVAL
    begun = desk.begin()
    assert begun is not None
    desk.take(alert("a", began=9))
    desk.book.finish(begun[0], Ending(begun[1].key, "sent"), desk.now_ms)
    assert desk.later(INTERVAL) == [(["a"], [])]


def test_other_routes_after_a_restart() -> None:
    """Open alerts go where they belong now; who was told of them is not told again."""
    desk = Desk()
    desk.take(alert("a"))
    desk.later(WAIT)
    more = ONE.replace("receivers: [", "receivers: [{name: new, webhook_configs: [{url: 'https://example.org/n'}]}, ")
    desk.restart(more.replace("receiver: team,", "receiver: team, routes: [{receiver: new, continue: true}],"))
    assert desk.later(WAIT) == [(["a"], [])]
    assert desk.later(INTERVAL) == []


def test_too_many_open_alerts_are_counted() -> None:
    """Memory is bounded, and nothing is dropped in silence."""
    book = Book(config(), max_alerts=1)
    book.take([alert("a")], 0)
    book.take([alert("b"), alert("a", "resolved")], 0)
    assert book.overflowed == 1


KEYS = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fire"), KEYS),
        st.tuples(st.just("resolve"), KEYS),
        st.tuples(st.just("silence"), KEYS),
        st.tuples(st.just("unsilence"), KEYS),
        st.tuples(st.just("tell"), st.sampled_from(["sent", "failed", "unknown", "refused", "crash before", "crash after"])),
        st.tuples(st.just("restart"), st.just("")),
        st.tuples(st.just("wait"), st.sampled_from([WAIT, INTERVAL])),
    ),
    max_size=60,
)


class Model:
    """What a receiver knows, from what arrived; and the alerts as they are."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.open: dict[str, int] = {}
        self.silenced: set[str] = set()
        self.knows: dict[str, str] = {}
        self.keys: set[str] = set()
        self.count = 0

    def step(self, what: str, which: str) -> None:
        """Do one thing."""
        if what == "wait":
            self.desk.now_ms += cast("int", which)
        elif what == "restart":
            self.desk.restart()
        elif what == "tell":
            self.tell(which)
        else:
            self.happen(what, which)

    def happen(self, what: str, key: str) -> None:
        """Have an alert change, if it can."""
        if what == "fire" and key not in self.open:
            self.count += 1
            self.open[key] = self.count
            self.desk.take(alert(key, began=self.count))
        elif what == "resolve" and key in self.open:
            self.silenced.discard(key)
            self.desk.take(alert(key, "resolved", began=self.open.pop(key)))
        elif what == "silence" and key in self.open and key not in self.silenced:
            self.silenced.add(key)
            self.desk.take(alert(key, began=self.open[key], change="suppressed", suppressed_by=("silence:1",)))
        elif what == "unsilence" and key in self.silenced:
            self.silenced.discard(key)
            self.desk.take(alert(key, began=self.open[key], change="unsuppressed"))

    def tell(self, how: str) -> None:
        """Tell of what is due, if anything."""
        begun = self.desk.begin()
        if begun is None:
            return
        name, contents = begun
        if how in {"sent", "unknown", "crash after"}:
            self.arrive(contents)
        if how.startswith("crash"):
            self.desk.restart()
            return
        self.desk.book.finish(name, Ending(contents.key, cast("Result", how)), self.desk.now_ms)
        self.desk.store()
        if how == "sent":
            assert contents.key not in self.keys, "told again after it was on record"
            self.keys.add(contents.key)

    def arrive(self, contents: Contents) -> None:
        """The receiver gets it."""
        for event in contents.firing:
            self.knows[event.alert_key[7:]] = "firing"
        for event in contents.ended:
            self.knows[event.alert_key[7:]] = "resolved"


@given(STEPS)
def test_whatever_fails_the_receiver_ends_up_knowing(steps: list[tuple[str, Any]]) -> None:
    """After any failures and deaths: every open alert was told of, and of none that ended does anybody think that it fires."""
    model = Model()
    for what, which in steps:
        model.step(what, which)
    for key in sorted(model.silenced):
        model.happen("unsilence", key)
    for _ in range(10):
        model.desk.now_ms += REPEAT
        model.tell("sent")
    for key in ("a", "b", "c"):
        assert model.knows.get(key, "resolved") == ("firing" if key in model.open else "resolved")


@given(st.lists(st.tuples(st.sampled_from(["fire", "resolve", "wait", "tell", "fail", "restart"]), KEYS), max_size=60))
def test_no_end_without_a_beginning(steps: list[tuple[str, str]]) -> None:
    """As long as every answer comes: an end is told only to who was told of the firing, and the same is not told twice."""
    model = Model()
    for what, which in steps:
        if what in {"tell", "fail"}:
            before = dict(model.knows)
            begun = model.desk.begin()
            if begun is None:
                continue
            result: Result = "sent" if what == "tell" else "failed"
            model.desk.book.finish(begun[0], Ending(begun[1].key, result), model.desk.now_ms)
            model.desk.store()
            if what == "tell":
                model.arrive(begun[1])
                assert all(before.get(event.alert_key[7:]) == "firing" for event in begun[1].ended)
                assert begun[1].key not in model.keys
                model.keys.add(begun[1].key)
        elif what == "wait":
            model.step("wait", cast("str", INTERVAL))
        else:
            model.step(what, which)
