"""The alert role and event times that cannot be: out of range, or far ahead of when they were written."""

import json

from structlog.testing import capture_logs

from tests.unit.worker.alert.builders import RULE
from tests.unit.worker.alert.test_role import BAD, P0, TOPIC, Bench, at
from worker.codec import encode_signal

DAYS_MS = 10 * 86_400_000


def test_figures_out_of_range_are_passed_over() -> None:
    """A score of 1e308 has no square, and a time past the calendar no boundary; the role counts them, and goes on."""
    bench = Bench()
    bench.send(*BAD)
    plain = json.loads(encode_signal(at(5)))
    for wrong in ({"score": 1e308}, {"negative": 2.0}, {"event_time_ms": -1}, {"event_time_ms": 10**17}):
        bench.broker.send(TOPIC, json.dumps(plain | wrong).encode(), key=b"entity:acme")
    bench.broker.send(TOPIC, json.dumps({"at_ms": 10**17}).encode(), key=None, headers=(("tidings.control", b"tick"),))
    bench.send(at(10))
    role = bench.role()
    role.run_until_idle()
    assert (role.counts.undecodable, bench.states()) == (5, [("entity:acme", "firing")])


def test_late_signals_are_told_in_the_log() -> None:
    """How many, for which rules, and what the allowed lateness would have had to be; one line, not one each."""
    bench = Bench()
    bench.send(at(100), at(1), at(2))
    role = bench.role(allowed_lateness_ms=5_000)
    with capture_logs() as lines:
        role.run_until_idle()
        bench.send(at(3))
        role.run_until_idle()
    (line,) = [line for line in lines if line["event"] == "signals came too late to count"]
    assert {name: line[name] for name in ("signals", "behind_s", "allowed_s", "rules")} == {
        "signals": 2,
        "behind_s": 99.0,
        "allowed_s": 5.0,
        "rules": {"bad-press": 2},
    }
    assert role.counts.late == 3


def test_one_wrong_clock_makes_nobody_late() -> None:
    """A signal of ten days ahead counts at the time of its record, and the watermark stays where the others are."""
    bench = Bench()
    now_ms = at(5).event_time_ms
    bench.send(*BAD)
    bench.send(at(5 + DAYS_MS / 1_000), arrived_ms=now_ms)
    bench.send(at(6), at(10))
    role = bench.role()
    role.run_until_idle()
    assert (role.counts.future, role.counts.late, bench.states()) == (1, 0, [("entity:acme", "firing")])
    (fired,) = bench.relayed()
    assert (fired.evidence.messages, role._memory[P0].max_event_time_ms) == (6, at(10).event_time_ms)


def test_the_allowance_for_the_future_is_a_setting() -> None:
    """Up to it a signal moves the watermark on, and closes the window."""
    for allowed_ms, states in ((15_000, [("entity:acme", "firing")]), (14_999, [])):
        bench = Bench()
        bench.send(*BAD)
        bench.send(at(20), arrived_ms=at(5).event_time_ms)
        bench.role(max_future_ms=allowed_ms).run_until_idle()
        assert bench.states() == states


def test_time_begins_in_1970() -> None:
    """A message of nought milliseconds is heard of, and told of at a time that a calendar has."""
    bench = Bench(text=RULE + "    no_data: fire\n")
    early = [at(-at(0).event_time_ms / 1_000 + second) for second in (0, 20, 30)]
    assert early[0].event_time_ms == 0
    bench.send(*early, arrived_ms=at(0).event_time_ms)
    bench.role(allowed_lateness_ms=15_000).run_until_idle()
    (fired,) = bench.relayed()
    assert (fired.reason, fired.at_ms) == ("data_absent", 10_000)
