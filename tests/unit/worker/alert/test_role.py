import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worker.alert.builders import RULE, rules, signal
from worker.alert.loading import AlertOptions, AlertPorts
from worker.alert.relay import Relay
from worker.alert.role import AlertRole
from worker.codec import decode_alert_event, encode_signal
from worker.errors import FatalError, RetryableError
from worker.messages import AlertEvent, Label, OutRecord, Record, Signal, TopicPartition
from worker.ports import AlertCommit, StoredEvent
from worker.testing.alert_store import InMemoryAlertStore
from worker.testing.broker import InMemoryBroker, InMemoryHistory, InMemorySink, InMemorySource

TOPIC, GROUP = "sentiment.signals", "tidings-alert"
P0 = TopicPartition(TOPIC, 0)
START_MS = 1_700_000_000_000


class UnsteadyStore(InMemoryAlertStore):
    """A store whose next calls fail: "before" it did anything, or "after", when only the reply is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: list[str] = []
        self.calls = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def states(self, partition: TopicPartition, keys: Sequence[str]) -> dict[str, bytes]:
        """Fail as told, or answer."""
        self._fail("before")
        return super().states(partition, keys)

    def commit(self, commit: AlertCommit) -> None:
        """Fail as told, or commit, or both."""
        self.calls += 1
        self._fail("before")
        super().commit(commit)
        self._fail("after")

    def _fail(self, when: str) -> None:
        if self.trouble and self.trouble[0] == when:
            self.trouble.pop(0)
            self.meanwhile()
            raise RetryableError(f"the connection broke {when} the commit")


class Bench:
    """A broker, a store, and as many roles as asked for."""

    def __init__(self, partitions: int = 1, text: str = RULE) -> None:
        self.broker = InMemoryBroker({TOPIC: partitions, "sentiment.alerts": 1})
        self.store = UnsteadyStore()
        self.history = InMemoryHistory(self.broker)
        self.text = text
        self.newest_ms = START_MS
        self.replica: dict[TopicPartition, bytes] = {}

    def source(self) -> InMemorySource:
        """A consumer of the alert group."""
        return InMemorySource(self.broker, GROUP)

    def role(self, source: InMemorySource | None = None, sink: InMemorySink | None = None, **options: Any) -> AlertRole:
        """A new worker."""
        given: dict[str, Any] = {"allowed_lateness_ms": 0, "wall_clock": self.now_s, **options}
        relay = Relay(sink or InMemorySink(self.broker), self.store, jitter=lambda: 0.0)
        ports = AlertPorts(source or self.source(), self.store, self.history)
        return AlertRole(ports, relay, rules(self.text), AlertOptions(**given))

    def now_s(self) -> float:
        """The wall clock: a second past the newest signal."""
        return self.newest_ms / 1_000 + 1

    def send(self, *signals: Signal, arrived_ms: int | None = None) -> None:
        """Produce signals under their keys, with their event times as Kafka's unless all of them arrived at one time."""
        for item in signals:
            self.newest_ms = max(self.newest_ms, item.event_time_ms)
            timestamp_ms = item.event_time_ms if arrived_ms is None else arrived_ms
            self.broker.produce(OutRecord(TOPIC, item.alert_key.encode(), encode_signal(item), (), timestamp_ms))

    def relayed(self) -> list[AlertEvent]:
        """What is on `sentiment.alerts`."""
        return [decode_alert_event(record.value or b"") for record in self.broker.records("sentiment.alerts")]

    def lose_group(self) -> None:
        """Lose the group's committed offsets: they were deleted, or expired while there was no worker."""
        if GROUP in self.broker.groups:
            self.broker.groups[GROUP].committed.clear()

    def states(self) -> list[tuple[str, str]]:
        """Key and state of the events on `sentiment.alerts`."""
        return [(event.alert_key, event.state) for event in self.relayed()]


