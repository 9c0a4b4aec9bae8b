"""One suite for every `NotifyStore`: in memory, and over a real Redis and a cluster of one node."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from worker.adapters.notify_store import RedisNotifyStore
from worker.adapters.redis import RedisAlertStore
from worker.errors import FencedError
from worker.messages import TopicPartition
from worker.notify.ports import NotifyCommit, NotifyState, NotifyStore
from worker.testing.notify import InMemoryNotifyStore

P0, P1 = TopicPartition("sentiment.alerts-x", 0), TopicPartition("sentiment.alerts-x", 11)


@pytest.fixture(params=["memory", "redis", "cluster"])
def store(request: pytest.FixtureRequest) -> Iterator[NotifyStore]:
    """A store with nothing in it."""
    if request.param == "memory":
        yield InMemoryNotifyStore(time.monotonic)
        return
    is_cluster = request.param == "cluster"
    url = request.getfixturevalue("redis_cluster_url" if is_cluster else "redis_url")
    shared = RedisAlertStore.connect(url, cluster=is_cluster)
    with closing(RedisNotifyStore(shared.run, shared.close, f"test-{uuid.uuid4().hex}")) as made:
        yield made


def write(number: int, **fields: object) -> NotifyCommit:
    """A commit."""
    given: dict[str, object] = {"offsets": {}, "groups": {}, "members": {}, **fields}
    return NotifyCommit(number, **given)  # type: ignore[arg-type] # as the test says


def test_an_empty_store_has_nothing(store: NotifyStore) -> None:
    """And counts no commit."""
    assert store.load() == NotifyState({}, [], [], 0)


def test_what_was_committed_is_there(store: NotifyStore) -> None:
    """Offsets by partition, values of both hashes, fields that went are gone; any bytes."""
    assert store.acquire("me", 30)
    store.commit("me", write(1, offsets={P0: 5, P1: 7}, groups={b"a": b"\x00\xff", b"b": b"2"}, members={b"m": b"1"}))
    store.commit("me", write(2, offsets={P0: 6}, groups={b"a": None, b"never": None}, members={b"m": b"2", b"n": b"3"}))
    found = store.load()
    assert (found.offsets, found.groups, sorted(found.members), found.commits) == ({P0: 6, P1: 7}, [b"2"], [b"2", b"3"], 2)


def test_a_commit_again_does_no_harm(store: NotifyStore) -> None:
    """As after a reply that was lost."""
    assert store.acquire("me", 30)
    for _ in range(2):
        store.commit("me", write(1, offsets={P0: 5}, groups={b"a": b"1"}))
    assert store.load() == NotifyState({P0: 5}, [b"1"], [], 1)
    assert store.renew("me", 30) == 1


def test_one_has_the_lease(store: NotifyStore) -> None:
    """Who has it may take it again; who has it not commits nothing, renews nothing and gives nothing back."""
    assert store.acquire("me", 30)
    assert store.acquire("me", 30)
    assert not store.acquire("other", 30)
    with pytest.raises(FencedError):
        store.commit("other", write(1, offsets={P0: 5}, groups={b"a": b"1"}))
    assert store.load().offsets == {}
    assert store.renew("other", 30) is None
    store.release("other")
    assert store.renew("me", 30) == 0
    store.release("me")
    with pytest.raises(FencedError):
        store.commit("me", write(1, offsets={P0: 5}))
    assert store.acquire("other", 30)


def test_a_lease_ends_by_itself_and_can_be_prolonged(store: NotifyStore) -> None:
    """A notifier that died leaves it to the next."""
    assert store.acquire("me", 0.05)
    assert store.renew("me", 30) == 0
    assert store.acquire("me", 0.05)
    until(lambda: store.acquire("other", 30))
    assert store.renew("me", 30) is None


def test_large_commits_are_whole(store: NotifyStore) -> None:
    """More fields than a Lua stack holds."""
    assert store.acquire("me", 30)
    store.commit("me", write(1, members={str(number).encode(): b"x" for number in range(20_000)}))
    assert len(store.load().members) == 20_000


def until(look: Callable[[], bool]) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + 10
    while not look():
        assert time.monotonic() < deadline
