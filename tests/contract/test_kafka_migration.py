"""Topics on a real Kafka brought to what is needed, and found so the second time."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.contract.kafka_brokers import RealBroker
from worker.adapters.kafka import carry_out, find_topics, wanted_topics
from worker.migration.steps import Step, steps
from worker.settings import KafkaSettings, Topics

pytestmark = pytest.mark.real


@pytest.fixture
def broker(real_kafka_bootstrap: str) -> Iterator[RealBroker]:
    """The real Kafka."""
    with ExitStack() as stack:
        yield RealBroker(real_kafka_bootstrap, stack)


def due(kafka: KafkaSettings) -> list[Step]:
    """What is to be done now."""
    found = find_topics(kafka)
    return [step for topic in wanted_topics(kafka) for step in steps(topic, found[topic.name]) if step.do != "nothing"]


def test_topics_are_made_grown_and_set_once(broker: RealBroker) -> None:
    """Missing ones are made, one of ours grows and is kept longer, keyed ones stay; then nothing is due but that."""
    short, keyed = broker.topic(1, **{"retention.ms": "1000", "cleanup.policy": "compact"}), broker.topic(1)
    prefix = f"{short}.made"
    names = {name: f"{prefix}.{name}" for name in Topics.model_fields} | {"predictions": short, "signals": keyed}
    own = {"input_topics": {f"{prefix}.news": "news"}, "topics": names, "partitions": 2, "replication_factor": 1}
    kafka = KafkaSettings.model_validate(broker.settings.model_dump() | own)
    first = due(kafka)
    assert {(step.do, step.setting) for step in first if step.topic == short} == {
        ("grow", ""),
        ("set", "cleanup.policy"),
        ("set", "retention.ms"),
    }
    assert len([step for step in first if step.do == "create"]) == 6
    carry_out(kafka, first)
    deadline = time.monotonic() + 20
    while (
        len(left := due(kafka)) > 1 and time.monotonic() < deadline
    ):  # a broker hears of what the controller did a moment later
        time.sleep(0.2)
    assert [(step.topic, step.do) for step in left] == [(keyed, "tell")]
    assert find_topics(kafka)[short].partitions == 2
