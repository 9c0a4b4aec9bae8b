"""A store that is lost must not have an alert told again whose signals are read in once more."""

from collections.abc import Sequence

from tests.unit.worker.alert.test_role import FIRING, P0, RECOVERY, Bench, at
from worker.messages import AlertEvent, Signal


def alerts(before: Sequence[Signal], after: Sequence[Signal], *, lost: bool) -> list[AlertEvent]:
    """What is relayed when the store is lost between the two, or not; a signal arrives every second."""
    bench = Bench()
    role = bench.role()
    arrived_s = 10_000
    for number, item in enumerate([*before, *after]):
        if number == len(before):
            role.run_until_idle()
            if lost:
                bench.store.forget(P0)
        bench.newest_ms = at(arrived_s + number).event_time_ms
        bench.send(item, arrived_ms=at(arrived_s + number).event_time_ms)
    role.run_until_idle()
    return bench.relayed()


def test_a_lost_store_does_not_send_an_alert_again() -> None:
    """What fired hours ago is read in again, late, when the store is lost: its window is decided anew, under the same id."""
    hours_ago = [*FIRING, *RECOVERY, at(10_000, "positive")]
    again = [at(second, "positive") for second in range(-300, -100)]
    told = [event.id for event in alerts([*hours_ago, *again], [*FIRING, *RECOVERY], lost=True)]
    assert sorted(told) == sorted(set(told))
