"""Redis with real listeners: TLS, certificates, ACL users; right ones work, wrong ones are told why."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.security.certificates import KEY_PASSWORD, Certificates
from tests.security.secure_redis import SecureRedis, running_redis
from worker.errors import FatalError, RetryableError, SettingsError, TidingsError
from worker.messages import TopicPartition
from worker.ports import AlertCommit
from worker.settings import RedisSettings, Settings
from worker.stores import connect_store

pytestmark = pytest.mark.real
PARTITION = TopicPartition("sentiment.signals", 0)
BAD_PASSWORD = "hunter2-hunter2"  # noqa: S105 - the wrong one
PASSWORD = "alert-password-of-the-test"  # noqa: S105 - no secret: the server lives as long as the test
BOUND_S = 8.0
Options = dict[str, Any]


def add_user(server: SecureRedis) -> None:
    """A user who may do everything."""
    server.admin.execute_command(*f"ACL SETUSER tidings on >{PASSWORD} ~* &* +@all".split())


@pytest.fixture(scope="module")
def demanding(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureRedis]:
    """A server that wants a certificate of its clients."""
    with running_redis(tmp_path_factory.mktemp("redis"), certificates, wants_certificate=True) as server:
        add_user(server)
        yield server


@pytest.fixture
def server(secure_redis: SecureRedis) -> SecureRedis:
    """The session's server, with a user who may do everything."""
    add_user(secure_redis)
    return secure_redis


def use(**redis: Any) -> None:
    """Do with these settings what the alert role does first: ask the version, load, commit."""
    settings = Settings(redis=RedisSettings(timeout_s=1, **redis))
    with closing(connect_store(settings)) as store:
        store.version()
        found = store.load(PARTITION)
        offset = found.next_offset if found else None
        store.commit(
            AlertCommit(
                partition=PARTITION,
                expected_offset=offset,
                next_offset=(offset or 0) + 1,
                max_event_time_ms=1,
                states={},
                due={},
                events=(),
            )
        )


def user(**changes: Any) -> Options:
    """The right user beside the URL."""
    return {"username": "tidings", "password": PASSWORD, **changes}


def pair(certificates: Certificates, name: str = "client") -> Options:
    """A certificate of ours with its key."""
    issued = getattr(certificates, name)
    return {"ssl_certificate_location": issued.certificate, "ssl_key_location": issued.key}


def test_tls_with_a_user_beside_the_url(server: SecureRedis, certificates: Certificates) -> None:
    """The authority is our own, host names are checked, and no password is in the URL."""
    use(url=server.url(), ssl_ca_location=certificates.authority, **user())
    use(url=server.url(host="localhost"), ssl_ca_location=certificates.authority, **user())


def test_tls_with_a_user_in_the_url(server: SecureRedis, certificates: Certificates) -> None:
    """As before, and so for a compose file."""
    use(url=server.url(f"tidings:{PASSWORD}@"), ssl_ca_location=certificates.authority)


def test_a_user_without_tls(server: SecureRedis) -> None:
    """Within one machine, say."""
    use(url=server.url(tls=False), **user())


def test_mtls(demanding: SecureRedis, certificates: Certificates) -> None:
    """Our certificate, and a key with a password."""
    use(url=demanding.url(), ssl_ca_location=certificates.authority, **user(), **pair(certificates))
    locked = {"ssl_key_location": certificates.client.locked_key, "ssl_key_password": KEY_PASSWORD}
    use(url=demanding.url(), ssl_ca_location=certificates.authority, **user(), **(pair(certificates) | locked))