def at(second: float, label: Label = "negative", **fields: Any) -> Signal:
    """A signal so many seconds after the start."""
    return signal(START_MS / 1_000 + second, label, **fields)


BAD = [at(second) for second in (1, 2, 3, 4)]
FIRING = [*BAD, at(10)]
RECOVERY = [at(second, "positive") for second in range(11, 32)]


def test_an_alert_fires_and_resolves_from_end_to_end() -> None:
    """Signals in, one firing and one resolved event out, the position at the end of the partition."""
    bench, hour = Bench(), [at(3_600 + second, "positive") for second in range(3)]
    bench.send(*FIRING, *RECOVERY, *hour)
    role = bench.role()
    role.run_until_idle()
    assert bench.states() == [("entity:acme", "firing"), ("entity:acme", "resolved")]
    assert bench.broker.committed(GROUP) == {P0: 29}
    assert (role.counts.signals, role.counts.fired, role.counts.resolved, role.counts.relayed) == (29, 1, 1, 2)


def test_the_store_and_kafka_tell_the_same() -> None:
    """The stream in the store is the truth, and `sentiment.alerts` its copy."""
    bench = Bench()
    bench.send(*FIRING)
    bench.role().run_until_idle()
    assert [stored.event for stored in bench.store.events(P0, 0, 10).events] == bench.relayed()


def test_undecodable_signals_are_counted_and_passed_over() -> None:
    """Bytes that are no signal neither stop the role nor hide those behind them."""
    bench = Bench()
    bench.send(*BAD)
    for value in (b"", None, b"{}", b"\xff", b'{"alert_key": 5}'):
        bench.broker.send(TOPIC, value, key=b"entity:acme")
    bench.send(at(10))
    role = bench.role()
    role.run_until_idle()
    assert (role.counts.undecodable, bench.states()) == (5, [("entity:acme", "firing")])


def test_late_signals_are_counted() -> None:
    """They are seen in the figures, not dropped in silence."""
    bench = Bench()
    bench.send(at(100), at(1), at(2))
    role = bench.role()
    role.run_until_idle()
    assert (role.counts.late, role.counts.late_s) == (2, 99 + 98)


def test_a_new_worker_goes_on_where_the_old_one_died() -> None:
    """State, watermark and timers come from the store: what began under one worker fires under the next."""
    bench = Bench()
    bench.send(*BAD)
    bench.role().run_until_idle()
    bench.send(at(10))
    survivor = bench.role()
    bench.broker.groups[GROUP].members.pop(0)
    survivor.run_until_idle()
    assert bench.states() == [("entity:acme", "firing")]
    assert survivor.counts.signals == 1


def test_a_new_worker_keeps_timers_and_watermark() -> None:
    """A key falls due by another's signal although its own are long read, and what was late before is late after."""
    bench = Bench()
    bench.send(*BAD, at(9, alert_key="topic:x"))
    bench.role().run_until_idle()
    bench.broker.groups[GROUP].members.clear()
    bench.send(at(-5, alert_key="topic:x"), at(10, alert_key="topic:x"))
    survivor = bench.role()
    survivor.run_until_idle()
    assert (bench.states(), survivor.counts.late) == ([("entity:acme", "firing")], 1)


def test_lost_reply_is_tried_again_and_not_doubled() -> None:
    """The store did it but could not say so."""
    bench = Bench()
    bench.send(*FIRING)
    bench.store.trouble = ["after", "after"]
    role = bench.role()
    role.run_until_idle()
    assert (bench.states(), role.counts.store_retries, role.counts.fenced) == ([("entity:acme", "firing")], 2, 0)


def test_an_outage_of_the_store_pauses_and_passes() -> None:
    """While the store is away the partitions are paused and polling goes on; afterwards they are read on."""
    bench = Bench()
    bench.send(*FIRING)
    source, paused = bench.source(), list[bool]()
    bench.store.trouble = ["before"] * 6
    bench.store.meanwhile = lambda: paused.append(P0 in source.paused)
    bench.role(source).run_until_idle()
    assert paused == [False, True, True, True, True, True]
    assert source.paused == frozenset()
    assert bench.states() == [("entity:acme", "firing")]


