"""Real listeners that demand what production does, once for the session: Kafka with SASL, mTLS and an authorizer, and Redis.

Marked `real` by hand where they are used; they are not of the stack that other tests share, which is open to everybody.
"""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.config import StackConfig
from deploy.local.errors import LocalStackError
from deploy.local.paths import RunFolder, new_run
from tests.conftest import _CONFIG, _unavailable
from tests.security.certificates import Certificates
from tests.security.identity_provider import IdentityProvider, serving
from tests.security.secure_kafka import SecureKafka, running_kafka
from tests.security.secure_redis import SecureRedis, running_redis


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The session's authorities and what they issued."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def provider() -> Iterator[IdentityProvider]:
    """A token endpoint that knows one client."""
    with serving(IdentityProvider()) as provider:
        yield provider


@pytest.fixture(scope="session")
def secure_config(pytestconfig: pytest.Config) -> StackConfig:
    """How to start a server of the session's own."""
    return pytestconfig.stash[_CONFIG]


@pytest.fixture(scope="session")
def secure_run(secure_config: StackConfig) -> Iterator[RunFolder]:
    """Where their logs and data lie; the data goes at the end."""
    run = new_run(secure_config.state, None, datetime.datetime.now().astimezone())
    yield run
    run.clear()


@pytest.fixture(scope="session")
def secure_kafka(
    secure_config: StackConfig, secure_run: RunFolder, certificates: Certificates, provider: IdentityProvider
) -> Iterator[SecureKafka]:
    """A broker with a listener for each way to prove who one is, and two that show certificates which prove nothing."""
    try:
        with running_kafka(secure_config, secure_run, certificates, provider.keys_url) as broker:
            yield broker
    except LocalStackError as error:
        _unavailable(error.message)


@pytest.fixture(scope="session")
def secure_redis(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureRedis]:
    """A Redis that lets nobody in without a user, by TLS and without."""
    with running_redis(tmp_path_factory.mktemp("redis"), certificates) as server:
        yield server


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in: no settings of a developer's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
