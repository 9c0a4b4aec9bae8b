"""Control records through the live role: what people and other alerts say of alerts, across partitions, restarts and losses."""

import pytest

from tests.unit.worker.alert.builders import RULE, rules, signal
from tests.unit.worker.alert.test_role import GROUP, START_MS, TOPIC, Bench
from worker.alert.role import AlertRole
from worker.codec import control_record, decode_placed, encode_signal, is_control
from worker.errors import DecodeError
from worker.messages import (
    Acknowledge,
    AlertEvent,
    Control,
    Expire,
    Inhibitor,
    Label,
    OutRecord,
    Record,
    Signal,
    Silence,
    Standing,
    TopicPartition,
)

P0, P1 = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)
SOURCE, TARGET = "entity:source", "entity:target"
TWO = RULE.replace("bad-press", "worst", 1) + "    severity: critical\n    scope: {entities: source}\n"
TWO += RULE.replace("rules:\n", "").replace("\n\n", "\n") + "    scope: {entities: target}\n"
INHIBIT = TWO + "inhibit: [{source_matchers: [severity=critical], target_matchers: [severity=warning]}]\n"


class Two(Bench):
    """Two partitions: the source's key on the first, the target's on the second."""

    def __init__(self, text: str = INHIBIT) -> None:
        super().__init__(2, text)

    def texts(self, partition: TopicPartition, *times_s: float, label: Label = "negative") -> None:
        """Signals of the partition's key at these seconds."""
        key = SOURCE if partition == P0 else TARGET
        for at_s in times_s:
            one = signal(START_MS / 1_000 + at_s, label, alert_key=key, message_id=f"{key}-{at_s}")
            self.broker.produce(OutRecord(TOPIC, key.encode(), encode_signal(one)), partition.partition)

    def say(self, control: Control, *partitions: TopicPartition) -> None:
        """Write a control record, by default into both."""
        for partition in partitions or (P0, P1):
            self.broker.produce(control_record(partition, control))

    def said(self, partition: TopicPartition) -> list[Control]:
        """The control records of a partition."""
        found = [decode_placed(record) for record in self.broker.kept(partition) if is_control(record)]
        return [control for control in found if not isinstance(control, Signal)]

    def told(self, key: str) -> list[tuple[str | None, str]]:
        """What is on record of a key's alert."""
        return [(event.change, event.reason) for event in self.relayed() if event.alert_key == key]

    def last(self, key: str) -> AlertEvent:
        """The last event on record of a key."""
        return [event for event in self.relayed() if event.alert_key == key][-1]

    def again(self) -> AlertRole:
        """The worker that comes after those before are gone."""
        self.broker.groups[GROUP].members.clear()
        role = self.role()
        role.run_until_idle()
        return role


def fired(bench: Two) -> AlertRole:
    """Both alerts are open, the source's first."""
    role = bench.role()
    for partition in (P0, P1):
        bench.texts(partition, 1, 2, 3, 4, 10)
        role.run_until_idle()
    return role


def test_a_source_inhibits_in_other_partitions() -> None:
    """Word of it goes to every partition when it fires, and when it ends; the target says so, and lives on."""
    bench = Two()
    role = fired(bench)
    assert bench.told(TARGET) == [("firing", "threshold_passed")]
    source = bench.last(SOURCE)
    assert bench.last(TARGET).suppressed_by == (f"inhibition:{source.alert_id}",)
    assert [one for one in bench.said(P1) if isinstance(one, Inhibitor)] == [Inhibitor(source.alert_id, source.labels, True)]
    assert [one for one in bench.said(P0) if isinstance(one, Inhibitor)] == [Inhibitor(source.alert_id, source.labels, True)]
    bench.texts(P0, *range(11, 21), label="positive")
    role.run_until_idle()
    bench.texts(P1, 20)
    role.run_until_idle()
    assert bench.told(TARGET)[1:] == [("unsuppressed", "inhibition_ended")]
    assert role.counts.unsuppressed == 1


