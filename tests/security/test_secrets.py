"""Planted secrets come out nowhere: not in logs, errors, `tidings check`, dumps or tracebacks, on success and on failure."""

import json
import logging
import sys
import traceback
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import structlog
import yaml
from pydantic import BaseModel, SecretStr, ValidationError

from tests.integration.flow import ROOT
from tests.security.certificates import Certificates
from tests.security.secure_kafka import USERS, SecureKafka
from tests.security.secure_redis import ADMIN_PASSWORD, SecureRedis
from worker import cli
from worker.settings import PREFIX, Settings

MARK = "hunter2"
"""In every planted secret; nothing else has it."""
Run = Callable[..., str]


def secret_fields(model: type[BaseModel] = Settings, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every setting that is a secret, whatever section it is in."""
    found: list[tuple[str, ...]] = []
    for name, field in model.model_fields.items():
        kinds = get_args(field.annotation) or (field.annotation,)
        found += [(*path, name) for kind in kinds if kind is SecretStr]
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found += secret_fields(kind, (*path, name))
    return found


SECRETS = secret_fields()


def variable(path: tuple[str, ...]) -> str:
    """The environment variable of a setting."""
    return PREFIX + "__".join(path).upper()


def planted(kind: str = "") -> str:
    """A secret of its own, of a shape that somebody may choose."""
    return f"{MARK}-{kind}-{uuid.uuid4().hex[:6]}"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Leave structlog and the standard library's logging as they were; the latter says all it can."""
    logging.getLogger().setLevel(logging.DEBUG)
    yield
    logging.getLogger().setLevel(logging.WARNING)
    structlog.reset_defaults()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Run:
    """Runs a command at debug level and returns all that it wrote, on whatever way, with the traceback of what ended it."""
    configure = structlog.configure

    def uncached(**options: Any) -> None:  # a cached logger would write to the standard error of the test before
        configure(**{**options, "cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", uncached)

    def command(*arguments: str, **variables: str) -> str:
        for name, value in {f"{PREFIX}LOG__LEVEL": "debug", **variables}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["tidings", *arguments])
        ended = ""
        try:
            cli.main()
        except SystemExit:
            ended = traceback.format_exc()
        out, err = capfd.readouterr()
        return out + err + ended + caplog.text

    return command


def test_there_are_secrets_to_plant() -> None:
    """The list comes from the settings themselves, so that a new secret is looked after too."""
    assert ("kafka", "sasl_password") in SECRETS
    assert ("redis", "url") in SECRETS
    assert len(SECRETS) >= 6


@pytest.mark.parametrize("path", SECRETS, ids=".".join)
@pytest.mark.parametrize("value", [{"a": MARK}, [MARK], 7, True])
def test_a_malformed_secret_is_refused_in_silence(run: Run, path: tuple[str, ...], value: Any) -> None:
    """Of another shape, in YAML, and as JSON in the environment: refused with its name, not repeated."""
    section = {path[1]: [value, MARK] if isinstance(value, int) else value}
    Path("tidings.yaml").write_text(yaml.safe_dump({path[0]: section}))
    written = run("check")
    assert path[1] in written
    assert MARK not in written
    Path("tidings.yaml").unlink()
    written = run("check", **{f"{PREFIX}{path[0].upper()}": json.dumps(section)})
    assert path[1] in written
    assert MARK not in written


@pytest.mark.parametrize(
    "content",
    [
        f'kafka: {{sasl_password: "{MARK}',
        f"kafka: {{sasl_password: *{MARK}}}",
        f"kafka: {{sasl_password: !{MARK} a}}",
        f"kafka: {{sasl_password: @{MARK}}}",
        f"{MARK}: {MARK}: {MARK}",
        f"redis:\n  url: redis://:{MARK}@host\n bad",
        f"- {MARK}",
    ],
)
def test_a_broken_file_is_not_quoted(run: Run, content: str) -> None:
    """Whatever YAML makes of a secret that has no quotes."""
    Path("tidings.yaml").write_text(content)
    written = run("check")
    assert "tidings.yaml" in written
    assert MARK not in written


@pytest.mark.parametrize(
    "lines", [f"TIDINGS_KAFKA={{{MARK}", f"TIDINGS_REDSI__URL={MARK}", f'TIDINGS_KAFKA__SASL_PASSWORD="{MARK}']
)
def test_a_broken_dotenv_is_not_quoted(run: Run, lines: str) -> None:
    """As for YAML: a mistyped name, JSON that is none, a quote that is not closed."""
    Path(".env").write_text(lines + "\n")
    assert MARK not in run("schema")


def test_combinations_that_are_refused_name_no_secret(run: Run) -> None:
    """A password without its mechanism, one for a key that is not there, a user in two places."""
    for path in SECRETS:
        value = f"redis://:{planted()}@127.0.0.1:9/0?bogus=1" if path[-1] == "url" else planted()
        assert MARK not in run("schema", **{variable(path): value})


def test_settings_with_secrets_can_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Printed, dumped or pickled into a log by hand; and so can the error of settings that were refused."""
    settings = _all_planted(Path("key"))
    for shown in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump()), f"{settings.redis}"):
        assert MARK not in shown
    monkeypatch.setenv("TIDINGS_KAFKA__SASL_PASSWORD", MARK)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert MARK not in str(refused.value)


def _all_planted(file: Path) -> Settings:
    file.touch()
    files = {"ssl_ca_location": file, "ssl_certificate_location": file, "ssl_key_location": file, "ssl_key_password": planted()}
    sasl = {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "me", "sasl_password": planted()}
    redis = {"url": "rediss://127.0.0.1", "username": "me", "password": planted(), **files}
    return Settings.model_validate({"kafka": {**sasl, **files}, "redis": redis})


COMMANDS = [
    ("check",),
    ("check", "--json"),
    ("check", "--create-topics"),
    ("work", "--roles", "score"),
    ("work", "--roles", "alert"),
    ("tail", "alerts", "--from-beginning"),
    ("produce", "news", "tidings.yaml"),
    ("schema",),
]


@pytest.fixture
def wrong(secure_kafka: SecureKafka, secure_redis: SecureRedis, certificates: Certificates) -> dict[str, str]:
    """Real servers, and every secret wrong: what they and their clients have to say is about it."""
    return {
        "TIDINGS_KAFKA__BOOTSTRAP_SERVERS": secure_kafka.address("SCRAM"),
        "TIDINGS_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "TIDINGS_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
        "TIDINGS_KAFKA__SASL_USERNAME": "score",
        "TIDINGS_KAFKA__SASL_PASSWORD": planted(),
        "TIDINGS_KAFKA__SSL_CA_LOCATION": str(certificates.authority),
        "TIDINGS_REDIS__URL": secure_redis.url(f"default:{planted()}@"),
        "TIDINGS_REDIS__SSL_CA_LOCATION": str(certificates.authority),
        "TIDINGS_REDIS__TIMEOUT_S": "1",
        "TIDINGS_MODEL__BACKEND": "onnx",
        "TIDINGS_MODEL__REPOSITORY": str(ROOT / "triton_repo"),
    }


@pytest.mark.real
@pytest.mark.timeout(120)
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_refusal_repeats_no_secret(run: Run, wrong: dict[str, str], arguments: tuple[str, ...]) -> None:
    """Every command, with wrong passwords, by real servers."""
    Path("tidings.yaml").write_text("log: {format: json}\n")
    for name in ("watchlist.yaml", "rules.yaml"):
        Path(name).write_bytes((ROOT / "deploy" / "compose" / name).read_bytes())
    written = run(*arguments, **wrong)
    assert arguments == ("schema",) or "refuses us" in written or "model.onnx" in written
    assert MARK not in written


@pytest.mark.real
@pytest.mark.timeout(120)
def test_a_key_that_its_password_does_not_open_repeats_neither(
    run: Run, wrong: dict[str, str], secure_kafka: SecureKafka, certificates: Certificates
) -> None:
    """For Kafka and for Redis; OpenSSL's own words go through."""
    pair = certificates.client
    files = {"SSL_CERTIFICATE_LOCATION": pair.certificate, "SSL_KEY_LOCATION": pair.locked_key, "SSL_KEY_PASSWORD": planted()}
    both = {f"TIDINGS_{section}__{name}": str(value) for section in ("KAFKA", "REDIS") for name, value in files.items()}
    sasl = {name: value for name, value in wrong.items() if "SASL" not in name}
    where = {"TIDINGS_KAFKA__BOOTSTRAP_SERVERS": secure_kafka.address("MTLS"), "TIDINGS_KAFKA__SECURITY_PROTOCOL": "SSL"}
    written = run("check", **{**sasl, **where, **both})
    assert "ssl.key.location" in written
    assert "redis" in written
    assert MARK not in written


@pytest.mark.real
@pytest.mark.timeout(120)
def test_success_shows_no_secret_either(run: Run, wrong: dict[str, str], secure_redis: SecureRedis) -> None:
    """All is well, and `tidings check` says so without saying how."""
    right = {
        "TIDINGS_KAFKA__SASL_PASSWORD": USERS["score"],
        "TIDINGS_REDIS__URL": secure_redis.url(f"default:{ADMIN_PASSWORD}@"),
    }
    written = run("check", **{**wrong, **right})
    assert "ok   kafka" in written or "kafka: 1 brokers" in written
    assert "redis: version" in written
    assert USERS["score"] not in written
    assert ADMIN_PASSWORD not in written


def test_tracebacks_have_no_locals() -> None:
    """What nobody foresaw ends in Python's own traceback, which shows lines, not values."""
    assert cli.build().pretty_exceptions_enable is False
