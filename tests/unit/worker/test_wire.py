from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from worker.wire import KafkaWire, RedisWire, TritonWire

SASL = {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "me", "sasl_password": "word"}
OAUTH = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "OAUTHBEARER",
    "oauth_token_endpoint": "https://issuer.test/token",
    "oauth_client_id": "me",
    "oauth_client_secret": "word",
}
PAIR = {"ssl_certificate_location": "file", "ssl_key_location": "file"}
TLS = {"security_protocol": "SSL"}
REDISS = {"url": "rediss://host"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which `file` is a file."""
    monkeypatch.chdir(tmp_path)
    Path("file").touch()


def without(values: dict[str, Any], name: str) -> dict[str, Any]:
    """All but one."""
    return {key: value for key, value in values.items() if key != name}


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (KafkaWire, {}),
        (KafkaWire, SASL),
        (KafkaWire, SASL | {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"}),
        (KafkaWire, SASL | {"ssl_ca_location": "file"} | PAIR),
        (KafkaWire, TLS | PAIR | {"ssl_key_password": "word"}),
        (KafkaWire, OAUTH | {"oauth_scope": "events", "oauth_ca_location": "file"}),
        (KafkaWire, {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "oauth_token_file": "file"}),
        (RedisWire, {}),
        (RedisWire, {"password": "word"}),
        (RedisWire, REDISS | PAIR | {"username": "me", "password": "word", "ssl_ca_location": "file", "ssl_key_password": "w"}),
        (RedisWire, {"url": "redis://me:word@host"}),
        (TritonWire, {"tls": True, "ssl_ca_location": "file"} | PAIR),
    ],
)
def test_what_fits_together_is_taken(model: type[BaseModel], values: dict[str, Any]) -> None:
    """Every way that docs/security.md names."""
    model.model_validate(values)


@pytest.mark.parametrize(
    ("model", "values", "says"),
    [
        (KafkaWire, without(SASL, "security_protocol"), "sasl_mechanism is set.*security_protocol"),
        (KafkaWire, without(SASL, "sasl_mechanism"), "sasl_mechanism is missing"),
        (KafkaWire, without(SASL, "sasl_username"), "sasl_username is missing"),
        (KafkaWire, without(SASL, "sasl_password"), "sasl_password is missing"),
        (KafkaWire, {"sasl_password": "word"}, "sasl_password is set"),
        (KafkaWire, SASL | {"sasl_mechanism": "GSSAPI"}, "sasl_mechanism"),
        (KafkaWire, OAUTH | {"sasl_password": "word"}, "sasl_password is set"),
        (KafkaWire, OAUTH | {"oauth_token_file": "file"}, "oauth_token_endpoint is set"),
        (KafkaWire, without(OAUTH, "oauth_client_secret"), "oauth_client_secret is missing"),
        (KafkaWire, without(OAUTH, "oauth_token_endpoint"), "oauth_token_endpoint is missing"),
        (KafkaWire, SASL | {"oauth_client_id": "me"}, "oauth_client_id is set"),
        (KafkaWire, SASL | {"oauth_scope": "events"}, "oauth_scope is set"),
        (KafkaWire, {"ssl_ca_location": "file"}, "ssl_ca_location is set.*security_protocol"),
        (KafkaWire, TLS | {"ssl_ca_location": "missing"}, "ssl_ca_location"),
        (KafkaWire, TLS | {"ssl_certificate_location": "file"}, "ssl_key_location is missing"),
        (KafkaWire, TLS | {"ssl_key_location": "file"}, "ssl_key_location is set.*ssl_certificate_location"),
        (KafkaWire, TLS | {"ssl_key_password": "word"}, "ssl_key_password is set"),
        (RedisWire, {"username": "me"}, "username is set"),
        (RedisWire, {"url": "redis://me:word@host", "password": "word"}, "password is set.*URL"),
        (RedisWire, {"ssl_ca_location": "file"}, "ssl_ca_location is set.*rediss://"),
        (RedisWire, REDISS | {"ssl_certificate_location": "file"}, "ssl_key_location is missing"),
        (TritonWire, {"ssl_ca_location": "file"}, "ssl_ca_location is set.*tls"),
        (TritonWire, {"tls": True, "ssl_key_location": "file"}, "ssl_key_location is set"),
    ],
)
def test_what_cannot_be_meant_is_refused(model: type[BaseModel], values: dict[str, Any], says: str) -> None:
    """By the setting's name, and without its value."""
    with pytest.raises(ValidationError, match=says) as refused:
        model.model_validate(values)
    assert "word" not in str(refused.value).replace("password", "")