def test_an_abort_says_nothing_twice() -> None:
    """Word of a source goes with its event, in one transaction."""
    bench = Two()
    fired(bench)
    before = [bench.said(partition) for partition in (P0, P1)]
    bench.again()
    after = [[one for one in bench.said(partition) if not isinstance(one, Standing)] for partition in (P0, P1)]
    assert after == [[one for one in said if not isinstance(one, Standing)] for said in before]


@pytest.mark.parametrize("restarts", [False, True])
def test_rules_that_come_to_name_a_source_inhibit_at_the_next_look(restarts: bool) -> None:
    """By a reload or a restart, though the source was firing before, and is not told of again."""
    bench = Two(TWO)
    role = fired(bench)
    assert bench.said(P1) == []
    bench.text = INHIBIT
    if restarts:
        role = bench.again()
    else:
        role._replace_rules(rules(INHIBIT))
    role.run_until_idle()
    bench.texts(P1, 20)
    role.run_until_idle()
    assert bench.told(TARGET)[1:] == [("suppressed", "inhibited")]
    assert sum(isinstance(one, Inhibitor) for one in bench.said(P0)) == 1


def test_what_people_say_survives_a_restart() -> None:
    """Acknowledgement and silence under the next worker are as under the last."""
    bench = Two(TWO)
    fired(bench)
    alert = bench.last(TARGET)
    bench.say(Acknowledge(TARGET, alert.alert_id, "kim", "looking", 5), P1)
    bench.say(Silence("s", ("entity=target",), START_MS + 25_000, "kim", "premiere"))
    role = bench.again()
    bench.texts(P1, 20)
    role.run_until_idle()
    role = bench.again()
    bench.texts(P1, 30)
    role.run_until_idle()
    assert bench.told(TARGET)[1:] == [
        ("acknowledged", "acknowledged"),
        ("suppressed", "silenced"),
        ("unsuppressed", "silence_ended"),
    ]
    (book,) = bench.store.open_alerts(P1).values()
    assert book == bench.last(TARGET)
    assert book.acknowledgement is not None


def test_a_lost_store_comes_back_with_it() -> None:
    """Acknowledgement, silence, inhibitor and the book, and nothing is said again on the topic of alerts."""
    bench = Two()
    role = fired(bench)
    bench.say(Acknowledge(TARGET, bench.last(TARGET).alert_id, "kim", "looking", 5), P1)
    bench.say(Silence("s", ("entity=target",), START_MS + 1_000_000, "kim", "premiere"))
    bench.texts(P1, 20)
    role.run_until_idle()
    known, books = bench.relayed(), [bench.store.open_alerts(partition) for partition in (P0, P1)]
    spoken = sum(isinstance(one, Inhibitor) for one in bench.said(P1))
    for partition in (P0, P1):
        bench.store.forget(partition)
    role = bench.again()
    assert role.counts.rebuilt == 2
    assert bench.relayed() == known
    assert sum(isinstance(one, Inhibitor) for one in bench.said(P1)) == spoken, "word of a source goes with its events alone"
    assert [bench.store.open_alerts(partition) for partition in (P0, P1)] == books
    bench.say(Expire("s"))
    bench.texts(P1, 30)
    role.run_until_idle()
    assert bench.last(TARGET).suppressed_by == (f"inhibition:{bench.last(SOURCE).alert_id}",)


def test_bad_control_records_are_counted_and_passed_over() -> None:
    """As a bad signal is; an acknowledgement of nothing too."""
    bench = Two()
    role = fired(bench)
    for kind, body in ((b"silence", b'{"id": "s"}'), (b"later", b"{}"), (b"inhibitor", b"\xff")):
        bench.broker.produce(OutRecord(TOPIC, None, body, (("tidings.control", kind),)), 1)
    bench.say(Acknowledge(TARGET, "nothing", "kim", "looking", 5), P1, P1)
    role.run_until_idle()
    assert (role.counts.undecodable, role.counts.not_open) == (3, 2)
    backwards = control_record(P1, Silence("s", ("a=b",), 1, "kim", "c", starts_at_ms=2))
    with pytest.raises(DecodeError, match="ends before"):
        decode_placed(Record(*P1, 0, None, backwards.value, 0, backwards.headers))
