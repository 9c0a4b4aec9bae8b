"""One suite for every `AlertStore`: in memory, on a real Redis, and on a real Redis Cluster."""

import json
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from typing import Any

import pytest
from redis import Redis
from redis.crc import key_slot

from tests.contract.redis_servers import running_redis
from tests.unit.worker.alert.builders import event
from worker.adapters.redis import RedisAlertStore, RedisStoreOptions
from worker.errors import FatalError, FencedError, RetryableError
from worker.messages import Acknowledgement, TopicPartition
from worker.ports import AlertCommit, AlertStore, PartitionState, StoredEvent, StreamPart
from worker.testing.alert_store import InMemoryAlertStore

P3 = TopicPartition("sentiment.signals", 3)
P4 = TopicPartition("sentiment.signals", 4)
MAX_EVENTS = 3


@pytest.fixture
def prefix() -> str:
    """A prefix for this test's own keys."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def options(prefix: str) -> RedisStoreOptions:
    """Options with short memories."""
    return RedisStoreOptions(prefix=prefix, state_ttl_s=100, stream_max_events=MAX_EVENTS)


@pytest.fixture(params=["memory", "redis", "cluster"])
def store(request: pytest.FixtureRequest, options: RedisStoreOptions) -> Iterator[AlertStore]:
    """Each implementation in turn, empty."""
    if request.param == "memory":
        yield InMemoryAlertStore(MAX_EVENTS)
        return
    url = request.getfixturevalue("redis_url" if request.param == "redis" else "redis_cluster_url")
    with closing(RedisAlertStore.connect(url, options, cluster=request.param == "cluster")) as real:
        yield real


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    """A client of our own, to look behind the store's back."""
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def real(redis_url: str, options: RedisStoreOptions) -> Iterator[RedisAlertStore]:
    """The store on the real Redis."""
    with closing(RedisAlertStore.connect(redis_url, options)) as real:
        yield real


def stored(offset: int, sequence: int = 0) -> StoredEvent:
    """An event of the signal at `offset`."""
    return StoredEvent(offset, sequence, event(at_ms=offset * 1_000 + sequence))


def commit(expected: int | None, upto: int, **fields: Any) -> AlertCommit:
    """A commit of partition 3 with nothing in it but the offsets."""
    given: dict[str, Any] = {"partition": P3, "max_event_time_ms": 1_000, "states": {}, "due": {}, "events": (), **fields}
    return AlertCommit(expected_offset=expected, next_offset=upto, **given)


def everything(store: AlertStore, partition: TopicPartition = P3) -> tuple[Any, ...]:
    """All that can be seen of a partition."""
    return store.load(partition), store.states(partition, ["a", "b", "c"]), store.events(partition, 0, 100).events


def test_nothing_is_known_at_first(store: AlertStore) -> None:
    """An unknown partition has no state, no keys and no events."""
    assert everything(store) == (None, {}, [])


def test_a_commit_writes_all_its_parts(store: AlertStore) -> None:
    """Offset, event time, states, timers and events are all there afterwards."""
    first = commit(None, 10, states={"a": b"\x01\x00\xff", "b": b"B"}, due={"a": 60_000, "b": 70_000}, events=(stored(9),))
    store.commit(first)
    state = PartitionState(10, 1_000, {"a": 60_000, "b": 70_000})
    assert everything(store) == (state, {"a": b"\x01\x00\xff", "b": b"B"}, [stored(9)])


def test_the_book_of_open_alerts_follows_the_commits(store: AlertStore) -> None:
    """The last event of each, one that is not named stays, None takes one out; and a partition knows its own only."""
    assert store.open_alerts(P3) == {}
    one, two = (
        event(alert_id="one", alert_key="topic:naïve 😀"),
        event(alert_id="two", acknowledgement=Acknowledgement("k", "c", 1)),
    )
    store.commit(commit(None, 10, open={"one": one, "two": event(alert_id="two")}))
    store.commit(commit(10, 11, open={"two": two, "never": None}))
    assert store.open_alerts(P3) == {"one": one, "two": two}
    store.commit(commit(11, 12, open={"one": None}))
    assert (store.open_alerts(P3), store.open_alerts(P4)) == ({"two": two}, {})


