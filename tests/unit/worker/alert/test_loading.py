"""A partition whose state the store has lost: where it goes on from, and what is put back."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.worker.alert.builders import rules
from tests.unit.worker.alert.test_role import FIRING, P0, RECOVERY, TOPIC, Bench, at
from worker.alert.loading import AlertOptions, AlertPorts, Loaded, Loader
from worker.codec import control_record
from worker.errors import FatalError, FencedError, RetryableError
from worker.messages import Tick, TopicPartition
from worker.ports import AlertCommit
from worker.testing.alert_store import InMemoryAlertStore

ALERTS = TopicPartition("sentiment.alerts", 0)
LATENESS_MS = 600_000
SPAN_S = 50 + 2 * 600
"""What a replay must cover: the rule's window, and the lateness twice."""


def lost(bench: Bench, store: InMemoryAlertStore | None = None, **options: Any) -> Loaded:
    """Load the bench's partition from a store that is empty, under so much lateness."""
    given = AlertOptions(**{"allowed_lateness_ms": LATENESS_MS, "wall_clock": bench.now_s, **options})
    ports = AlertPorts(bench.source(), store or InMemoryAlertStore(), bench.history)
    return Loader(ports, rules(), given).load([P0])[P0]


def done(silent_from_s: int | None = None) -> Bench:
    """An alert that fired and resolved, or went stale by a tick, and then nothing new for long, all of it done by a role."""
    bench = Bench()
    bench.send(*FIRING)
    if silent_from_s is None:
        bench.send(*RECOVERY, at(40, "positive"))
    else:
        bench.broker.produce(control_record(P0, Tick(at(silent_from_s).event_time_ms)))
    bench.send(*[at(second, "positive", alert_key="topic:x") for second in range(60, 2_800, 20)])
    bench.role().run_until_idle()
    return bench


def test_a_replay_begins_as_far_back_as_windows_and_lateness_reach() -> None:
    """And not much further: at most twice as far, sought by the clock."""
    loaded = lost(bench := done())
    (at_ms,) = [record.timestamp_ms for record in bench.broker.records(TOPIC) if record.offset == loaded.memory.next_offset]
    assert SPAN_S <= (bench.newest_ms - at_ms) / 1_000 <= 2 * SPAN_S
    assert loaded.is_rebuilt
    assert loaded.position == bench.broker.committed("tidings-alert")[P0]


@pytest.mark.parametrize("silent_from_s", [None, 1_500])
def test_the_watermark_is_where_the_last_event_had_it(silent_from_s: int | None) -> None:
    """What was late before is late after. An event that says "stale" was caused by a clock, and proves nothing."""
    store, bench = InMemoryAlertStore(), done(silent_from_s)
    loaded = lost(bench, store)
    last = [event for event in bench.relayed() if event.state != "stale"][-1]
    stored = store.load(P0)
    assert stored is not None
    assert loaded.memory.max_event_time_ms == stored.max_event_time_ms == last.at_ms + LATENESS_MS
    assert stored.next_offset == loaded.memory.next_offset


@pytest.mark.parametrize(("restored_events", "states"), [(10, ["firing", "resolved"]), (1, ["resolved"])])
def test_what_lies_before_the_replay_is_put_back(restored_events: int, states: Sequence[str]) -> None:
    """The last events, as many as the store keeps."""
    store = InMemoryAlertStore()
    lost(done(), store, restored_events=restored_events)
    assert [stored.event.state for stored in store.events(P0, 0, 10).events] == states


def test_two_workers_do_not_rebuild_the_same_partition() -> None:
    """Who comes second says so, and tries again later, when the first is done."""

    class Taken(InMemoryAlertStore):
        def commit(self, commit: AlertCommit) -> None:
            raise FencedError(f"{commit.partition} has gone on")

    with pytest.raises(RetryableError, match=r"^sentiment\.signals-0 is being rebuilt by another worker$"):
        lost(done(), Taken())


def test_an_event_of_a_signal_that_the_topic_never_had_is_refused() -> None:
    """Also where it lacks but the one: with the group's position lost too, the record speaks of another topic."""
    bench, shorter, whole = Bench(), Bench(), Bench()
    bench.send(*FIRING)
    bench.role().run_until_idle()
    for other, signals in ((shorter, FIRING[:-1]), (whole, FIRING)):
        other.broker.logs[ALERTS] = bench.broker.logs[ALERTS]
        other.send(*signals)
    with pytest.raises(FatalError, match="ends at 4, but its alerts on record go up to offset 4"):
        lost(shorter)
    assert lost(whole).position == 5