def wrong(server: SecureRedis, demanding: SecureRedis, certificates: Certificates) -> dict[str, tuple[Options, type, str]]:
    """Every way to be wrong: settings, the error and what it must say."""
    ca = {"ssl_ca_location": certificates.authority}
    credentials = r"redis\.username and redis\.password"
    ours = r"redis\.ssl_certificate_location"
    other = {"ssl_ca_location": certificates.other_authority}
    return {
        "password": ({"url": server.url(), **ca, **user(password=BAD_PASSWORD)}, FatalError, credentials),
        "user": ({"url": server.url(), **ca, **user(username="stranger")}, FatalError, credentials),
        "no user": ({"url": server.url(), **ca}, FatalError, credentials),
        "authority": ({"url": server.url(), **other, **user()}, SettingsError, r"redis\.ssl_ca_location"),
        "no authority": ({"url": server.url(), **user()}, SettingsError, r"redis\.ssl_ca_location"),
        "plain text to TLS": ({"url": server.url().replace("rediss", "redis"), **user()}, SettingsError, "rediss://"),
        "TLS to plain text": (
            {"url": server.url(tls=False).replace("redis:", "rediss:"), **ca, **user()},
            RetryableError,
            r"redis\.url",
        ),
        "no certificate": ({"url": demanding.url(), **ca, **user()}, SettingsError, ours),
        "certificate of another authority": (
            {"url": demanding.url(), **ca, **user(), **pair(certificates, "foreign_client")},
            SettingsError,
            ours,
        ),
        "expired certificate": (
            {"url": demanding.url(), **ca, **user(), **pair(certificates, "expired_client")},
            SettingsError,
            ours,
        ),
    }


WRONG = (
    "password",
    "user",
    "no user",
    "authority",
    "no authority",
    "plain text to TLS",
    "TLS to plain text",
    "no certificate",
    "certificate of another authority",
    "expired certificate",
)


@pytest.mark.parametrize("way", WRONG)
def test_who_is_wrong_is_told_why_and_soon(
    server: SecureRedis, demanding: SecureRedis, certificates: Certificates, way: str
) -> None:
    """A refusal names the setting and is nothing to wait for; no secret is in it."""
    options, kind, says = wrong(server, demanding, certificates)[way]
    _refused(lambda: use(**options), kind, says)


def _refused(action: Callable[[], None], kind: type[TidingsError], says: str) -> None:
    began = time.monotonic()
    with pytest.raises(kind, match=says) as refused:
        action()
    assert time.monotonic() - began < BOUND_S
    assert "hunter2" not in str(refused.value)


def test_the_table_of_wrong_ways_is_whole(server: SecureRedis, demanding: SecureRedis, certificates: Certificates) -> None:
    """Each has a test."""
    assert set(WRONG) == set(wrong(server, demanding, certificates))


@pytest.mark.parametrize(("shown", "says"), [("expired_server", "expired"), ("elsewhere_server", "mismatch")])
def test_a_server_that_proves_nothing_is_refused(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory, shown: str, says: str
) -> None:
    """An expired certificate, or one for another host, is as good as none."""
    with running_redis(tmp_path_factory.mktemp("redis"), certificates, getattr(certificates, shown)) as server:
        options = {"url": server.url(), "ssl_ca_location": certificates.authority, **user()}
        _refused(lambda: use(**options), SettingsError, f"{says}.*redis\\.ssl_ca_location")


def test_a_cluster_client_takes_the_same_settings(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> None:
    """By TLS to every node that the first one names, as a user with a password of its own."""
    cluster = {"cluster-enabled": "yes", "tls-cluster": "yes"}
    with running_redis(tmp_path_factory.mktemp("redis"), certificates, options=cluster) as server:
        add_user(server)
        server.admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        options = {"url": server.url(), "cluster": True, "ssl_ca_location": certificates.authority}
        _eventually(lambda: use(**options, **user()))
        _refused(lambda: use(**options, **user(password=BAD_PASSWORD)), FatalError, r"redis\.password")
        wrong_authority = {**options, "ssl_ca_location": certificates.other_authority}
        _refused(lambda: use(**wrong_authority, **user()), SettingsError, r"redis\.ssl_ca_location")


def _eventually(action: Callable[[], None]) -> None:
    """A new cluster says CLUSTERDOWN for a moment."""
    deadline = time.monotonic() + 15
    while True:
        try:
            return action()
        except TidingsError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
