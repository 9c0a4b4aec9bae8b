"""Kafka with real listeners: who proves who they are is let in, everybody else is told why not, and soon."""

import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.cimpl import NewTopic
from pydantic import SecretStr

from tests.contract.kafka_brokers import Member
from tests.security.certificates import KEY_PASSWORD, Certificates
from tests.security.identity_provider import CLIENT_ID, CLIENT_SECRET, SCOPE, IdentityProvider
from tests.security.secure_kafka import USERS, SecureKafka
from worker.adapters.kafka import KafkaSink, KafkaSource, PlainProducer, PlainReader, inspect
from worker.errors import FatalError, RetryableError, SettingsError
from worker.messages import OutRecord, TopicPartition
from worker.settings import KafkaSettings

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]
BOUND_S = 8.0
"""A refusal is told within this time, on a busy machine."""
Change = dict[str, Any]
Make = Callable[..., KafkaSettings]


@pytest.fixture(scope="session")
def topic(secure_kafka: SecureKafka) -> str:
    """A topic that the user `score` and the certificate `worker` may read and write, as transactions and in groups."""
    name = f"wire.{uuid.uuid4().hex[:8]}"
    for future in secure_kafka.admin.create_topics([NewTopic(name, 1, 1)]).values():
        future.result(30)
    wanted = [
        (ResourceType.TOPIC, name),
        (ResourceType.GROUP, "wire"),
        (ResourceType.TRANSACTIONAL_ID, "wire"),
    ]
    bindings = [
        AclBinding(
            kind,
            resource,
            ResourcePatternType.PREFIXED,
            f"User:{user}",
            "*",
            AclOperation.ALL,
            AclPermissionType.ALLOW,
        )
        for kind, resource in wanted
        for user in ("score", "worker")
    ]
    for future in secure_kafka.admin.create_acls(bindings).values():
        future.result(30)
    return name


@pytest.fixture
def make(secure_kafka: SecureKafka, certificates: Certificates, provider: IdentityProvider, topic: str) -> Make:
    """Settings for a listener, right in every way but for the changes; None takes a setting away."""
    scram = {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "score"}
    mtls = {
        "security_protocol": "SSL",
        "ssl_certificate_location": certificates.client.certificate,
        "ssl_key_location": certificates.client.key,
    }
    oauth = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "OAUTHBEARER",
        "oauth_token_endpoint": provider.token_url,
        "oauth_client_id": CLIENT_ID,
        "oauth_client_secret": SecretStr(CLIENT_SECRET),
        "oauth_scope": SCOPE,
    }
    right: dict[str, Change] = {
        "SCRAM": {**scram, "sasl_password": SecretStr(USERS["score"])},
        "MTLS": mtls,
        "OAUTH": oauth,
        "EXPIRED": {"security_protocol": "SSL"},
        "ELSEWHERE": {"security_protocol": "SSL"},
        "ADMIN": {},
    }

    def settings(listener: str, host: str = "127.0.0.1", **changes: Any) -> KafkaSettings:
        authority = {} if listener == "ADMIN" else {"ssl_ca_location": certificates.authority}
        values = {**authority, **right[listener], "bootstrap_servers": secure_kafka.address(listener, host), **changes}
        return KafkaSettings(
            input_topics={topic: "news"},
            group_prefix="wire",
            session_timeout_s=6,
            transaction_timeout_s=10,
            **{name: value for name, value in values.items() if value is not None},
        )

    return settings


def token_file(path: Path, provider: IdentityProvider, **claims: Any) -> Path:
    """A file with a token, as Kubernetes projects it."""
    path.write_text(provider.token(**claims) + "\n")
    return path


RIGHT: dict[str, tuple[str, Change]] = {
    "SCRAM-SHA-512": ("SCRAM", {}),
    "SCRAM-SHA-256": ("SCRAM", {"sasl_mechanism": "SCRAM-SHA-256"}),
    "PLAIN": ("SCRAM", {"sasl_mechanism": "PLAIN"}),
    "mTLS": ("MTLS", {}),
    "OAUTHBEARER": ("OAUTH", {}),
}


@pytest.mark.parametrize("way", RIGHT)
def test_who_proves_who_they_are_works_end_to_end(make: Make, topic: str, way: str) -> None:
    """Inspecting, a transaction with offsets, reading in a group and without: each client of ours takes the same settings."""
    listener, changes = RIGHT[way]
    _works(make(listener, **changes), topic)