def test_what_keeps_alerts_quiet_is_stored_when_it_changes(store: AlertStore) -> None:
    """None leaves it as it was."""
    store.commit(commit(None, 10))
    assert store.load(P3) == PartitionState(10, 1_000, {}, None)
    store.commit(commit(10, 11, suppression=b"\x01\x00\xff"))
    store.commit(commit(11, 12))
    assert store.load(P3) == PartitionState(12, 1_000, {}, b"\x01\x00\xff")


def test_a_fenced_commit_changes_neither_book_nor_silences(store: AlertStore) -> None:
    """As it changes nothing else."""
    store.commit(commit(None, 10, open={"one": event(alert_id="one")}, suppression=b"1"))
    with pytest.raises(FencedError):
        store.commit(commit(5, 30, open={"one": None, "two": event(alert_id="two")}, suppression=b"2"))
    assert list(store.open_alerts(P3)) == ["one"]
    assert store.load(P3) == PartitionState(10, 1_000, {}, b"1")


def test_partitions_that_are_known(real: RedisAlertStore) -> None:
    """Those of which anything is stored, however many there are; a gap ends the search unless it is said how many there are."""
    for number in (0, 3, 60, 100):
        real.commit(commit(None, 1, partition=TopicPartition("t", number)))
    assert [one.partition for one in real.known("t", 1)] == [0, 3, 60, 100]
    real.commit(commit(None, 1, partition=TopicPartition("t", 400)))
    assert [one.partition for one in real.known("t", 1)] == [0, 3, 60, 100]
    assert [one.partition for one in real.known("t", 401)] == [0, 3, 60, 100, 400]


def test_a_book_that_outlived_the_rest_begins_anew(real: RedisAlertStore, client: Redis, prefix: str) -> None:
    """Where only the offset was lost, what was open then is for the rebuild to say."""
    real.commit(commit(None, 10, open={"one": event(alert_id="one")}, suppression=b"1"))
    client.delete(f"{prefix}:{{sentiment.signals-3}}:meta")
    real.commit(commit(None, 12))
    assert (real.open_alerts(P3), real.load(P3)) == ({}, PartitionState(12, 1_000, {}, None))


def test_a_later_commit_changes_what_it_names(store: AlertStore) -> None:
    """States and timers that are not named stay, None removes a timer, events add up."""
    store.commit(commit(None, 10, states={"a": b"1", "b": b"2"}, due={"a": 1, "b": 2}, events=(stored(9),)))
    store.commit(commit(10, 20, max_event_time_ms=5, states={"b": b"3"}, due={"a": None, "c": None}, events=(stored(10),)))
    assert everything(store) == (PartitionState(20, 5, {"b": 2}), {"a": b"1", "b": b"3"}, [stored(9), stored(10)])


def test_event_times_may_be_negative(store: AlertStore) -> None:
    """A partition in which no signal could be decoded has the earliest event time there is."""
    store.commit(commit(None, 1, max_event_time_ms=-(1 << 62), due={"a": -5_000}))
    assert store.load(P3) == PartitionState(1, -(1 << 62), {"a": -5_000})


@pytest.mark.parametrize("expected", [None, 5, 11, 20])
def test_a_fenced_commit_changes_nothing(store: AlertStore, expected: int | None) -> None:
    """Whoever does not expect the stored offset, ahead, behind or afresh, has lost the partition: not a bit is written."""
    store.commit(commit(None, 10, states={"a": b"1"}, due={"a": 1}, events=(stored(9),)))
    before = everything(store)
    with pytest.raises(FencedError, match="3"):
        store.commit(commit(expected, 30, states={"a": b"2", "b": b"2"}, due={"a": None, "b": 7}, events=(stored(25),)))
    assert everything(store) == before


def test_expecting_an_offset_where_there_is_none_is_fenced(store: AlertStore) -> None:
    """A store that has lost its data refuses to go on as if nothing had happened; the role then rebuilds."""
    with pytest.raises(FencedError):
        store.commit(commit(10, 20, states={"a": b"1"}))
    assert everything(store) == (None, {}, [])


def test_a_repeated_commit_is_done_once(store: AlertStore) -> None:
    """After a lost reply the same commit is tried again: no error, no second event."""
    first = commit(None, 10, states={"a": b"1"}, due={"a": 1}, events=(stored(8), stored(9)))
    store.commit(first)
    once = everything(store)
    store.commit(first)
    assert everything(store) == once
    store.commit(commit(10, 11, events=(stored(10),)))
    assert [item.offset for item in store.events(P3, 0, 10).events] == [8, 9, 10]


