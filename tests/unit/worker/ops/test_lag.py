from worker.messages import Record, TopicPartition
from worker.ops.lag import Behind, Lag
from worker.ports import PartitionStatistics

P0, P1 = TopicPartition("news", 0), TopicPartition("news", 1)
T0_MS = 1_700_000_000_000


def record(offset: int, partition: TopicPartition = P0, timestamp_ms: int | None = None) -> Record:
    """A record, one a second."""
    return Record(*partition, offset, None, b"", T0_MS + 1_000 * offset if timestamp_ms is None else timestamp_ms)


def assigned(*partitions: TopicPartition) -> Lag:
    """The lag of a role with these partitions."""
    lag = Lag()
    lag.assigned(partitions)
    return lag


def test_a_partition_that_is_caught_up_is_not_behind() -> None:
    """Everything read and committed: 0 seconds, 0 records, however long ago."""
    lag = assigned(P0)
    lag.taken([record(0), record(1)], T0_MS)
    lag.committed({P0: 2}, T0_MS)
    told = {P0: PartitionStatistics(next_fetch=2, end=2, queued=0)}
    assert lag.behind(told, T0_MS + 10**9) == {P0: Behind(0, 0, 2)}


def test_the_lag_is_the_age_of_the_oldest_record_not_committed() -> None:
    """By its time in Kafka, and growing while nothing happens: a worker that is held up shows it."""
    lag = assigned(P0)
    lag.taken([record(0), record(1), record(2)], T0_MS + 3_000)
    assert lag.behind({}, T0_MS + 5_000) == {P0: Behind(5, 3, None)}
    assert lag.behind({}, T0_MS + 65_000) == {P0: Behind(65, 3, None)}
    lag.committed({P0: 1}, T0_MS)
    assert lag.behind({}, T0_MS + 65_000) == {P0: Behind(64, 2, 1)}


def test_markers_are_no_lag() -> None:
    """Behind the last record lie a transaction's markers; the consumer has passed them, so there is nothing to read."""
    lag = assigned(P0)
    lag.taken([record(0)], T0_MS)
    lag.committed({P0: 1}, T0_MS)
    assert lag.behind({P0: PartitionStatistics(next_fetch=3, end=3, queued=0)}, T0_MS + 9_000)[P0] == Behind(0, 0, 1)


def test_what_was_given_back_keeps_its_age() -> None:
    """After an abort the same records are read again: the lag goes on from the oldest, until it is committed."""
    lag = assigned(P0)
    lag.taken([record(0), record(1)], T0_MS)
    lag.given_back([P0])
    assert lag.behind({}, T0_MS + 5_000)[P0].seconds == 5
    lag.taken([record(0), record(1)], T0_MS)
    lag.given_back([P0])
    lag.taken([record(0)], T0_MS)
    assert lag.behind({}, T0_MS + 5_000)[P0] == Behind(5, 1, None)
    lag.committed({P0: 1}, T0_MS)
    assert lag.behind({}, T0_MS + 5_000)[P0] == Behind(0, 0, 1)


def test_a_backlog_that_was_not_begun_counts_from_when_it_was_noticed() -> None:
    """Its age is not known until it is read; records that were fetched and not polled count as well."""
    lag = assigned(P0)
    told = {P0: PartitionStatistics(next_fetch=5, end=9, queued=2)}
    assert lag.behind(told, T0_MS) == {P0: Behind(0, 6, None)}
    assert lag.behind(told, T0_MS + 7_000) == {P0: Behind(7, 6, None)}
    assert lag.behind({P0: PartitionStatistics(9, 9, 0)}, T0_MS + 8_000) == {P0: Behind(0, 0, None)}
    assert lag.behind(told, T0_MS + 9_000) == {P0: Behind(0, 6, None)}


def test_a_record_without_a_time_counts_from_when_it_came() -> None:
    """And one from the future is not behind."""
    lag = assigned(P0, P1)
    lag.taken([record(0, timestamp_ms=-1), record(0, P1, T0_MS + 60_000)], T0_MS)
    assert [figures.seconds for figures in lag.behind({}, T0_MS + 4_000).values()] == [4, 0]


def test_a_partition_that_went_is_not_ours_to_tell() -> None:
    """Nor what is still said of it."""
    lag = assigned(P0, P1)
    lag.taken([record(0)], T0_MS)
    lag.forgotten([P0])
    lag.taken([record(1)], T0_MS)
    lag.given_back([P0])
    lag.committed({P0: 9}, T0_MS)
    assert lag.behind({}, T0_MS) == {P1: Behind(0, 0, None)}
