import threading
from collections.abc import Callable

import msgspec
import pytest

from tests.unit.worker.notify.builders import ONE, alert, config
from worker.codec import alert_record
from worker.errors import FencedError, RetryableError
from worker.messages import AlertEvent, OutRecord, TopicPartition
from worker.notify.delivery import Delivery
from worker.notify.ports import Notification, Outcome
from worker.notify.role import NotifyOptions, NotifyPorts, NotifyRole, Term
from worker.ports import StoredEvent
from worker.testing.broker import InMemoryAtLeastOnceSink, InMemoryBroker, InMemoryHistory, InMemorySource
from worker.testing.notify import FAILED, REFUSED, SENT, UNKNOWN, InMemoryNotifyStore, Receivers

TOPIC, GROUP = "sentiment.alerts", "tidings-notify"
WAIT_S, INTERVAL_S = 30.0, 300.0


class Bench:
    """A broker, a store, receivers and one clock; sending happens at once."""

    def __init__(self, partitions: int = 2, text: str = ONE) -> None:
        self.broker = InMemoryBroker({TOPIC: partitions})
        self.now_s = 1_000_000.0
        self.store = InMemoryNotifyStore(lambda: self.now_s)
        self.receivers = Receivers()
        self.config = config(text)
        self.start: Callable[[Callable[[], None]], None] = lambda work: work()

    def event(self, event: AlertEvent) -> None:
        """Have an event come in."""
        self.broker.produce(alert_record(TOPIC, TopicPartition("sentiment.signals", 0), StoredEvent(0, 0, event)))

    def delivery(self) -> Delivery:
        """A delivery on this clock, pauses as long as they can be."""
        return Delivery(self.receivers, start=self.start, monotonic=lambda: self.now_s, jitter=lambda: 1.0)

    @property
    def options(self) -> NotifyOptions:
        """Options on this clock."""
        return NotifyOptions(
            wall_clock=lambda: self.now_s, monotonic=lambda: self.now_s, poll_timeout_s=0, standby_s=0, read_back=3
        )

    @property
    def ports(self) -> NotifyPorts:
        """The neighbours."""
        sink, history = InMemoryAtLeastOnceSink(self.broker), InMemoryHistory(self.broker)
        return NotifyPorts(lambda: InMemorySource(self.broker, GROUP), sink, self.store, history)

    def term(self, member: str = "me") -> Term:
        """Become the active notifier, and read what there is; whoever was it before is dead, and its session over."""
        if GROUP in self.broker.groups:
            self.broker.groups[GROUP].members.clear()
        assert self.store.acquire(member, self.options.lease_s)
        term = Term(self.ports, self.config, self.delivery(), self.options, member)
        term.begin(self.ports.open_source())
        self.work(term)
        return term

    def work(self, term: Term, seconds: float = 0.0, steps: int = 3) -> None:
        """Let the time pass in parts shorter than the lease, and work."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s = min(until_s, self.now_s + 4)
            term.step(0)
        for _ in range(steps):
            term.step(0)


@pytest.fixture
def bench() -> Bench:
    """Two partitions."""
    return Bench()


def test_events_of_all_partitions_become_one_notification(bench: Bench) -> None:
    """Groups span partitions; the offsets go to the store and to the group."""
    for name in ("a", "b", "c", "d"):
        bench.event(alert(name))
    term = bench.term()
    bench.work(term, WAIT_S)
    assert bench.receivers.alerts() == [[("bad-press", "firing")] * 4]
    ends = {partition: len(log) for partition, log in bench.broker.logs.items() if log}
    assert {p: o for p, o in bench.store.load().offsets.items() if o} == ends
    assert {p: o for p, o in bench.broker.committed(GROUP).items() if o} == ends


def test_nothing_is_sent_before_all_that_happened_is_known(bench: Bench) -> None:
    """A notifier that was away for long tells what is so now, not what was."""
    bench.event(alert("a"))
    first = bench.term()
    bench.work(first)
    bench.now_s += 10_000
    for number in range(20):
        bench.event(alert("a", "resolved", began=number - 1 if number else 0))
        bench.event(alert("a", began=number))
    bench.event(alert("a", "resolved", began=19))
    bench.event(alert("b"))
    bench.work(bench.term("next"), WAIT_S)
    assert bench.receivers.alerts() == [[("bad-press", "firing")]]


def test_a_lost_store_is_made_good_without_a_storm(bench: Bench) -> None:
    """What the group had read counts as told; ends are told all the same, and what came later is news."""
    for name in ("a", "b"):
        bench.event(alert(name))
    bench.work(bench.term(), WAIT_S)
    bench.store.lose()
    bench.event(alert("c"))
    bench.event(alert("a", "resolved"))
    bench.receivers.arrived.clear()
    bench.work(bench.term("next"), INTERVAL_S)
    (told,) = [msgspec.json.decode(sent.body)["alerts"] for sent in bench.receivers.arrived]
    by_key = {alert["labels"]["entity"]: alert["status"] for alert in told}
    assert by_key["a"] == "resolved"
    assert by_key["c"] == "firing"


def test_a_store_that_lost_the_lease_stops_the_notifier(bench: Bench) -> None:
    """It begins anew from what there is."""
    term = bench.term()
    bench.work(term)
    bench.store.lose()
    bench.now_s += 6
    with pytest.raises(FencedError):
        term.step(0)


def test_a_store_that_fell_back_stops_the_notifier(bench: Bench) -> None:
    """A replica that lagged knows less than we left there."""
    bench.event(alert("a"))
    term = bench.term()
    bench.work(term)
    bench.store.lose()
    assert bench.store.acquire("me", 15)
    bench.now_s += 6
    with pytest.raises(FencedError, match="was left at"):
        term.step(0)


def test_who_lost_the_lease_sends_nothing(bench: Bench) -> None:
    """That a notification is about to be sent is on record first, and the record needs the lease."""
    bench.event(alert("a"))
    term = bench.term()
    bench.work(term)
    bench.now_s += WAIT_S
    assert bench.store.acquire("other", 15)
    with pytest.raises(FencedError):
        bench.work(term)
    assert bench.receivers.tried == []


def test_a_store_that_is_away_is_waited_for_as_long_as_the_lease_lasts(bench: Bench) -> None:
    """Nothing is sent meanwhile, and nothing lost."""
    term = bench.term()
    bench.work(term)
    bench.event(alert("a"))
    bench.store.fail_next = ["away"] * 3
    bench.work(term, steps=2)
    bench.work(term, WAIT_S)
    assert len(bench.receivers.arrived) == 1
    bench.event(alert("b"))
    bench.store.fail_next = ["away"] * 99
    bench.now_s += 16
    with pytest.raises(RetryableError):
        bench.work(term)


def test_the_record_fails_before_sending(bench: Bench) -> None:
    """Then it is not sent, and is tried again."""
    bench.event(alert("a"))
    term = bench.term()
    bench.work(term)
    bench.work(term, WAIT_S - 1, steps=0)
    bench.now_s += 1
    bench.store.fail_next = ["away"]
    bench.work(term)
    assert len(bench.receivers.arrived) == 1


@pytest.mark.parametrize("outcome", [FAILED, UNKNOWN])
def test_a_receiver_that_recovers_gets_one_notification(bench: Bench, outcome: Outcome) -> None:
    """However many events came while it was down; tries grow rarer."""
    bench.receivers.outcome = lambda _: outcome
    bench.event(alert("a"))
    term = bench.term()
    bench.work(term, 3_600)
    assert 5 < len(bench.receivers.tried) < 30
    for name in "bcdefgh":
        bench.event(alert(name))
        bench.event(alert(name, "resolved"))
    bench.event(alert("z"))
    bench.receivers.outcome = lambda _: SENT
    bench.receivers.arrived.clear()
    bench.work(term, 600)
    assert bench.receivers.alerts() == [[("bad-press", "firing")] * 2]


def test_one_that_fails_does_not_hold_up_others() -> None:
    """Nor does one that refuses: it is recorded, counted, and given up."""
    two = ONE.replace("receivers: [", "receivers: [{name: bad, webhook_configs: [{url: 'https://example.org/b'}]}, ")
    bench = Bench(text=two.replace("receiver: team,", "receiver: team, routes: [{receiver: bad, continue: true}, {}],"))
    down = {"bad/webhook/0": FAILED}
    bench.receivers.outcome = lambda sent: down.get(sent.group.target, SENT)
    bench.event(alert("a"))
    term = bench.term()
    bench.work(term, WAIT_S)
    assert len(bench.receivers.alerts("team")) == 1
    assert term.book.waiting() == {"bad/webhook/0": 1, "team/webhook/0": 0}
    down["bad/webhook/0"] = REFUSED
    bench.work(term, 600)
    tried = len(bench.receivers.tried)
    bench.work(term, 600)
    assert len(bench.receivers.tried) == tried
    assert term.counts.refused == 1


def test_a_death_between_sending_and_record_repeats_the_key(bench: Bench) -> None:
    """The receiver can tell; the next notifier sends the very same again."""
    bench.event(alert("a"))
    lost: list[Callable[[], None]] = []
    bench.start = lost.append
    bench.work(bench.term(), WAIT_S)
    (send,) = lost
    send()
    bench.start = lambda work: work()
    bench.now_s += 20
    bench.work(bench.term("next"), 10)
    first, again = bench.receivers.arrived
    assert (first.key, first.body) == (again.key, again.body)
    bench.work(bench.term("next"), 600)
    assert len(bench.receivers.arrived) == 2


def test_what_cannot_be_read_is_passed_over(bench: Bench) -> None:
    """And counted."""
    bench.broker.produce(OutRecord(TOPIC, b"entity:a", b"no JSON"))
    bench.event(alert("a"))
    term = bench.term()
    bench.work(term, WAIT_S)
    assert (term.counts.undecodable, len(bench.receivers.arrived)) == (1, 1)


def test_one_works_and_the_other_stands_by(bench: Bench) -> None:
    """Outside the group, and told to stop it goes; the lease of the first is free when it leaves."""
    bench.term("first")
    stop, asked = threading.Event(), 0

    def sleep_s() -> float:
        nonlocal asked
        asked += 1
        if asked > 3:
            stop.set()
        return bench.now_s

    bench.store._clock = sleep_s
    role = NotifyRole(bench.ports, bench.config, bench.delivery(), bench.options)
    role.run(stop)
    assert role.counts.terms == 0
    assert len(bench.broker.groups[GROUP].members) == 1


def test_leaving_finishes_what_is_on_its_way(bench: Bench) -> None:
    """What came back is on record, the lease is given back, the group left."""
    bench.event(alert("a"))
    bench.config = config(ONE.replace("group_wait: 30s", "group_wait: 0s"))
    stop = threading.Event()
    role = NotifyRole(bench.ports, bench.config, bench.delivery(), bench.options)

    def sent(_: Notification) -> Outcome:
        stop.set()
        return SENT

    bench.receivers.outcome = sent
    role.run(stop)
    assert (role.in_hand, role.counts.sent) == (0, 1)
    assert bench.store.acquire("next", 15)
    assert bench.broker.groups[GROUP].members == []
    bench.work(bench.term("next"), 600)
    assert len(bench.receivers.arrived) == 1