@pytest.mark.parametrize("other", [{"states": {"a": b"2"}}, {"events": (stored(9, 1),)}, {"max_event_time_ms": 2}])
def test_another_commit_to_the_same_offset_is_fenced(store: AlertStore, other: dict[str, Any]) -> None:
    """Reaching the same offset is not enough to pass for our own commit: what was written must be the same too."""
    store.commit(commit(None, 10, states={"a": b"1"}, events=(stored(9),)))
    before = everything(store)
    with pytest.raises(FencedError):
        store.commit(commit(None, 10, **{"states": {"a": b"1"}, "events": (stored(9),), **other}))
    assert everything(store) == before


def test_an_old_commit_does_not_come_back(store: AlertStore) -> None:
    """A zombie that repeats an earlier commit is fenced once somebody has gone on."""
    first = commit(None, 10)
    store.commit(first)
    store.commit(commit(10, 20))
    with pytest.raises(FencedError):
        store.commit(first)


def test_partitions_do_not_touch_each_other(store: AlertStore) -> None:
    """Offsets, states and events are per partition."""
    store.commit(commit(None, 10, states={"a": b"1"}, events=(stored(9),)))
    assert everything(store, P4) == (None, {}, [])
    store.commit(commit(None, 7, partition=P4, states={"a": b"4"}, events=(stored(6),)))
    assert store.states(P3, ["a"]) == {"a": b"1"}
    assert [item.offset for item in store.events(P4, 0, 10).events] == [6]


def test_events_are_read_in_order_and_whole_signals(store: AlertStore) -> None:
    """A limit never cuts a signal's events apart: fewer come, or more if a single signal has more."""
    places = [(0, 0), (4, 0), (4, 1), (4, 2), (9, 0), (9, 1), (12, 0)]
    store.commit(commit(None, 20, events=tuple(stored(*place) for place in places)))

    def read(from_offset: int, limit: int) -> list[tuple[int, int]]:
        return [(item.offset, item.sequence) for item in store.events(P3, from_offset, limit).events]

    assert read(0, 100) == places
    assert read(0, 3) == [(0, 0)]
    assert read(0, 4) == [(0, 0), (4, 0), (4, 1), (4, 2)]
    assert read(1, 1) == [(4, 0), (4, 1), (4, 2)]
    assert read(5, 2) == [(9, 0), (9, 1)]
    assert read(12, 5) == [(12, 0)]
    assert read(13, 5) == []


@pytest.mark.parametrize(("from_offset", "limit"), [(0, 100), (0, 3), (1, 1), (13, 5)])
def test_events_tell_where_the_partition_stands(store: AlertStore, from_offset: int, limit: int) -> None:
    """Whatever part is asked for, and where there is none; None where nothing is known."""
    assert store.events(P3, from_offset, limit) == StreamPart([], None)
    store.commit(commit(None, 20, events=(stored(4), stored(4, 1), stored(9))))
    assert store.events(P3, from_offset, limit).next_offset == 20


def test_events_come_back_as_they_were(store: AlertStore) -> None:
    """Every field of an event survives."""
    one = StoredEvent(5, 0, event(reason="recovered", state="resolved", alert_key="topic:naïve 😀", model=None))
    store.commit(commit(None, 20, events=(one,)))
    assert store.events(P3, 0, 10).events == [one]


@pytest.mark.parametrize(
    ("before_offset", "left"),
    [(100, [2, 3, 4]), (5, [2, 3, 4]), (1, [1, 2, 3, 4]), (0, [0, 1, 2, 3, 4])],
)
def test_trim_keeps_the_newest_and_the_unrelayed(store: AlertStore, before_offset: int, left: list[int]) -> None:
    """Retention is three here; events not yet relayed stay beyond that."""
    store.commit(commit(None, 20, events=tuple(stored(offset) for offset in range(5))))
    store.trim(P3, before_offset)
    assert [item.offset for item in store.events(P3, 0, 10).events] == left
    store.trim(P3, before_offset)
    assert len(store.events(P3, 0, 10).events) == len(left)


