"""What holds a run up is told: a transaction that nobody ends, a partition that nobody reads; on a real Kafka."""

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.chaos.observe import TopicNames
from tests.chaos.stage import PARTITIONS
from tests.chaos.standstill import standstill
from tests.conftest import Names


def test_an_open_transaction_and_an_unread_partition_are_told(real_kafka_bootstrap: str, names: Names) -> None:
    """Each in its own words, the groups too."""
    topics = TopicNames(names.prefix)
    admin = AdminClient({"bootstrap.servers": real_kafka_bootstrap, "log_level": 0})
    for future in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics.all]).values():
        future.result(30)
    plain = ck.Producer({"bootstrap.servers": real_kafka_bootstrap, "log_level": 0})
    plain.produce(topics.news, b"{}", partition=2)
    plain.flush(30)
    open_ended = ck.Producer({"bootstrap.servers": real_kafka_bootstrap, "transactional.id": names.prefix, "log_level": 0})
    open_ended.init_transactions(30)
    open_ended.begin_transaction()
    open_ended.produce(topics.predictions, b"{}", partition=1)
    open_ended.flush(30)

    told = standstill(real_kafka_bootstrap, topics)

    assert f"{topics.news}, read by {topics.run}-score: partition 2 at -1001 of 1" in told
    assert f"held up by an open transaction: {topics.predictions}[1] at 0 of 1" in told
    assert f"group {topics.run}-score: dead, partitions by member: no members" in told
    open_ended.abort_transaction(30)
