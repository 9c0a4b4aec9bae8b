from collections.abc import Iterator

import pytest

from tests.unit.worker.alert.builders import rules, signal
from worker.backtest.inputs import Batch, Fault
from worker.backtest.running import MAX_FAULTS, Plan, run, trace
from worker.backtest.trace import Counted, Trace
from worker.errors import SelectionError

BAD = [signal(at) for at in (1, 2, 3, 4)]
OTHER = """
rules:
  - name: bad-press
    detector: {type: share, window: 50s, bucket: 10s, threshold: 0.5, min_messages: 1000}
"""


class Canned:
    """An input of these batches; Ctrl-C comes after them if `broken`."""

    name = "canned"
    total = 10

    def __init__(self, *batches: Batch, broken: bool = False) -> None:
        self._batches = batches
        self._broken = broken

    def batches(self) -> Iterator[Batch]:
        """All."""
        yield from self._batches
        if self._broken:
            raise KeyboardInterrupt


PLAN = Plan(rules(), None, 0)


def test_each_partition_has_its_own_watermark() -> None:
    """What is old in one partition is not late in another."""
    ran = run(Canned(Batch(0, [signal(100)], [], 1), Batch(1, [*BAD, signal(10)], [], 1)), PLAN)
    assert (ran.outcome.late.signals, [alert.alert_key for alert in ran.outcome.alerts]) == (0, ["entity:acme"])
    assert run(Canned(Batch(0, [signal(100), *BAD], [], 1)), PLAN).outcome.late.signals == 4


def test_two_rule_files_see_the_same() -> None:
    """In one pass."""
    ran = run(Canned(Batch(0, [*BAD, signal(10)], [], 1)), PLAN._replace(other=rules(OTHER)))
    assert ran.other is not None
    assert (len(ran.outcome.alerts), len(ran.other.alerts), ran.other.signals) == (1, 0, 5)


def test_faults_are_counted_and_the_first_are_named() -> None:
    """However many there are."""
    faults = [Fault(f"f:{line}", "no") for line in range(MAX_FAULTS - 1)]
    ran = run(Canned(Batch(0, [], faults, 1), Batch(0, [], faults, 1)), PLAN)
    assert (ran.faults.count, len(ran.faults.named), ran.faults.named[-1]) == (2 * len(faults), MAX_FAULTS, faults[0])


def test_strict_fails_at_the_first() -> None:
    """With its place and reason."""
    with pytest.raises(SelectionError, match="f:2: no"):
        run(Canned(Batch(0, BAD, [Fault("f:2", "no"), Fault("f:3", "no")], 1)), PLAN._replace(strict=True))


def test_ctrl_c_keeps_what_was_found() -> None:
    """And says so."""
    ran = run(Canned(Batch(0, [*BAD, signal(10)], [], 1), broken=True), PLAN)
    assert (ran.interrupted, len(ran.outcome.alerts)) == (True, 1)


def test_a_trace_has_the_chosen_keys_alone() -> None:
    """Signals by bin, and of each rule what it saw and when."""
    found = Trace(10_000)
    others = [signal(at, "positive", alert_key="topic:x") for at in (5, 30)]
    trace(Canned(Batch(0, [*BAD, *others], [], 1)), PLAN, frozenset({"entity:acme"}), found)
    assert {key: dict(bins) for key, bins in found.counts.items()} == {"entity:acme": {0: Counted(4, 4, -3.6)}}
    assert list(found.seen) == [("entity:acme", "bad-press")]
    assert sorted(found.seen["entity:acme", "bad-press"]) == [0, 10_000, 20_000]
    assert found.seen["entity:acme", "bad-press"][0].statistic > found.seen["entity:acme", "bad-press"][0].threshold == 0.5
