"""librdkafka's configuration from our settings, and its errors as ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from worker.errors import FatalError, RetryableError
from worker.settings import KafkaSettings

TIMEOUT_S = 30.0
"""How long a call to the cluster may take before it fails."""


def client_config(settings: KafkaSettings) -> dict[str, Any]:
    """Return what every librdkafka client of ours has in common: where the brokers are, and how to prove who we are."""
    secret = settings.sasl_password.get_secret_value() if settings.sasl_password else None
    key_password = settings.ssl_key_password.get_secret_value() if settings.ssl_key_password else None
    config = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
        "sasl.mechanism": settings.sasl_mechanism,
        "sasl.username": settings.sasl_username,
        "sasl.password": secret,
        "ssl.ca.location": settings.ssl_ca_location and str(settings.ssl_ca_location),
        "ssl.certificate.location": settings.ssl_certificate_location and str(settings.ssl_certificate_location),
        "ssl.key.location": settings.ssl_key_location and str(settings.ssl_key_location),
        "ssl.key.password": key_password,
        "receive.message.max.bytes": max(100_000_000, 2 * settings.message_max_bytes),
    }
    return {name: value for name, value in config.items() if value is not None}


def consumer_config(settings: KafkaSettings, group: str) -> dict[str, Any]:
    """Return the configuration of a group member that reads only what is committed, and commits nothing by itself."""
    config = client_config(settings) | {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "max.poll.interval.ms": int(settings.max_poll_interval_s * 1000),
        "fetch.message.max.bytes": settings.message_max_bytes,
        # What librdkafka may fetch ahead of us: memory stays bounded whatever the backlog.
        "queued.max.messages.kbytes": 32 * 1024,
        "fetch.wait.max.ms": 50,
        "group.protocol": settings.group_protocol,
    }
    if settings.group_protocol == "classic":
        config["partition.assignment.strategy"] = "cooperative-sticky"
        config["session.timeout.ms"] = int(settings.session_timeout_s * 1000)
    return config


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise librdkafka's errors within the block as FatalError or RetryableError, saying what was being done."""
    try:
        yield
    except KafkaException as error:
        cause: KafkaError = error.args[0]
        kind = FatalError if cause.fatal() else RetryableError
        raise kind(f"{doing} failed: {cause.str()}") from error
