import pytest

from worker.messages import Record, TopicPartition
from worker.ops.lag import Lag
from worker.ops.latency import BOUNDS_S, Latency, latency_family

P0 = TopicPartition("news", 0)


@pytest.mark.parametrize(
    ("seconds", "bound"), [(0.05, "0.05"), (0.051, "0.1"), (10.0, "10.0"), (-3.0, "0.05"), (9_999.0, "+Inf")]
)
def test_a_bucket_holds_what_is_at_most_its_bound(seconds: float, bound: str) -> None:
    """As Prometheus has it: `le` is less or equal, and counts grow from bucket to bucket."""
    latency = Latency()
    latency.observe(seconds)
    buckets = latency.cumulative()
    assert next(le for le, count in buckets if count) == bound
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    assert len(buckets) == len(BOUNDS_S) + 1


def test_a_copy_stays_as_it_is() -> None:
    """What is scraped does not move under the scrape."""
    latency = Latency()
    before = latency.copy()
    latency.observe(1.0)
    assert (before.sum_s, before.cumulative()[-1][1]) == (0.0, 0.0)


def test_records_are_counted_once_when_they_are_committed() -> None:
    """Not when they are read, nor when they are given back and read again."""
    lag = Lag()
    lag.assigned([P0])
    record = Record(*P0, 0, None, b"", 1_000)
    lag.taken([record], 1_000)
    lag.given_back([P0])
    lag.taken([record], 2_000)
    assert lag.latency().cumulative()[-1][1] == 0
    lag.committed({P0: 1}, 4_000)
    lag.committed({P0: 1}, 9_000)
    assert (lag.latency().sum_s, lag.latency().cumulative()[-1][1]) == (3.0, 1.0)


def test_roles_are_told_apart() -> None:
    """One family, the role as a label."""
    late = Latency()
    late.observe(20.0)
    family = latency_family({"score": Latency(), "alert": late})
    counts = {s.labels["role"]: s.value for s in family.samples if s.name.endswith("_count")}
    assert counts == {"score": 0.0, "alert": 1.0}
