"""Make the run's topics before anything is sent, and forget those that are in somebody else's Kafka afterwards."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient

from deploy.local.demo.clients import Config
from worker.adapters.kafka import create_topics, topic_plan
from worker.settings import KafkaSettings

_TIMEOUT_S = 30.0


def make_topics(settings: KafkaSettings, config: Config, *, stand_in: bool) -> None:
    """Create what is missing, as `tidings check --create-topics` does.

    The mock broker that stands in for Kafka has no such request; it makes a topic when somebody asks about it.

    Raises:
        RetryableError: the cluster did not answer, or refused.
    """
    if not stand_in:
        create_topics(settings)
        return
    client = ck.Producer(config)
    for spec in topic_plan(settings):
        client.list_topics(spec.name, timeout=_TIMEOUT_S)


def count_partitions(config: Config, topic: str) -> int:
    """Return how many partitions a topic has."""
    return len(ck.Producer(config).list_topics(topic, timeout=_TIMEOUT_S).topics[topic].partitions)


def delete_topics(settings: KafkaSettings, config: Config) -> None:
    """Delete the run's topics and groups; what cannot be deleted stays."""
    admin = AdminClient(config)
    groups = [f"{settings.group_prefix}-{role}" for role in ("score", "alert", "relay")]
    asked: list[Future[None]] = [*admin.delete_topics([spec.name for spec in topic_plan(settings)]).values()]
    asked += admin.delete_consumer_groups(groups).values()
    for answer in asked:
        with contextlib.suppress(ck.KafkaException, TimeoutError):
            answer.result(_TIMEOUT_S)
