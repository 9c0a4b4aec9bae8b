"""Settings of the wire, a part of `settings.py`: what each neighbour is to believe of us, and we of it.

Each class is the base of one section and refuses combinations that cannot be meant: a silent setting here would be a
connection less safe than it looks.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FilePath, SecretStr, model_validator


class Section(BaseModel):
    """A section of the settings: no unknown field, no change, and no value repeated in an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)


class KafkaWire(Section):
    """How Kafka knows us, and we it."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """What the listener speaks: TLS with SSL in the name, a proof of who we are with SASL in it."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    """How to prove who we are."""
    sasl_username: str | None = None
    """The user of PLAIN and SCRAM."""
    sasl_password: SecretStr | None = None
    """The password of PLAIN and SCRAM."""
    oauth_token_endpoint: str | None = None
    """URL where OAUTHBEARER gets tokens for client credentials (RFC 6749, 4.4)."""
    oauth_client_id: str | None = None
    """The client's name there."""
    oauth_client_secret: SecretStr | None = None
    """The client's secret there."""
    oauth_scope: str | None = None
    """The scope to ask for there."""
    oauth_ca_location: FilePath | None = None
    """Certificate authority of the token endpoint; by default those that the system trusts."""
    oauth_token_file: FilePath | None = None
    """File with a token (JWT), read again before the token ends: a projected token of Kubernetes."""
    ssl_ca_location: FilePath | None = None
    """Certificate authority of the brokers, PEM; by default those that the system trusts."""
    ssl_certificate_location: FilePath | None = None
    """Our certificate for mTLS, PEM."""
    ssl_key_location: FilePath | None = None
    """Its key, PEM."""
    ssl_key_password: SecretStr | None = None
    """The key's password."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        sasl = self.security_protocol.startswith("SASL")
        oauth = self.sasl_mechanism == "OAUTHBEARER"
        _together(self, "sasl_mechanism", sasl, "security_protocol is SASL_SSL or SASL_PLAINTEXT", needed=sasl)
        for name in ("sasl_username", "sasl_password"):
            _together(self, name, sasl and not oauth, "sasl_mechanism is PLAIN or SCRAM", needed=sasl and not oauth)
        by_file = self.oauth_token_file is not None
        _together(self, "oauth_token_file", oauth, "sasl_mechanism is OAUTHBEARER")
        for name in ("oauth_token_endpoint", "oauth_client_id", "oauth_client_secret"):
            where = "sasl_mechanism is OAUTHBEARER and there is no oauth_token_file"
            _together(self, name, oauth and not by_file, where, needed=oauth and not by_file)
        for name in ("oauth_scope", "oauth_ca_location"):
            _together(self, name, self.oauth_token_endpoint is not None, "oauth_token_endpoint is set")
        _check_tls_files(self, "SSL" in self.security_protocol, "security_protocol is SSL or SASL_SSL")
        return self


class RedisWire(Section):
    """Where Redis is, how it knows us, and we it."""

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """redis://, rediss:// (TLS) or unix://; may hold a password."""
    username: str | None = None
    """The ACL user, if not in the URL."""
    password: SecretStr | None = None
    """The password, if not in the URL."""
    ssl_ca_location: FilePath | None = None
    """Certificate authority of the server, PEM; by default those that the system trusts."""
    ssl_certificate_location: FilePath | None = None
    """Our certificate for mTLS, PEM."""
    ssl_key_location: FilePath | None = None
    """Its key, PEM."""
    ssl_key_password: SecretStr | None = None
    """The key's password."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        url = self.url.get_secret_value()
        scheme, _, rest = url.partition("://")
        _together(self, "username", self.password is not None, "password is set")
        _together(self, "password", "@" not in rest, "the URL holds no user and password of its own")
        _check_tls_files(self, scheme == "rediss", "url begins with rediss://")
        return self


class TritonWire(Section):
    """How Triton knows us, and we it."""

    tls: bool = False
    """Encrypt, and check the server's certificate and host name."""
    ssl_ca_location: FilePath | None = None
    """Certificate authority of the server, PEM; by default gRPC's own list."""
    ssl_certificate_location: FilePath | None = None
    """Our certificate for mTLS, PEM."""
    ssl_key_location: FilePath | None = None
    """Its key, PEM, without a password."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _check_tls_files(self, self.tls, "tls is true")
        return self


class TracingSettings(Section):
    """Spans from producer to alert, for OpenTelemetry; see docs/tracing.md."""

    enabled: bool = False
    """Whether there are any; it needs the extra `tracing`."""
    endpoint: str | None = None
    """URL of a collector's OTLP over HTTP, as http://host:4318/v1/traces; by default what OTEL_EXPORTER_OTLP_* say."""
    share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Of this share of the messages that come without a trace one is begun; the others follow their producer."""


def _together(section: Section, name: str, allowed: bool, where: str, *, needed: bool = False) -> None:
    """Raise ValueError, which pydantic collects, if a setting is there without, or missing with, what it belongs to."""
    there = getattr(section, name) is not None
    if there and not allowed:
        raise ValueError(f"{name} is set, and has a meaning only where {where}")
    if needed and not there:
        raise ValueError(f"{name} is missing: it is needed where {where}")


def _check_tls_files(section: Section, tls: bool, where: str) -> None:
    """See that there are no TLS files without TLS, no certificate without its key, and no key without its certificate."""
    files = {name: getattr(section, name, None) for name in type(section).model_fields if name.startswith("ssl_")}
    for name in files:
        _together(section, name, tls, where)
    certificate, key = files["ssl_certificate_location"], files["ssl_key_location"]
    _together(section, "ssl_key_location", certificate is not None, "ssl_certificate_location is set", needed=bool(certificate))
    if "ssl_key_password" in files:
        _together(section, "ssl_key_password", key is not None, "ssl_key_location is set")
