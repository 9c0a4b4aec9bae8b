import socket

import pytest

from worker.adapters.redis import RedisAlertStore, RedisStoreOptions
from worker.errors import FatalError, RetryableError, SettingsError
from worker.messages import TopicPartition

P0 = TopicPartition("sentiment.signals", 0)
HIDDEN = "hunter-two"


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_absent_redis_is_retryable_and_keeps_the_password() -> None:
    """The message names the host and the port, and nothing that should stay secret."""
    port = free_port()
    store = RedisAlertStore.connect(f"redis://user:{HIDDEN}@127.0.0.1:{port}/0", RedisStoreOptions(timeout_s=0.2))
    with pytest.raises(RetryableError, match=f"does not answer.*{port}") as caught:
        store.load(P0)
    assert HIDDEN not in str(caught.value)
    assert HIDDEN not in repr(store)
    store.close()


def test_a_silent_redis_is_given_up() -> None:
    """A server that accepts and says nothing costs the timeout, not forever."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        store = RedisAlertStore.connect(f"redis://127.0.0.1:{port}/0", RedisStoreOptions(timeout_s=0.05))
        with pytest.raises(RetryableError, match="does not answer"):
            store.states(P0, ["a"])
        store.close()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:6379", f"user:{HIDDEN}@somewhere", "", f"redis://:{HIDDEN}@127.0.0.1:port/0"]
)
def test_a_wrong_url_is_a_settings_error(url: str) -> None:
    """Said at start, with what was expected, and without repeating what may be secret."""
    with pytest.raises(SettingsError, match=r"redis\.url: expected redis://") as caught:
        RedisAlertStore.connect(url)
    assert HIDDEN not in str(caught.value)


def test_an_absent_cluster_is_retryable() -> None:
    """A cluster is asked for its nodes at once."""
    with pytest.raises(RetryableError, match="does not answer"):
        RedisAlertStore.connect(f"redis://127.0.0.1:{free_port()}", RedisStoreOptions(timeout_s=0.2), cluster=True)


def test_tls_is_chosen_by_the_url() -> None:
    """A rediss:// URL speaks TLS: a server that does not is an error, never plain text."""
    with socket.create_server(("127.0.0.1", 0)) as plain:
        port = plain.getsockname()[1]
        store = RedisAlertStore.connect(f"rediss://127.0.0.1:{port}/0", RedisStoreOptions(timeout_s=0.05))
        with pytest.raises((RetryableError, FatalError)):
            store.load(P0)
        plain.settimeout(5)
        connection, _ = plain.accept()
        with connection:
            connection.settimeout(5)
            assert connection.recv(1) == b"\x16"  # a TLS handshake record
        store.close()
