import pytest

from tests.unit.worker.alert.builders import rules, signal
from tests.unit.worker.backtest.builders import outcome
from worker.alert.backtest import Backtest
from worker.alert.decide import Look
from worker.backtest.trace import Trace, bin_width

SHIFT = """
rules:
  - name: fall
    detector: {type: shift, window: 60s, bucket: 5s, warm_up: 5}
"""


@pytest.mark.parametrize(("days", "width_ms"), [(1 / 86_400, 1_000), (1, 300_000), (30, 7_200_000), (3_650, 604_800_000)])
def test_a_long_time_takes_no_more_bins_than_a_short_one(days: float, width_ms: int) -> None:
    """Round widths, some hundreds of them."""
    assert bin_width(outcome(days=days)) == width_ms
    assert days * 86_400_000 / width_ms <= 600


def test_without_signals_there_is_a_width_all_the_same() -> None:
    """Nobody divides by it."""
    assert bin_width(outcome(first_ms=None, last_ms=None)) == 1_000


def test_a_bin_has_the_highest_statistic_and_the_latest_baseline() -> None:
    """Of several boundaries in one bin nothing that mattered is lost."""
    looks: list[Look] = []
    fine, coarse = Trace(5_000), Trace(60_000)

    def observe(look: Look) -> None:
        looks.append(look)
        fine.look(look)
        coarse.look(look)

    test = Backtest(rules(SHIFT), 0, observe)
    test.take(0, [signal(at, "positive" if at < 50 else "negative") for at in range(66)])
    levels = [seen.statistic for at_ms, seen in fine.seen["entity:acme", "fall"].items() if at_ms < 60_000]
    assert (len(levels), levels[-1] > levels[0]) == (12, True)
    (whole, *_) = coarse.seen["entity:acme", "fall"].values()
    assert whole.statistic == max(levels)
    assert whole.baseline == looks[11].scene.reading.baseline
