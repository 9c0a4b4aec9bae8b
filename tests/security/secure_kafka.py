"""A real Kafka in KRaft mode whose listeners demand what production does, with an authorizer that denies by default.

The plaintext listener is the administrator's: whoever comes by it is a super user. Nothing of the worker goes there.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._scram import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from deploy.local import kafka
from deploy.local.config import StackConfig
from deploy.local.paths import RunFolder
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.process import Server
from tests.security.certificates import Certificates
from tests.security.identity_provider import AUDIENCE, ISSUER

USERS = {name: f"{name}-password" for name in ("score", "alert", "notify", "operator", "nobody")}
"""SCRAM and PLAIN users; `nobody` may do nothing at all."""
LISTENERS = ("ADMIN", "SCRAM", "MTLS", "OAUTH", "EXPIRED", "ELSEWHERE", "CONTROLLER")
_HANDLER = "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"
_SCRAM_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"
_PLAIN_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
_OAUTH_MODULE = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"


@dataclass(frozen=True)
class SecureKafka:
    """The running broker: its server and where each listener is."""

    server: Server
    ports: Mapping[str, int]

    def address(self, listener: str, host: str = LOOPBACK) -> str:
        """host:port of a listener."""
        return f"{host}:{self.ports[listener]}"

    @cached_property
    def admin(self) -> AdminClient:
        """A client that may do everything."""
        return AdminClient({"bootstrap.servers": self.address("ADMIN"), "log_level": 0})


def properties(ports: Mapping[str, int], certificates: Certificates, keys_url: str) -> dict[str, str]:
    """What the broker's configuration has beyond, and instead of, that of the local stack."""
    protocols = {"ADMIN": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", "SCRAM": "SASL_SSL", "OAUTH": "SASL_SSL"}
    names = [name for name in LISTENERS if name != "CONTROLLER"]
    shown = {"EXPIRED": certificates.expired_server, "ELSEWHERE": certificates.elsewhere_server}
    return {
        "controller.quorum.voters": f"1@{LOOPBACK}:{ports['CONTROLLER']}",
        "listeners": ",".join(f"{name}://{LOOPBACK}:{ports[name]}" for name in LISTENERS),
        "advertised.listeners": ",".join(f"{name}://{LOOPBACK}:{ports[name]}" for name in names),
        "listener.security.protocol.map": ",".join(f"{name}:{protocols.get(name, 'SSL')}" for name in LISTENERS),
        "inter.broker.listener.name": "ADMIN",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "ssl.keystore.type": "PEM",
        "ssl.truststore.type": "PEM",
        "ssl.keystore.location": str(certificates.server.both),
        "ssl.truststore.location": str(certificates.authority),
        **{f"listener.name.{name.lower()}.ssl.keystore.location": str(pair.both) for name, pair in shown.items()},
        "listener.name.mtls.ssl.client.auth": "required",
        "listener.name.mtls.ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
        "connection.failed.authentication.delay.ms": "50",
        **_scram(),
        **_oauth(keys_url),
    }


def _scram() -> dict[str, str]:
    passwords = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
    prefix = "listener.name.scram."
    return {
        f"{prefix}sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN",
        f"{prefix}scram-sha-256.sasl.jaas.config": f"{_SCRAM_MODULE} required;",
        f"{prefix}scram-sha-512.sasl.jaas.config": f"{_SCRAM_MODULE} required;",
        f"{prefix}plain.sasl.jaas.config": f"{_PLAIN_MODULE} required {passwords};",
    }


def _oauth(keys_url: str) -> dict[str, str]:
    prefix = "listener.name.oauth."
    return {
        f"{prefix}sasl.enabled.mechanisms": "OAUTHBEARER",
        f"{prefix}oauthbearer.sasl.jaas.config": f"{_OAUTH_MODULE} required;",
        f"{prefix}oauthbearer.sasl.server.callback.handler.class": _HANDLER,
        f"{prefix}oauthbearer.sasl.oauthbearer.jwks.endpoint.url": keys_url,
        f"{prefix}oauthbearer.sasl.oauthbearer.expected.audience": AUDIENCE,
        f"{prefix}oauthbearer.sasl.oauthbearer.expected.issuer": ISSUER,
    }


@contextmanager
def running_kafka(config: StackConfig, run: RunFolder, certificates: Certificates, keys_url: str) -> Iterator[SecureKafka]:
    """Run the broker, with its users, until the block ends.

    Raises:
        LocalStackError: it cannot be had, or does not start.
    """
    ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
    spec = kafka.prepare(config.but(kafka_properties=properties(ports, certificates, keys_url)), run, lambda _line: None)
    java, *rest = spec.command
    allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys_url}"
    server = Server(
        dataclasses.replace(
            spec, command=(java, allowed, *rest), ports=ports, probe=lambda: kafka.probe(ports["ADMIN"], run.log("kafka"))
        )
    )
    try:
        server.start()
        server.wait_ready()
        found = SecureKafka(server, ports)
        _add_users(found.admin)
        yield found
    finally:
        server.stop()


def _add_users(admin: AdminClient) -> None:
    """Give every user a credential of both kinds; 4,096 rounds are the broker's minimum."""
    kinds = (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
    wanted = [
        UserScramCredentialUpsertion(name, ScramCredentialInfo(kind, 4_096), password.encode())
        for name, password in USERS.items()
        for kind in kinds
    ]
    for one in wanted:  # one request may name a user once
        for answer in admin.alter_user_scram_credentials([one]).values():
            answer.result(30)
