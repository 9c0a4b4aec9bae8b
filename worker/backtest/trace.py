"""What a backtest saw of a few keys over time, in bins, so that a year takes no more room than a day. Pure."""

from collections import defaultdict
from typing import NamedTuple

from worker.alert.backtest import Outcome
from worker.alert.decide import Look
from worker.messages import Signal

_BINS = 600
_WIDTHS_MS = [
    unit * count
    for unit, counts in (
        (1_000, (1, 2, 5, 10, 15, 30)),
        (60_000, (1, 2, 5, 10, 15, 30)),
        (3_600_000, (1, 2, 4, 6, 12)),
        (86_400_000, (1, 2, 7, 28, 365)),
    )
    for count in counts
]


class Counted(NamedTuple):
    """The signals of one bin; `score` is the sum of their scores."""

    messages: int = 0
    negatives: int = 0
    score: float = 0.0


class Seen(NamedTuple):
    """What a rule made of one bin: its largest statistic, what that was held to, and the latest baseline, if any."""

    statistic: float
    threshold: float
    baseline: float | None


class Trace:
    """Gathers, by key and bin, the signals; and by key, rule and bin, what was seen. Every bin is `width_ms` long."""

    def __init__(self, width_ms: int) -> None:
        self.width_ms = width_ms
        self.counts: defaultdict[str, dict[int, Counted]] = defaultdict(dict)
        self.seen: defaultdict[tuple[str, str], dict[int, Seen]] = defaultdict(dict)

    def count(self, signal: Signal) -> None:
        """Count a signal in the bin of its event time, late or not."""
        at_ms = signal.event_time_ms - signal.event_time_ms % self.width_ms
        bins = self.counts[signal.alert_key]
        was = bins.get(at_ms, Counted())
        bins[at_ms] = Counted(was.messages + 1, was.negatives + (signal.label == "negative"), was.score + signal.score)

    def look(self, look: Look) -> None:
        """Note what a rule saw at a boundary, in the bin that its newest bucket began in."""
        began_ms = look.scene.at_ms - look.rule.detector.bucket
        at_ms, reading = began_ms - began_ms % self.width_ms, look.scene.reading
        bins = self.seen[look.alert_key, look.rule.name]
        statistic = max(reading.statistic, bins[at_ms].statistic) if at_ms in bins else reading.statistic
        bins[at_ms] = Seen(statistic, reading.threshold, reading.baseline)


def bin_width(outcome: Outcome) -> int:
    """Return the width of a bin that the outcome's event times make some hundreds of, in milliseconds."""
    if outcome.first_ms is None or outcome.last_ms is None:
        return _WIDTHS_MS[0]
    span_ms = outcome.last_ms - outcome.first_ms
    return next((width for width in _WIDTHS_MS if span_ms / width <= _BINS), _WIDTHS_MS[-1])