def test_trimming_nothing_is_fine(store: AlertStore) -> None:
    """No stream, or a short one, stays as it is."""
    store.trim(P3, 100)
    store.commit(commit(None, 20, events=(stored(1),)))
    store.trim(P3, 100)
    assert len(store.events(P3, 0, 10).events) == 1


@pytest.mark.parametrize(
    ("expected", "upto", "events"),
    [
        (10, 10, ()),
        (10, 5, ()),
        (10, 20, (stored(20),)),
        (10, 20, (stored(9),)),
        (10, 20, (stored(12), stored(11))),
        (10, 20, (stored(12), stored(12))),
        (10, 20, (stored(12, 1), stored(12, 0))),
    ],
)
def test_impossible_commits_cannot_be_made(expected: int, upto: int, events: tuple[StoredEvent, ...]) -> None:
    """Offsets only grow, and events are of this run, each once and in order."""
    with pytest.raises(ValueError, match=r"past|in order"):
        commit(expected, upto, events=events)


def test_many_keys_at_once(store: AlertStore) -> None:
    """A run may touch thousands of keys."""
    states = {f"entity:{number}": str(number).encode() for number in range(3_000)}
    store.commit(commit(None, 10, states=states, due=dict.fromkeys(states, 5)))
    assert store.states(P3, list(states)) == states
    loaded = store.load(P3)
    assert loaded is not None
    assert len(loaded.due) == 3_000


def test_states_expire(real: RedisAlertStore, client: Redis, prefix: str) -> None:
    """State has a time to live, and so has every rewrite of it; the offset has none."""
    real.commit(commit(None, 10, states={"a": b"1"}, due={"a": 1}))
    base = f"{prefix}:{{sentiment.signals-3}}"
    assert 99_000 < client.pttl(f"{base}:state:a") <= 100_000
    client.pexpire(f"{base}:state:a", 5_000)
    real.commit(commit(10, 11, states={"a": b"2"}))
    assert client.pttl(f"{base}:state:a") > 99_000
    assert client.pttl(f"{base}:meta") == -1


def test_keys_of_a_partition_share_a_hash_slot(real: RedisAlertStore, client: Redis, prefix: str) -> None:
    """All keys lie in one slot, even where an alert key has braces of its own."""
    book: dict[str, Any] = {"open": {"one": event()}, "suppression": b"1"}
    real.commit(commit(None, 10, states={"a": b"1", "entity:{x}y": b"2"}, due={"a": 1}, events=(stored(9),), **book))
    keys = sorted(client.scan_iter(f"{prefix}:*"))
    assert [key.decode().removeprefix(f"{prefix}:{{sentiment.signals-3}}:") for key in keys] == [
        "alerts",
        "due",
        "meta",
        "open",
        "state:a",
        "state:entity:{x}y",
        "suppression",
    ]
    assert len({key_slot(key) for key in keys}) == 1


def test_hint_leads_to_the_stream(real: RedisAlertStore, client: Redis, prefix: str) -> None:
    """The pub/sub message names the stream and the entry's id, <offset + 1>-<sequence>; a repeated commit gives no second."""
    listener: Any
    with client.pubsub() as listener:  # type: ignore[no-untyped-call]
        listener.subscribe(f"{prefix}:alerts")
        assert listener.get_message(timeout=5)["type"] == "subscribe"
        one = commit(None, 10, events=(stored(0), stored(9, 1)))
        real.commit(one)
        real.commit(one)
        hints = [json.loads(listener.get_message(timeout=5)["data"]) for _ in range(2)]
        assert listener.get_message(timeout=0.2) is None
    assert [hint["id"] for hint in hints] == ["1-0", "10-1"]
    assert hints[0]["stream"] == f"{prefix}:{{sentiment.signals-3}}:alerts"
    entries: Any = client.xrange(hints[1]["stream"], hints[1]["id"], hints[1]["id"])
    ((_, fields),) = entries
    envelope = json.loads(fields[b"event"])
    assert (envelope["specversion"], envelope["type"], envelope["id"]) == ("1.0", "io.tidings.alert.firing", "a9001-firing")


