"""librdkafka's configuration from our settings, and its errors as ours."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import KafkaException
from pydantic import SecretStr

from worker.adapters.kafka.refusals import translate
from worker.errors import RetryableError, SettingsError
from worker.settings import KafkaSettings

TIMEOUT_S = 30.0
"""How long a call to the cluster may take before it fails."""


def client_config(settings: KafkaSettings) -> dict[str, Any]:
    """Return what every librdkafka client of ours has in common: where the brokers are, and how to prove who we are."""
    config = {
        "bootstrap.servers": settings.bootstrap_servers,
        # What librdkafka has to say comes through `Refusals`; its own lines on standard error are no structured log.
        "log_level": 0,
        "reconnect.backoff.ms": 200,
        "reconnect.backoff.max.ms": 5_000,
        "receive.message.max.bytes": max(100_000_000, 2 * settings.message_max_bytes),
        **_security(settings),
    }
    return {name: value for name, value in config.items() if value is not None}


def _security(settings: KafkaSettings) -> dict[str, Any]:
    return {
        "security.protocol": settings.security_protocol,
        "sasl.mechanism": settings.sasl_mechanism,
        "sasl.username": settings.sasl_username,
        "sasl.password": _secret(settings.sasl_password),
        "ssl.ca.location": _path(settings.ssl_ca_location),
        "ssl.certificate.location": _path(settings.ssl_certificate_location),
        "ssl.key.location": _path(settings.ssl_key_location),
        "ssl.key.password": _secret(settings.ssl_key_password),
        # librdkafka's default, written down: a certificate for another host is no good.
        "ssl.endpoint.identification.algorithm": "https",
        **(_oauth(settings) if settings.sasl_mechanism == "OAUTHBEARER" else {}),
    }


def _oauth(settings: KafkaSettings) -> dict[str, Any]:
    if settings.oauth_token_file is not None:
        read_token(settings.oauth_token_file)  # what is wrong with it is said now; librdkafka would only wait for a token
        return {"oauth_cb": partial(read_token, settings.oauth_token_file)}
    return {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": settings.oauth_token_endpoint,
        "sasl.oauthbearer.client.id": settings.oauth_client_id,
        "sasl.oauthbearer.client.secret": _secret(settings.oauth_client_secret),
        "sasl.oauthbearer.scope": settings.oauth_scope,
        "https.ca.location": _path(settings.oauth_ca_location),
    }


def read_token(path: Path, _config: str = "") -> tuple[str, float, str, dict[str, str]]:
    """Return the token in a file, the second of the epoch at which it ends, whose it is, and no extensions.

    librdkafka asks when four fifths of the token's life are over, and so finds the token that Kubernetes has put there since.
    What the token says of itself is for the broker to check.

    Raises:
        SettingsError: there is no file, or it holds no JSON Web Token (RFC 7519) with an end.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
        body = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=_Claims)
    except OSError as error:
        raise SettingsError(f"kafka.oauth_token_file: {path} cannot be read: {error.strerror}") from error
    except (ValueError, IndexError, msgspec.DecodeError) as error:
        raise SettingsError(f"kafka.oauth_token_file: {path} holds no JSON Web Token with a subject and an end") from error
    return token, claims.exp, claims.sub, {}


class _Claims(msgspec.Struct):
    exp: float
    sub: str


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None


def _path(value: Path | None) -> str | None:
    return str(value) if value else None


def consumer_config(settings: KafkaSettings, group: str) -> dict[str, Any]:
    """Return the configuration of a group member that reads only what is committed, and commits nothing by itself."""
    config = client_config(settings) | {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # For readers of what is there; a group's member must not, see `KafkaSource`.
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
        raise translate(doing, error.args[0]) from error
    except TimeoutError as error:
        raise RetryableError(f"{doing} failed: no answer within {TIMEOUT_S:.0f} s") from error
