"""How old records are when they are done, counted in buckets: what the objectives of freshness and delay are held to.

Counted by hand, a bisection a record, where `prometheus_client.Histogram` would take a lock for each.
"""

from bisect import bisect_left
from collections.abc import Mapping

from prometheus_client.core import HistogramMetricFamily

BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Upper bounds of the buckets, seconds; deploy/prometheus/slos.py may name these and no others."""


class Latency:
    """Counts by bucket, the last one for everything above; not safe across threads, see `Lag`."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one record; a clock that is behind Kafka's makes it 0 s old, not younger."""
        seconds = max(seconds, 0.0)
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds

    def copy(self) -> "Latency":
        """Return the counts as they are now."""
        made = Latency()
        made.counts, made.sum_s = self.counts.copy(), self.sum_s
        return made

    def cumulative(self) -> list[tuple[str, float]]:
        """Return how many were at most so old, by `le` as Prometheus writes it; a count that is not there yet is 0."""
        total, buckets = 0, []
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), self.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets


def latency_family(roles: Mapping[str, Latency]) -> HistogramMetricFamily:
    """Return the roles' counts as one histogram."""
    family = HistogramMetricFamily(
        "tidings_record_latency_seconds",
        "Age of a record, by its time in Kafka, when it was done: for score when its prediction was committed, for alert when"
        " its effects were stored and its events on Kafka, for notify when it was in its groups.",
        labels=["role"],
    )
    for role, latency in roles.items():
        family.add_metric([role], latency.cumulative(), latency.sum_s)
    return family
