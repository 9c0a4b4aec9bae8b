from collections import Counter

from tests.unit.worker.alert.builders import signal
from worker.alert.late import LateSignals, LateWatch


def test_a_signal_counts_once_and_for_each_rule() -> None:
    """And the furthest behind is kept."""
    late = LateSignals()
    late.note(signal(5), ["a", "b"], 9_000)
    late.note(signal(7), ["a"], 9_500)
    late.note(signal(1), [], 9_500)
    assert late == LateSignals(2, Counter(a=2, b=1), 4_000, 6_500)


def test_late_signals_are_told_at_once_and_then_once_a_minute() -> None:
    """What came meanwhile is told together; nothing is told twice, and no news is no line."""
    watch = LateWatch()
    assert watch.due(0.0) is None
    watch.add(LateSignals(1, Counter(a=1), 50, 50))
    assert watch.due(1.0) == LateSignals(1, Counter(a=1), 50, 50)
    watch.add(LateSignals(1, Counter(a=1), 70, 70))
    watch.add(LateSignals(2, Counter(b=2), 60, 90))
    assert watch.due(60.9) is None
    assert watch.due(61.0) == LateSignals(3, Counter(a=1, b=2), 70, 160)
    assert watch.due(200.0) is None
