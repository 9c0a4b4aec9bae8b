"""The few of librdkafka's statistics that we show; see https://github.com/confluentinc/librdkafka/blob/master/STATISTICS.md."""

import msgspec

from worker.messages import TopicPartition
from worker.ports import PartitionStatistics, SourceStatistics


class _Broker(msgspec.Struct):
    state: str


class _Group(msgspec.Struct):
    join_state: str
    rebalance_cnt: int


class _Partition(msgspec.Struct):
    partition: int
    desired: bool
    fetchq_cnt: int
    next_offset: int
    ls_offset: int


class _Topic(msgspec.Struct):
    partitions: dict[str, _Partition]


class _Statistics(msgspec.Struct):
    brokers: dict[str, _Broker]
    topics: dict[str, _Topic]
    cgrp: _Group | None = None


_decoder = msgspec.json.Decoder(_Statistics)


def decode_statistics(text: str) -> SourceStatistics:
    """Return what librdkafka's JSON tells of our partitions, whose positions and ends are known; the rest is passed over."""
    told = _decoder.decode(text)
    return SourceStatistics(
        brokers_up=sum(broker.state == "UP" for broker in told.brokers.values()),
        in_group=told.cgrp is not None and told.cgrp.join_state == "steady",
        rebalances=told.cgrp.rebalance_cnt if told.cgrp else 0,
        partitions={
            TopicPartition(topic, number.partition): PartitionStatistics(
                number.next_offset, number.ls_offset, number.fetchq_cnt
            )
            for topic, its in told.topics.items()
            for number in its.partitions.values()
            if number.desired and number.next_offset >= 0 and number.ls_offset >= 0
        },
    )