class LosingSource(InMemorySource):
    """A source whose polls fail as told, after they have moved past records, as librdkafka's may."""

    failures = 0

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Fail as told, or poll."""
        records = super().poll(max_records, timeout_s)
        if self.failures and records:
            self.failures -= 1
            raise RetryableError("the broker went away")
        return records


@pytest.mark.parametrize("store_trouble", [0, 3])
def test_a_poll_that_fails_passes_over_nothing(store_trouble: int) -> None:
    """What it had fetched is read again from where the store stands, also when it failed while the store was waited for."""
    bench = Bench(partitions=2)
    source = LosingSource(bench.broker, GROUP)
    role = bench.role(source, max_records=3)
    signals = [at(second, alert_key=key) for second in (1, 2, 3, 4, 10) for key in KEYS]
    bench.send(*signals)
    role.step(0, 0)
    source.failures, bench.store.trouble = 2, ["before"] * store_trouble
    for _ in range(source.failures + 1):
        role.run_until_idle()
    assert source.failures == 0
    assert role.counts.signals == len(signals)
    assert sorted(bench.states()) == [(key, "firing") for key in sorted(KEYS)]


def test_a_stop_ends_the_waiting_for_the_store() -> None:
    """The store is waited for as long as it takes, but not past a stop; nothing is lost, the next worker does the work."""
    bench, stop = Bench(), threading.Event()
    bench.send(*FIRING)
    bench.store.trouble = ["before"] * 100
    failures: list[None] = []

    def fail() -> None:
        failures.append(None)
        if len(failures) == 60:
            stop.set()

    bench.store.meanwhile = fail
    role = bench.role(poll_timeout_s=0.0)
    role.run(stop)
    assert (len(failures), role.counts.store_retries, role.counts.signals) == (60, 59, 0)
    bench.store.trouble.clear()
    bench.broker.groups[GROUP].members.clear()
    bench.role().run_until_idle()
    assert bench.states() == [("entity:acme", "firing")]


def test_a_partition_that_goes_during_an_outage_is_let_go() -> None:
    """The new owner does the work; the old one gives up its commit at once."""
    bench = Bench()
    bench.send(*FIRING)
    source = bench.source()
    bench.store.trouble = ["before", "before"]
    bench.store.meanwhile = lambda: source.expect(set(), lost=False)
    first = bench.role(source)
    first.run_until_idle()
    assert (bench.store.load(P0), first.counts.fenced) == (None, 1)
    bench.store.trouble.clear()
    bench.broker.groups[GROUP].members.clear()
    bench.role().run_until_idle()
    assert bench.states() == [("entity:acme", "firing")]


@pytest.mark.parametrize("holdings", [["01", "0", "01"], ["0", "01"], ["", "01"], ["1", "01"], ["01", "", "", "01"]])
def test_partitions_that_come_and_go_during_an_outage_are_read_once(holdings: list[str]) -> None:
    """What was fetched under an assignment that ended is dropped, and read again under the next: no signal counts twice."""
    bench = Bench(partitions=2)
    mine = bench.source()
    signals = [at(second, alert_key=key) for second in (1, 2, 3, 4, 10) for key in KEYS]
    bench.send(*signals)
    upcoming = [{TopicPartition(TOPIC, int(number)) for number in numbers} for numbers in holdings]

    def reassign() -> None:
        if upcoming:
            mine.expect(upcoming.pop(0), lost=False)

    bench.store.trouble = ["before"] * (len(holdings) + 1)
    bench.store.meanwhile = reassign
    role = bench.role(mine)
    for _ in range(len(holdings) + 1):
        role.run_until_idle()
        reassign()
    assert sorted(bench.states()) == [(key, "firing") for key in sorted(KEYS)]
    assert role.counts.signals == len(signals)
    assert {event.evidence.messages for event in bench.relayed()} == {4}


def test_a_fenced_worker_reloads_and_goes_on() -> None:
    """Somebody else committed: what is in hand is thrown away, and reading goes on from where the store stands."""
    bench = Bench()
    role = bench.role()
    bench.send(*BAD)
    role.run_until_idle()
    zombie = bench.store.load(P0)
    assert zombie is not None
    other = AlertCommit(
        partition=P0, expected_offset=4, next_offset=5, max_event_time_ms=zombie.max_event_time_ms, states={}, due={}, events=()
    )
    bench.send(at(5), at(10))
    bench.store.commit(other)
    role.run_until_idle()
    assert role.counts.fenced == 1
    (fired,) = bench.relayed()
    assert fired.evidence.messages == 4  # the other worker's commit left its signal uncounted, and it is not counted again
    assert role.counts.signals == 5


def test_lost_store_is_rebuilt_without_saying_it_again() -> None:
    """Redis comes back empty: windows and stream are as they were, nothing is sent again, the alert resolves."""
    bench = Bench()
    role = bench.role()
    bench.send(*FIRING)
    role.run_until_idle()
    bench.store.forget(P0)
    bench.send(*RECOVERY)
    role.run_until_idle()
    fired, resolved = bench.relayed()
    assert (fired.state, resolved.state, resolved.alert_id) == ("firing", "resolved", fired.alert_id)
    assert [stored.event for stored in bench.store.events(P0, 0, 10).events] == [fired, resolved]
    assert (role.counts.fired, role.counts.resolved, role.counts.rebuilt) == (1, 1, 1)


def test_an_alert_older_than_the_replay_keeps_its_id() -> None:
    """It has been firing for an hour when Redis is lost: the record says so, and it resolves as what it is."""
    bench = Bench()
    role = bench.role()
    bench.send(*FIRING, *[at(second) for second in range(11, 3_600, 2)])
    role.run_until_idle()
    bench.store.forget(P0)
    bench.send(*[at(3_600 + second, "positive") for second in range(60)])
    role.run_until_idle()
    fired, resolved = bench.relayed()
    assert (fired.state, resolved.state, resolved.alert_id) == ("firing", "resolved", fired.alert_id)
    assert role.counts.signals < 5 + 1_795 + 60 + 200, "the replay was short"


@pytest.mark.parametrize(("restored_events", "states"), [(10, ["firing", "resolved"]), (1, ["resolved"])])
def test_the_stream_is_restored_as_far_as_it_is_kept(restored_events: int, states: list[str]) -> None:
    """Events from long before the replay are put back too, but no more of them than the store would keep."""
    bench = Bench()
    role = bench.role(restored_events=restored_events)
    bench.send(*FIRING, *RECOVERY, *[at(second, "positive") for second in range(40, 3_600, 2)])
    role.run_until_idle()
    bench.store.forget(P0)
    bench.send(at(3_601, "positive"))
    role.run_until_idle()
    assert [stored.event.state for stored in bench.store.events(P0, 0, 10).events] == states
    assert bench.states() == [("entity:acme", "firing"), ("entity:acme", "resolved")]


def test_an_event_that_only_the_lost_primary_had_is_relayed() -> None:
    """Failover to a replica that lacks what was acknowledged, before the relay came: it is decided again and sent, once."""
    bench = Bench()
    role = bench.role(check_store_s=1e9, idle_after_s=1e12)  # its steps are told of two clocks
    bench.send(*BAD)
    role.run_until_idle()
    lagging = bench.store.snapshot()
    bench.send(at(10))
    pump, role._relay.pump = role._relay.pump, lambda *_: 0  # type: ignore[method-assign]
    role.step(0, 0)
    bench.store.fall_back(lagging)
    role._relay.pump = pump  # type: ignore[method-assign]
    role.run_until_idle()
    assert bench.relayed() == [], "the store does not hold it, so it may not be passed over"
    bench.send(at(11))
    role.run_until_idle()
    assert bench.states() == [("entity:acme", "firing")]
    assert [stored.event for stored in bench.store.events(P0, 0, 10).events] == bench.relayed()


def test_a_store_that_fell_back_is_noticed_without_a_signal() -> None:
    """Subscribers of the stream do not have to wait for the next signal of the partition."""
    bench = Bench()
    role = bench.role()
    bench.send(*BAD)
    role.run_until_idle()
    lagging = bench.store.snapshot()
    bench.send(at(10))
    role.run_until_idle()
    bench.store.fall_back(lagging)
    role.step(0, time.monotonic() + 10)
    role.run_until_idle()
    assert [stored.event for stored in bench.store.events(P0, 0, 10).events] == bench.relayed()
    assert bench.states() == [("entity:acme", "firing")]


def bereft(*lost: str, **options: Any) -> tuple[Bench, AlertRole]:
    """A bench on which an alert has fired and resolved, whose worker has gone and which has lost this; and its new worker."""
    bench = Bench()
    bench.send(*FIRING, *RECOVERY)
    before = bench.role()
    before.step(0, 0)
    lagging = bench.store.snapshot()
    bench.send(*[at(second, "positive") for second in range(40, 60)])
    before.run_until_idle()
    assert bench.states() == [("entity:acme", "firing"), ("entity:acme", "resolved")]
    bench.broker.groups[GROUP].members.clear()
    if "group" in lost:
        bench.lose_group()
    if "store" in lost:
        bench.store.forget(P0)
    if "primary" in lost:
        bench.store.fall_back(lagging)
    return bench, bench.role(**options)


@pytest.mark.parametrize("lost", [("group",), ("group", "store"), ("group", "primary")])
def test_a_lost_position_is_taken_from_the_record(lost: tuple[str, ...]) -> None:
    """The group's offsets are gone, Redis too perhaps: what is on `sentiment.alerts` is not sent again, what comes next is."""
    bench, role = bereft(*lost)
    role.run_until_idle()
    assert bench.states() == [("entity:acme", "firing"), ("entity:acme", "resolved")]
    bench.send(*[at(second) for second in range(100, 105)], at(120))
    role.run_until_idle()
    assert bench.states() == [("entity:acme", "firing"), ("entity:acme", "resolved"), ("entity:acme", "firing")]
    assert [stored.event for stored in bench.store.events(P0, 0, 10).events] == bench.relayed()
    assert (role.counts.relayed, role.counts.rebuilt) == (1, len(lost) - 1)