def _works(settings: KafkaSettings, topic: str) -> None:
    assert inspect(settings).topics[0].partitions == 1
    own = uuid.uuid4().hex
    value = own.encode()
    with (
        closing(KafkaSource(settings, f"wire-{own}")) as source,
        closing(KafkaSink(settings, f"wire-{own}")) as sink,
        closing(PlainReader(settings, [topic], from_beginning=True)) as reader,
    ):
        member = Member(source, topic)
        producer = PlainProducer(settings)
        producer.require(topic)
        producer.send(OutRecord(topic, None, b"plain-" + value))
        producer.flush()
        while b"plain-" + value not in member.values():
            member.poll()
        sink.commit([OutRecord(topic, None, value)], {TopicPartition(topic, 0): 1}, source.group_metadata())
        assert source.committed([TopicPartition(topic, 0)]) == {TopicPartition(topic, 0): 1}
        deadline = time.monotonic() + 30
        while value not in {record.value for record in reader.read(0.5)}:
            assert time.monotonic() < deadline


def test_a_key_may_have_a_password(make: Make, certificates: Certificates) -> None:
    """The key on the disk need not be in clear."""
    settings = make("MTLS", ssl_key_location=certificates.client.locked_key, ssl_key_password=SecretStr(KEY_PASSWORD))
    assert inspect(settings).topics[0].partitions == 1


def test_a_token_is_read_again_from_its_file(make: Make, provider: IdentityProvider, tmp_path: Path, topic: str) -> None:
    """Kubernetes replaces a projected token before it ends; whoever connects then shows the new one."""
    file = token_file(tmp_path / "token", provider, lifetime_s=8)
    nothing = dict.fromkeys(("oauth_token_endpoint", "oauth_client_id", "oauth_client_secret", "oauth_scope"))
    settings = make("OAUTH", oauth_token_file=file, **nothing)
    with closing(PlainReader(settings, [topic], from_beginning=True)) as reader:
        token_file(file, provider, subject=CLIENT_ID, lifetime_s=600)
        began = time.monotonic()
        while time.monotonic() - began < 9:  # past the end of the first token; the broker ends what was not renewed
            list(reader.read(0.5))
        producer = PlainProducer(settings)
        producer.send(OutRecord(topic, None, b"after the first token's end"))
        producer.flush()
        deadline = time.monotonic() + 20
        while b"after the first token's end" not in {record.value for record in reader.read(0.5)}:
            assert time.monotonic() < deadline


def wrong(certificates: Certificates) -> dict[str, tuple[str, Change, str]]:
    """Every way to be wrong: listener, change, and what the refusal must say."""
    foreign, late = certificates.foreign_client, certificates.expired_client
    ca = r"kafka\.ssl_ca_location"
    ours = r"kafka\.ssl_certificate_location"
    password = {"sasl_password": SecretStr("hunter2-hunter2")}
    plain = dict.fromkeys(("sasl_mechanism", "sasl_username", "sasl_password", "ssl_ca_location"))
    return {
        "password": ("SCRAM", password, r"kafka\.sasl_password"),
        "password of PLAIN": ("SCRAM", {**password, "sasl_mechanism": "PLAIN"}, r"kafka\.sasl_password"),
        "unknown user": ("SCRAM", {"sasl_username": "stranger"}, r"kafka\.sasl_username"),
        "mechanism": ("OAUTH", _as_scram(), r"kafka\.sasl_mechanism.*"),
        "authority": ("SCRAM", {"ssl_ca_location": certificates.other_authority}, ca + r".*(self-signed|issuer)"),
        "no authority": ("SCRAM", {"ssl_ca_location": None}, ca),
        "expired": ("EXPIRED", {}, ca + ".*expired"),
        "host name": ("ELSEWHERE", {}, r"kafka\.bootstrap_servers.*(IP address|[Hh]ostname) mismatch"),
        "no certificate": ("MTLS", {"ssl_certificate_location": None, "ssl_key_location": None}, ours),
        "certificate of another authority": ("MTLS", _pair(foreign.certificate, foreign.key), ours),
        "expired certificate": ("MTLS", _pair(late.certificate, late.key), ours),
        "plain text to TLS": ("SCRAM", {**plain, "security_protocol": "PLAINTEXT"}, r"security_protocol.*set it to SSL"),
        "SASL in plain text to TLS": (
            "SCRAM",
            {"security_protocol": "SASL_PLAINTEXT", "ssl_ca_location": None},
            r"security_protocol.*set it to SASL_SSL",
        ),
        "client secret": ("OAUTH", {"oauth_client_secret": SecretStr("hunter2-hunter2")}, r"kafka\.oauth_client_secret"),
    }


