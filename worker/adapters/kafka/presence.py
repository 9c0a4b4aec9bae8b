"""Whether the cluster answers, and has the topics that a role needs."""

from collections.abc import Collection

from confluent_kafka.admin import AdminClient

from worker.adapters.kafka.config import client_config, configuring, translated
from worker.errors import RetryableError
from worker.settings import KafkaSettings

_TIMEOUT_S = 5.0


def require_topics(settings: KafkaSettings, names: Collection[str]) -> None:
    """Ask the cluster for its topics, and do not make any by asking.

    Raises:
        RetryableError: the cluster does not answer within 5 s, or a topic is missing, or hidden from us by its permissions.
    """
    with configuring():
        admin = AdminClient(client_config(settings))
    with translated(f"asking the brokers at {settings.bootstrap_servers}"):
        there = {name for name, topic in admin.list_topics(timeout=_TIMEOUT_S).topics.items() if topic.partitions}
    if missing := sorted(set(names) - there):
        raise RetryableError(
            f"no topic {', '.join(missing)} (or none that this user may see);"
            " `tidings check --create-topics` makes what is missing"
        )