def test_with_the_position_what_was_not_relayed_yet_is_not_lost() -> None:
    """An event that only Redis has is sent, although the one before it is on record."""
    bench = Bench()
    bench.send(*FIRING)
    sink = InMemorySink(bench.broker)
    role = bench.role(sink=sink)
    role.run_until_idle()
    bench.send(*RECOVERY, at(100, "positive"))
    sink.fail_next = "abort"
    role.step(0, time.monotonic())
    assert bench.states() == [("entity:acme", "firing")]
    bench.broker.groups[GROUP].members.clear()
    bench.lose_group()
    bench.role().run_until_idle()
    assert bench.states() == [("entity:acme", "firing"), ("entity:acme", "resolved")]


def test_without_transactions_a_lost_position_is_the_beginning() -> None:
    """An event on record does not say that those before it are: rather twice than not at all."""
    bench, role = bereft("group", relays_at_once=False)
    role.run_until_idle()
    assert bench.states() == [("entity:acme", "firing"), ("entity:acme", "resolved")] * 2


def test_the_record_is_not_read_where_there_was_no_signal() -> None:
    """A pass over all of `sentiment.alerts` for each partition that nothing came to would make every rebalance long."""
    bench, asked = Bench(partitions=2), list[Sequence[TopicPartition]]()

    class Asked(InMemoryHistory):
        def alert_events(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, list[StoredEvent]]:
            asked.append(partitions)
            return super().alert_events(partitions)

    bench.history = Asked(bench.broker)
    bench.role().run_until_idle()
    assert asked == []
    bench.send(*FIRING)
    bench.broker.rebalance(GROUP)
    bench.broker.groups[GROUP].members.clear()
    bench.role().run_until_idle()
    assert [len(them) for them in asked] == [1]
    bench.broker.groups[GROUP].members.clear()
    bench.role().run_until_idle()
    assert [len(them) for them in asked] == [1], "now there is a position"


