"""Kafka through confluent-kafka: the only package that imports it."""

from worker.adapters.kafka.admin import ClusterReport, TopicSpec, create_topics, inspect, topic_plan
from worker.adapters.kafka.alter import carry_out, find_topics, wanted_topics
from worker.adapters.kafka.at_least_once import AtLeastOnceSink
from worker.adapters.kafka.best_effort import BestEffortProducer
from worker.adapters.kafka.controls import KafkaControls
from worker.adapters.kafka.history import KafkaHistory
from worker.adapters.kafka.offsets import OffsetsSink
from worker.adapters.kafka.plain import PlainProducer, PlainReader
from worker.adapters.kafka.presence import require_topics
from worker.adapters.kafka.resender import Resender
from worker.adapters.kafka.sink import KafkaSink
from worker.adapters.kafka.snapshot import TopicSnapshot
from worker.adapters.kafka.source import KafkaSource

__all__ = [
    "AtLeastOnceSink",
    "BestEffortProducer",
    "ClusterReport",
    "KafkaControls",
    "KafkaHistory",
    "KafkaSink",
    "KafkaSource",
    "OffsetsSink",
    "PlainProducer",
    "PlainReader",
    "Resender",
    "TopicSnapshot",
    "TopicSpec",
    "carry_out",
    "create_topics",
    "find_topics",
    "inspect",
    "require_topics",
    "topic_plan",
    "wanted_topics",
]
