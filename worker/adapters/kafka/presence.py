"""Whether the cluster answers, and has the topics that a role needs."""

from collections.abc import Mapping
from typing import Literal

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from worker.adapters.kafka.config import client_config, configuring, translated
from worker.adapters.kafka.refusals import Refusals, grant
from worker.errors import FatalError, RetryableError
from worker.settings import KafkaSettings

_TIMEOUT_S = 5.0


def require_topics(settings: KafkaSettings, uses: Mapping[str, Literal["Read", "Write"]]) -> None:
    """Ask the cluster for its topics, and do not make any by asking; `uses` says what each is needed for.

    Raises:
        RetryableError: the cluster does not answer within 5 s, or a topic is missing.
        SettingsError: the cluster refuses us.
        FatalError: a topic may be there, but we may not use it.
    """
    refusals = Refusals("admin", settings)
    with configuring():
        admin = AdminClient(client_config(settings) | {"error_cb": refusals})
    with translated(f"asking the brokers at {settings.bootstrap_servers}"):
        found = refusals.answer(lambda timeout_s: admin.list_topics(timeout=timeout_s), admin.poll, _TIMEOUT_S)
    there = {name for name, topic in found.topics.items() if topic.partitions}
    missing = sorted(uses.keys() - there)
    if not missing:
        return
    for name in missing:
        if needed := _needed(admin, name, uses[name]):
            raise FatalError(f"the topic {name} is hidden from us; {needed}")
    raise RetryableError(f"no topic {', '.join(missing)}; `tidings check --create-topics` makes what is missing")


def _needed(admin: AdminClient, topic: str, use: str) -> str | None:
    """What to grant, None where the topic is simply not there."""
    answers = admin.describe_topics(TopicCollection([topic]), request_timeout=_TIMEOUT_S)
    try:
        answers[topic].result(2 * _TIMEOUT_S)
    except KafkaException as error:
        return grant(error.args[0], topic=topic, doing=use)
    except TimeoutError:
        return None
    return None