def _pair(certificate: Path, key: Path) -> Change:
    return {"ssl_certificate_location": certificate, "ssl_key_location": key}


def _as_scram() -> Change:
    nothing: Change = dict.fromkeys(("oauth_token_endpoint", "oauth_client_id", "oauth_client_secret", "oauth_scope"))
    return {**nothing, "sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "score", "sasl_password": SecretStr("any")}


WRONG = (
    "password",
    "password of PLAIN",
    "unknown user",
    "mechanism",
    "authority",
    "no authority",
    "expired",
    "host name",
    "no certificate",
    "certificate of another authority",
    "expired certificate",
    "plain text to TLS",
    "SASL in plain text to TLS",
    "client secret",
)


@pytest.mark.parametrize("way", WRONG)
def test_who_does_not_is_told_why_and_soon(make: Make, certificates: Certificates, way: str) -> None:
    """A refusal is a wrong setting that is named, not a broker to wait for; no secret is in it."""
    listener, changes, says = wrong(certificates)[way]
    began = time.monotonic()
    with pytest.raises(SettingsError, match=says) as refused:
        inspect(make(listener, **changes))
    assert time.monotonic() - began < BOUND_S
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("way", ["password", "authority", "no certificate"])
def test_every_client_tells_of_a_refusal(make: Make, certificates: Certificates, topic: str, way: str) -> None:
    """The transactional producer, which the worker builds first, and the reader and producer of the commands."""
    listener, changes, says = wrong(certificates)[way]
    settings = make(listener, **changes)
    for use in (
        lambda: KafkaSink(settings, "wire-refused"),
        lambda: PlainReader(settings, [topic], from_beginning=True),
        lambda: PlainProducer(settings).require(topic),
    ):
        with pytest.raises(SettingsError, match=says):
            use()


def test_the_table_of_wrong_ways_is_whole(certificates: Certificates) -> None:
    """Each has a test."""
    assert set(WRONG) == set(wrong(certificates))


@pytest.mark.parametrize(
    ("key", "password", "says"),
    [("client.locked.key", SecretStr("hunter2"), r"ssl\.key\.location"), ("foreign.key", None, "key")],
)
def test_a_key_that_does_not_fit_is_a_wrong_setting(
    make: Make, certificates: Certificates, key: str, password: SecretStr | None, says: str
) -> None:
    """Said when the client is built, before anything goes over the wire; the password is not repeated."""
    with pytest.raises(SettingsError, match=says) as refused:
        inspect(make("MTLS", ssl_key_location=certificates.client.key.with_name(key), ssl_key_password=password))
    assert "hunter2" not in str(refused.value)


def test_a_token_endpoint_that_is_away_is_waited_for(make: Make) -> None:
    """It may come back, so it is not a wrong setting; nor is a broker that is away."""
    nobody = "http://127.0.0.1:9/token"
    with pytest.raises(RetryableError):
        inspect(make("OAUTH", oauth_token_endpoint=nobody))


def test_a_token_file_that_cannot_be_read_is_named(make: Make, tmp_path: Path) -> None:
    """No token, no connection; the file's content is not repeated."""
    file = tmp_path / "token"
    file.write_text("hunter2-hunter2")
    nothing = dict.fromkeys(("oauth_token_endpoint", "oauth_client_id", "oauth_client_secret", "oauth_scope"))
    with pytest.raises(SettingsError, match=r"kafka\.oauth_token_file") as refused:
        inspect(make("OAUTH", oauth_token_file=file, **nothing))
    assert "hunter2" not in str(refused.value)


def test_a_user_without_permissions_is_told_what_to_grant(make: Make, topic: str) -> None:
    """Known, and not allowed: another matter than a wrong password, and no reason to wait either."""
    settings = make("SCRAM", sasl_username="nobody", sasl_password=SecretStr(USERS["nobody"]))
    assert inspect(settings).topics[0].denied == ("describe",)
    with pytest.raises(FatalError, match="grant the worker's principal Write on the transactional id"):
        KafkaSink(settings, "wire-nobody")
    with closing(KafkaSource(settings, "wire-nobody")) as source:
        member = Member(source, topic)
        with pytest.raises(FatalError, match=r"grant the worker's principal Read"):
            _poll_for(member, 20)


def _poll_for(member: Member, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        member.poll()