def test_stream_that_outlived_the_rest_gets_no_doubles(real: RedisAlertStore, client: Redis, prefix: str) -> None:
    """Where only the offset was lost, the replay meets events that the stream holds: skipped, and the rest goes through."""
    real.commit(commit(None, 10, events=(stored(4), stored(9))))
    client.delete(f"{prefix}:{{sentiment.signals-3}}:meta")
    real.commit(commit(None, 12, states={"a": b"1"}, events=(stored(4), stored(9), stored(11))))
    assert [item.offset for item in real.events(P3, 0, 10).events] == [4, 9, 11]
    assert real.states(P3, ["a"]) == {"a": b"1"}


def test_script_is_sent_again_when_redis_forgot_it(real: RedisAlertStore, client: Redis) -> None:
    """A restarted Redis knows no scripts."""
    real.commit(commit(None, 10))
    client.script_flush()
    real.commit(commit(10, 20))
    assert real.load(P3) == PartitionState(20, 1_000, {})


def test_two_writers_one_wins(redis_url: str, options: RedisStoreOptions) -> None:
    """Of many that commit from the same offset at the same time, one is let through."""
    stores = [RedisAlertStore.connect(redis_url, options) for _ in range(8)]
    start, outcomes = threading.Barrier(len(stores)), list[str]()

    def write(number: int, one: RedisAlertStore) -> None:
        start.wait()
        try:
            one.commit(commit(None, 10 + number, events=(stored(number),)))
            outcomes.append("written")
        except FencedError:
            outcomes.append("fenced")

    threads = [threading.Thread(target=write, args=pair) for pair in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["fenced"] * 7 + ["written"]
    assert len(stores[0].events(P3, 0, 100).events) == 1
    for one in stores:
        one.close()


class ReplyEater:
    """A proxy in front of Redis that passes every request on, and swallows the reply to the first EVALSHA that succeeds."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.eaten = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self._upstream)) as far:
            while request := near.recv(1 << 20):
                far.sendall(request)
                reply = far.recv(1 << 20)
                if b"EVALSHA" in request and b"NOSCRIPT" not in reply and not self.eaten:
                    self.eaten += 1
                    return
                near.sendall(reply)


def test_a_lost_reply_is_not_a_lost_or_doubled_commit(redis_url: str, options: RedisStoreOptions) -> None:
    """Redis did it and the connection broke before the answer: the client tries again by itself, and it is done once."""
    with Redis.from_url(redis_url) as direct:
        direct.script_load(files("worker.adapters").joinpath("commit.lua").read_text())
        address = direct.connection_pool.connection_kwargs
    with closing(ReplyEater(address["port"])) as proxy:
        with closing(RedisAlertStore.connect(f"redis://127.0.0.1:{proxy.port}/0", options)) as store:
            store.commit(commit(None, 10, states={"a": b"1"}, events=(stored(9),)))
            assert everything(store) == (PartitionState(10, 1_000, {}), {"a": b"1"}, [stored(9)])
        assert proxy.eaten == 1


def test_a_full_redis_is_retryable_and_writes_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Out of memory, the whole commit is refused; when there is room again, the same commit goes through."""
    with (
        running_redis(tmp_path_factory.mktemp("full")) as port,
        Redis(port=port) as direct,
        closing(RedisAlertStore.connect(f"redis://127.0.0.1:{port}")) as store,
    ):
        one = commit(None, 10, states={"a": b"1"}, events=(stored(9),))
        direct.config_set("maxmemory", "1")
        with pytest.raises(RetryableError, match="does not answer"):
            store.commit(one)
        assert everything(store) == (None, {}, [])
        direct.config_set("maxmemory", "0")
        store.commit(one)
        assert len(store.events(P3, 0, 10).events) == 1


def test_wrong_password_is_fatal_and_not_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Trying again would not help; the message says what to check, without the password."""
    with running_redis(tmp_path_factory.mktemp("locked")) as port, Redis(port=port) as direct:
        direct.config_set("requirepass", "right")
        with closing(RedisAlertStore.connect(f"redis://:wrong-secret@127.0.0.1:{port}")) as store:
            with pytest.raises(FatalError, match=r"look at redis\.username and redis\.password") as caught:
                store.load(P3)
            assert "secret" not in str(caught.value)
        direct.execute_command("AUTH", "right")


def test_version_is_the_servers(real: RedisAlertStore, client: Redis) -> None:
    """`tidings check` can say what it talks to."""
    assert real.version() == client.info("server")["redis_version"]
