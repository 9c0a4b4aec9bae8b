from tests.unit.worker.alert.test_role import FIRING, GROUP, RECOVERY, Bench, at
from worker.codec import decode_placed
from worker.messages import Tick
from worker.testing.broker import InMemorySink

IDLE_S = 60.0


def ticks(bench: Bench) -> list[Tick]:
    """Those in the log of signals."""
    placed = [decode_placed(record) for record in bench.broker.records("sentiment.signals")]
    return [item for item in placed if isinstance(item, Tick)]


def states(bench: Bench) -> list[str]:
    """What was told of the one key."""
    return [state for _, state in bench.states()]


def test_silence_makes_a_firing_alert_stale_and_data_brings_it_back() -> None:
    """One tick for one silence, however long; then the alert goes on under its id and resolves as ever."""
    bench = Bench()
    bench.send(*FIRING)
    role = bench.role(idle_after_s=IDLE_S)
    for now_s in range(0, 600, 5):
        role.step(0, now_s)
    assert ticks(bench) == [Tick(round(bench.now_s() * 1_000))], "the time that it was"
    assert (states(bench), role.counts.stale) == (["firing", "stale"], 1)
    bench.send(*RECOVERY, at(60, "positive"))
    for now_s in range(600, 650, 5):
        role.step(0, now_s)
    assert states(bench) == ["firing", "stale", "resolved"]
    assert len({event.alert_id for event in bench.relayed()}) == 1


def test_where_no_alert_is_open_nothing_is_written() -> None:
    """Silence after all is well needs no words."""
    bench = Bench()
    bench.send(*FIRING, *RECOVERY, at(3_600, "positive"), at(3_700, "positive"))
    role = bench.role(idle_after_s=IDLE_S)
    for now_s in range(0, 600, 5):
        role.step(0, now_s)
    assert (ticks(bench), states(bench)) == ([], ["firing", "resolved"])


def test_a_tick_that_was_aborted_is_said_again() -> None:
    """It goes out with the relay's transactions, and waits like what they carry."""
    bench = Bench()
    bench.send(*FIRING)
    sink = InMemorySink(bench.broker)
    role = bench.role(sink=sink, idle_after_s=IDLE_S)
    role.step(0, 0)
    role.step(0, 1)
    sink.fail_next = "abort"
    role.step(0, IDLE_S + 1)
    assert ticks(bench) == []
    for now_s in (IDLE_S + 10, IDLE_S + 11, IDLE_S + 12):
        role.step(0, now_s)
    assert (len(ticks(bench)), states(bench)) == (1, ["firing", "stale"])


def test_the_next_worker_reads_the_silence_from_the_log() -> None:
    """It decides what the first would have decided, and after a loss of Redis no event is told twice."""
    bench = Bench()
    bench.send(*FIRING)
    role = bench.role(idle_after_s=IDLE_S)
    for now_s in range(0, 100, 5):
        role.step(0, now_s)
    bench.broker.groups[GROUP].members.clear()
    bench.store.forget(next(iter(bench.store.snapshot())))
    successor = bench.role(idle_after_s=IDLE_S)
    bench.send(*RECOVERY, at(60, "positive"))
    successor.run_until_idle()
    assert states(bench) == ["firing", "stale", "resolved"]
    assert len({event.id for event in bench.relayed()}) == 3


def test_a_silence_that_began_under_another_worker_is_told_too() -> None:
    """Who takes over a partition with an open alert, and hears nothing of it, says so."""
    bench = Bench()
    bench.send(*FIRING)
    bench.role().run_until_idle()
    bench.broker.groups[GROUP].members.clear()
    successor = bench.role(idle_after_s=IDLE_S)
    for now_s in range(0, 100, 5):
        successor.step(0, now_s)
    assert (len(ticks(bench)), states(bench)) == (1, ["firing", "stale"])


def test_while_nothing_is_read_silence_proves_nothing() -> None:
    """A role that holds back, because Kafka does not take its events, hears nothing of its partitions."""
    bench = Bench()
    bench.send(*FIRING, *[at(10 + second / 10) for second in range(30)])
    sink = InMemorySink(bench.broker)
    role = bench.role(sink=sink, idle_after_s=IDLE_S, max_unrelayed=10, max_records=5)
    for now_s in range(0, 300, 5):
        sink.fail_next = "abort"
        role.step(0, now_s)
    assert role.held
    sink.fail_next = None
    role.step(0, 305)
    role.step(0, 310)
    assert ticks(bench) == []