_MADE_ANEW = (
    r"^sentiment\.signals-0 ends at 4, but its alerts on record go up to offset \d+: it was deleted and made anew, or has lost"
    r" its end; make the alerts' topic anew too \(or name another one, kafka\.topics\.alerts\), and remove the alert state from"
    r" Redis$"
)


def test_a_record_of_another_topic_is_not_taken_for_the_position() -> None:
    """Signals were deleted and made anew, and the alerts were not: whoever did that has to say what is to become of them."""
    bench, _ = bereft()
    anew = Bench()
    anew.broker.logs[TopicPartition("sentiment.alerts", 0)] = bench.broker.logs[TopicPartition("sentiment.alerts", 0)]
    anew.send(*BAD)
    with pytest.raises(FatalError, match=_MADE_ANEW):
        anew.role().step(0, 0)


def test_signals_that_expired_are_passed_over() -> None:
    """Retention overtook a worker that was away: it goes on with what there is, and the state that it had."""
    bench = Bench()
    bench.send(*BAD)
    bench.role().run_until_idle()
    bench.broker.groups[GROUP].members.clear()
    bench.send(at(5), at(6), at(10))
    bench.broker.expire(P0, 6)
    source = bench.source()
    role = bench.role(source)
    role.run_until_idle()
    assert (source.expired, role.counts.signals, bench.states()) == (2, 1, [("entity:acme", "firing")])


