from tests.unit.worker.alert.test_role import FIRING, P0, RECOVERY, Bench, at


def test_a_rebuild_tells_no_alert_again_whose_signals_are_read_in_once_more() -> None:
    """What fired hours ago comes in again, late, after the store is lost: under the same id it would be told a second time."""
    bench = Bench()
    role = bench.role()
    hours_ago = [*FIRING, *RECOVERY, at(10_000, "positive")]
    read_in_again = [at(second, "positive") for second in range(-300, -100)]
    for number, item in enumerate([*hours_ago, *read_in_again, *FIRING, *RECOVERY]):
        if number == len(hours_ago) + len(read_in_again):
            role.run_until_idle()
            bench.store.forget(P0)
        bench.newest_ms = at(10_000 + number).event_time_ms
        bench.send(item, arrived_ms=bench.newest_ms)
    role.run_until_idle()
    assert bench.states() == [("entity:acme", "firing"), ("entity:acme", "resolved")]
