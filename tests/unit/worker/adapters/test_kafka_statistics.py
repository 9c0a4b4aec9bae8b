import json
from typing import Any

from worker.adapters.kafka.statistics import decode_statistics
from worker.messages import TopicPartition
from worker.ports import PartitionStatistics


def told(**changes: Any) -> str:
    """What librdkafka 2.16 says, cut to a broker, a topic and a few of its many fields."""
    partition = {"partition": 3, "desired": True, "fetchq_cnt": 2, "next_offset": 7, "ls_offset": 9, "hi_offset": 12}
    statistics: dict[str, Any] = {
        "name": "rdkafka#consumer-1",
        "brokers": {"127.0.0.1:9092/1": {"state": "UP", "nodeid": 1}, "GroupCoordinator": {"state": "DOWN", "nodeid": -1}},
        "topics": {
            "news": {"topic": "news", "partitions": {"3": {**partition, **changes}, "-1": {**partition, "desired": False}}}
        },
        "cgrp": {"state": "up", "join_state": "steady", "rebalance_cnt": 4, "assignment_size": 1},
    }
    return json.dumps(statistics)


def test_it_tells_of_the_cluster_the_group_and_the_partitions() -> None:
    """Brokers that are connected, whether it takes part, and where each partition that is wanted stands."""
    statistics = decode_statistics(told())
    assert (statistics.brokers_up, statistics.in_group, statistics.rebalances) == (1, True, 4)
    assert statistics.partitions == {TopicPartition("news", 3): PartitionStatistics(next_fetch=7, end=9, queued=2)}


def test_a_partition_that_nothing_is_known_of_yet_is_left_out() -> None:
    """An offset that librdkafka does not know is -1001 in its words."""
    assert decode_statistics(told(ls_offset=-1)).partitions == {}
    assert decode_statistics(told(next_offset=-1001)).partitions == {}


def test_a_client_without_a_group_is_in_none() -> None:
    """Then there is no word of one."""
    statistics = decode_statistics('{"brokers": {}, "topics": {}}')
    assert (statistics.brokers_up, statistics.in_group, statistics.rebalances) == (0, False, 0)