def test_a_topic_made_anew_is_not_skipped_in_silence() -> None:
    """Offsets below the stored one mean another topic of the same name: stop, and say what to do."""
    bench = Bench()
    bench.send(*FIRING)
    bench.role().run_until_idle()
    anew = Bench()
    anew.store = bench.store
    anew.send(*BAD)
    role = anew.role()
    role.step(0, 0)
    role._source.seek({P0: 0})
    says = (
        r"^sentiment\.signals-0 gave offset 0, but alerts are stored up to 5: was the topic deleted and made anew\? Then remove"
        r" its alert state from Redis, or choose another redis\.prefix$"
    )
    with pytest.raises(FatalError, match=says):
        role.step(0, 0)


def test_partitions_wait_for_a_store_that_is_away() -> None:
    """A rebalance does not wait for the store: the partitions are held, paused, until it answers."""

    class Away(UnsteadyStore):
        def load(self, partition: TopicPartition) -> Any:
            if self.trouble:
                self._fail("before")
            return super().load(partition)

    bench = Bench()
    bench.store = Away()
    bench.send(*FIRING)
    bench.store.trouble = ["before"] * 20
    source = bench.source()
    role = bench.role(source, store_pause_s=0.0)
    role.step(0, 0.0)
    assert [role.waiting, source.paused, role.counts.signals] == [{P0}, {P0}, 0]
    role.run_until_idle()
    assert (role.waiting, source.paused) == (frozenset(), frozenset())
    assert (bench.states(), role.counts.signals) == ([("entity:acme", "firing")], 5)


def test_run_ends_when_told() -> None:
    """The flag is looked at between cycles."""
    bench, stop = Bench(), threading.Event()
    bench.send(*FIRING)
    role = bench.role(poll_timeout_s=0.0)
    worker = threading.Thread(target=role.run, args=(stop,))
    worker.start()
    while role.counts.relayed < 1 and worker.is_alive():
        pass
    stop.set()
    worker.join(10)
    assert not worker.is_alive()


