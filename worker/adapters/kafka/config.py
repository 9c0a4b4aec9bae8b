"""librdkafka's configuration from our settings, and its errors as ours."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException

from worker.errors import FatalError, RetryableError, SettingsError
from worker.settings import KafkaSettings

log = structlog.get_logger(__name__)
_REPEAT_AFTER_S = 10.0
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
        # What librdkafka has to say comes through `error_logger`; its own lines on standard error are no structured log.
        "log_level": 0,
        "reconnect.backoff.ms": 200,
        "reconnect.backoff.max.ms": 5_000,
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
        # Where the partitions end and whether a broker is connected, for the lag and for /readyz; a few kB of JSON each time.
        "statistics.interval.ms": 2_000,
    }
    if settings.group_protocol == "classic":
        config["partition.assignment.strategy"] = "cooperative-sticky"
        config["session.timeout.ms"] = int(settings.session_timeout_s * 1000)
    return config


def error_logger(client: str) -> Callable[[KafkaError], None]:
    """Return an `error_cb` that logs each different error at most every 10 s; librdkafka repeats itself 20 times a second."""
    logged_at: dict[str, float] = {}

    def on_error(error: KafkaError) -> None:
        now = time.monotonic()
        if now - logged_at.get(error.name(), -_REPEAT_AFTER_S) >= _REPEAT_AFTER_S:
            logged_at[error.name()] = now
            log.warning("kafka client", client=client, error=error.str())

    return on_error


@contextmanager
def configuring() -> Iterator[None]:
    """Raise what librdkafka has against a configuration as SettingsError."""
    try:
        yield
    except KafkaException as error:
        raise SettingsError(f"kafka: {error.args[0].str()}") from error


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise librdkafka's errors within the block as FatalError or RetryableError, saying what was being done."""
    try:
        yield
    except KafkaException as error:
        cause: KafkaError = error.args[0]
        kind = FatalError if cause.fatal() else RetryableError
        raise kind(f"{doing} failed: {cause.str()}") from error
    except TimeoutError as error:
        raise RetryableError(f"{doing} failed: no answer within {TIMEOUT_S:.0f} s") from error