FAULTS_OF_STORE = ("before", "after", "forget", "snapshot", "fall_back")
ACTIONS = ("first", "second", "rebalance", "lose", "crash", "abort", "lose_group", *FAULTS_OF_STORE)
KEYS = ("entity:acme", "entity:globex", "topic:outage")


def story(seed: int) -> list[Signal]:
    """Four minutes of three keys that turn bad and recover at other times, in an order a little off."""
    chance = random.Random(seed)
    signals = []
    for number in range(240):
        key = chance.choice(KEYS)
        gloomy = (number // 60 + KEYS.index(key)) % 2
        label: Label = "negative" if chance.random() < (0.9 if gloomy else 0.1) else "positive"
        signals.append(at(number - chance.randint(0, 3), label, alert_key=key, message_id=str(number)))
    return signals


@cache
def undisturbed(seed: int) -> list[str]:
    """The ids that one worker, left in peace, relays."""
    bench = Bench(partitions=2)
    bench.send(*story(seed))
    bench.role(allowed_lateness_ms=3_000).run_until_idle()
    return sorted(event.id for event in bench.relayed())


def disturb(bench: Bench, action: str, chance: random.Random, sinks: list[InMemorySink]) -> None:
    """Do one of `ACTIONS` to the surroundings."""
    if action in {"before", "after"}:
        bench.store.trouble.append(action)
    elif action == "forget":
        bench.store.forget(TopicPartition(TOPIC, chance.randint(0, 1)))
    elif action == "snapshot":
        bench.replica = bench.store.snapshot()
    elif action == "fall_back":
        bench.store.fall_back(bench.replica)
    elif action == "lose_group":
        bench.lose_group()
    elif action == "abort":
        sinks[0].fail_next = "abort"
    elif action in {"rebalance", "lose"}:
        bench.broker.rebalance(GROUP, lost=action == "lose")


@settings(max_examples=60)
@given(st.integers(0, 5), st.lists(st.sampled_from(ACTIONS), max_size=40), st.booleans(), st.randoms(use_true_random=False))
def test_exactly_once_whatever_happens(seed: int, actions: list[str], at_once: bool, chance: random.Random) -> None:
    """Two workers, rebalances, lost partitions, crashes, aborts, stores that fail, forget or fall back: each event comes once.

    On the topic and on the stream, and the same ones, whether Kafka's time goes with event time or stands still,
    and the group keeps its offsets or loses them.
    """
    arrived_ms = START_MS if at_once else None
    bench, ahead = Bench(partitions=2), story(seed)
    sources, sinks = [bench.source(), bench.source()], [InMemorySink(bench.broker), InMemorySink(bench.broker)]
    busy: dict[str, Any] = {"allowed_lateness_ms": 3_000, "max_records": 13, "max_unrelayed": 40}
    roles = [bench.role(*pair, **busy) for pair in zip(sources, sinks, strict=True)]
    for action in actions:
        bench.send(*[ahead.pop(0) for _ in range(min(len(ahead), chance.randint(0, 20)))], arrived_ms=arrived_ms)
        disturb(bench, action, chance, sinks)
        if action == "crash":
            members = bench.broker.groups[GROUP].members if GROUP in bench.broker.groups else []
            members[:] = [member for member in members if member is not sources[0]]
            sources[0], sinks[0] = bench.source(), InMemorySink(bench.broker)
            roles[0] = bench.role(sources[0], sinks[0], **busy)
        roles[action == "second"].step(0, chance.random())
    bench.send(*ahead, arrived_ms=arrived_ms)
    for role in roles * 3:
        role._checked_at_s = float("-inf")
        role.run_until_idle()
    assert sorted(event.id for event in bench.relayed()) == undisturbed(seed)
    streams = [bench.store.events(TopicPartition(TOPIC, number), 0, 1_000).events for number in (0, 1)]
    assert sorted(stored.event.id for stream in streams for stored in stream) == undisturbed(seed)
