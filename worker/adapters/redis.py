"""Alert state, offsets and the stream of alert events in Redis or Valkey: the real `AlertStore`.

What there is of partition 3 of `sentiment.signals`; all of it shares a hash tag, so it lies in one slot of a cluster:

    tidings:{sentiment.signals-3}:meta              hash     next_offset, max_event_time_ms, digest of the last commit
    tidings:{sentiment.signals-3}:state:<alert key> string   one key's state, with a time to live
    tidings:{sentiment.signals-3}:due               zset     alert key -> event time at which to look at it
    tidings:{sentiment.signals-3}:open              hash     alert id -> its last event, CloudEvents JSON, for each open alert
    tidings:{sentiment.signals-3}:suppression       string   silences and inhibitors
    tidings:{sentiment.signals-3}:alerts            stream   id <signal offset + 1>-<sequence>, field `event`: CloudEvents JSON
    tidings:alerts                                  channel  {"stream": ..., "id": ...}: look there

The stream is the truth and the channel a hint. Ids begin at offset + 1 because Redis does not allow 0-0.
"""

import hashlib
import re
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.resources import files
from typing import Any, NamedTuple, Self, cast
from urllib.parse import urlsplit

import msgspec
from redis import Redis, RedisCluster
from redis import exceptions as redis_errors
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from worker.codec import decode_alert_event, encode_alert_event
from worker.errors import DecodeError, FatalError, FencedError, RetryableError, SettingsError
from worker.messages import AlertEvent, TopicPartition
from worker.ports import AlertCommit, PartitionState, StoredEvent, StreamPart
from worker.tls import TlsFiles, refuses_us, speaks_tls

_COMMIT = files("worker.adapters").joinpath("commit.lua").read_text()
_EVENTS = files("worker.adapters").joinpath("events.lua").read_text()
_KEYS_PER_READ = 1_000
_GAP = 64
_FATAL = (
    redis_errors.AuthenticationError,
    redis_errors.AuthorizationError,
    redis_errors.NoPermissionError,
    redis_errors.ClusterCrossSlotError,
)
_PASSING = (
    redis_errors.BusyLoadingError,
    redis_errors.ReadOnlyError,
    redis_errors.OutOfMemoryError,
    redis_errors.TryAgainError,
    redis_errors.AskError,
    redis_errors.ClusterDownError,
)


class RedisStoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How keys are named, how long things are kept, and how long Redis may take."""

    prefix: str = "tidings"
    state_ttl_s: float = 14 * 86_400
    """State that was not written for longer is forgotten; must exceed every rule's window."""
    stream_max_events: int = 10_000
    """Relayed events kept in a partition's stream."""
    timeout_s: float = 5


class RedisIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are to Redis beside what the URL says, and how we know it; the files are for `rediss://` only."""

    username: str | None = None
    password: str | None = None
    files: TlsFiles = TlsFiles()

    def __repr__(self) -> str:
        """Name no secret."""
        return f"RedisIdentity(username={self.username!r})"


class RedisAlertStore:
    """An `AlertStore` over one Redis, or over a cluster. Not for use by several threads at once."""

    def __init__(self, client: "Redis | RedisCluster", options: RedisStoreOptions, peer: "_Peer | None" = None) -> None:
        self._client = client
        self._options = options
        self._peer = peer

    @classmethod
    def connect(
        cls,
        url: str,
        options: RedisStoreOptions | None = None,
        identity: RedisIdentity | None = None,
        *,
        cluster: bool = False,
    ) -> Self:
        """Prepare a client for a `redis://`, `rediss://` (TLS) or `unix://` URL; Redis itself need not be there yet.

        Raises:
            SettingsError: the URL is none of these, or the cluster refuses us.
            RetryableError: no node of the cluster answers (a single Redis is asked only later).
        """
        options = options or RedisStoreOptions()
        identity = identity or RedisIdentity()
        connection = _connection(options) | _credentials(identity)
        try:
            with _translated(_Peer(url, identity.files)):
                client = _cluster_client(url, connection) if cluster else _client(url, connection)
        except ValueError as error:
            raise SettingsError(
                "redis.url: expected redis://, rediss:// or unix://, then user:password@host:port/db"
            ) from error
        return cls(client, options, _Peer(url, identity.files))

    def version(self) -> str:
        """Ask the server for its version, such as `7.0.15`.

        Raises:
            RetryableError: it does not answer.
            FatalError, SettingsError: it refuses us.
        """
        with _translated(self._peer):
            info = cast("Mapping[str, Any]", self._client.info("server", **self._one_node))
        return str(info["redis_version"])

    def load(self, partition: TopicPartition) -> PartitionState | None:
        """See `AlertStore.load`."""
        key = self._key_of(partition)
        with _translated():
            next_offset, newest_ms = self._client.hmget(key("meta"), ["next_offset", "max_event_time_ms"])
            if next_offset is None or newest_ms is None:
                return None
            due = cast("list[tuple[bytes, float]]", self._client.zrange(key("due"), 0, -1, withscores=True))
            (suppression,) = cast("list[bytes | None]", self._client.mget([key("suppression")]))
        return PartitionState(int(next_offset), int(newest_ms), {name.decode(): int(at) for name, at in due}, suppression)

    def states(self, partition: TopicPartition, keys: Sequence[str]) -> dict[str, bytes]:
        """See `AlertStore.states`."""
        key = self._key_of(partition)
        found: dict[str, bytes] = {}
        for start in range(0, len(keys), _KEYS_PER_READ):
            part = keys[start : start + _KEYS_PER_READ]
            with _translated():
                values = cast("list[bytes | None]", self._client.mget([key(f"state:{name}") for name in part]))
            found.update((name, value) for name, value in zip(part, values, strict=True) if value is not None)
        return found

    def open_alerts(self, partition: TopicPartition) -> dict[str, AlertEvent]:
        """See `AlertStore.open_alerts`."""
        with _translated(self._peer):
            found = cast("dict[bytes, bytes]", self._client.hgetall(self._key_of(partition)("open")))
        return {alert.decode(): _event(f"open alert {alert.decode()}", body) for alert, body in found.items()}

    def suppression(self, partition: TopicPartition) -> bytes | None:
        """Return what keeps alerts of the partition quiet, encoded; None where nothing was stored of it."""
        with _translated(self._peer):
            return cast("list[bytes | None]", self._client.mget([self._key_of(partition)("suppression")]))[0]

    def known(self, topic: str, at_least: int) -> list[TopicPartition]:
        """Return the partitions of a topic of which anything is stored, looking at `at_least` so many, and on from there.

        Redis does not know how many there are: it is enough that no `_GAP` partitions in a row were never written to.
        """
        found, number = list[TopicPartition](), 0
        while number < max(at_least, found[-1].partition + 1 + _GAP if found else _GAP):
            partition = TopicPartition(topic, number)
            with _translated(self._peer):
                if self._client.hget(self._key_of(partition)("meta"), "next_offset") is not None:
                    found.append(partition)
            number += 1
        return found

    def commit(self, commit: AlertCommit) -> None:
        """See `AlertStore.commit`.

        A retry after a lost reply finds its own next offset stored, with its own digest: done. The digest covers all of the
        commit, so another worker's commit passes for ours only where it wrote the very same thing, and then ours is done too.
        """
        keys, arguments = self._script_input(commit)
        with _translated():
            answer = self._run_script(_COMMIT, keys, arguments)
        if answer != b"done":
            where = f"{commit.partition.topic}-{commit.partition.partition}"
            raise FencedError(f"{where}: stored offset is not {commit.expected_offset}; another worker owns the partition")

    def events(self, partition: TopicPartition, from_offset: int, limit: int) -> StreamPart:
        """See `AlertStore.events`. One script reads both, so that a failover cannot come in between."""
        part = self._range(partition, f"{from_offset + 1}-0", "+", limit + 1)
        found = part.events
        if len(found) <= limit:
            return part
        if whole := [stored for stored in found if stored.offset < found[-1].offset]:
            return StreamPart(whole, part.next_offset)
        one_signal = str(found[0].offset + 1)
        return self._range(partition, one_signal, one_signal, 0)

    def trim(self, partition: TopicPartition, before_offset: int) -> None:
        """See `AlertStore.trim`."""
        stream = self._key_of(partition)("alerts")
        with _translated():
            excess = self._client.xlen(stream) - self._options.stream_max_events
            if excess <= 0:
                return
            oldest = cast("list[tuple[bytes, Any]]", self._client.xrange(stream, count=excess + 1))
            kept_from = min(_parse_id(oldest[-1][0]), (before_offset + 1, 0))
            self._client.xtrim(stream, minid=f"{kept_from[0]}-{kept_from[1]}", approximate=False)

    def run(self, script: str, keys: list[str], arguments: Sequence[str | bytes | int]) -> object:
        """Run a script of another part of ours, whose keys share a slot; raises as every call here does."""
        with _translated():
            return self._run_script(script, keys, arguments)

    def close(self) -> None:
        """See `AlertStore.close`."""
        self._client.close()

    @cached_property
    def _one_node(self) -> dict[str, Any]:
        return {"target_nodes": RedisCluster.RANDOM} if isinstance(self._client, RedisCluster) else {}

    def _key_of(self, partition: TopicPartition) -> Callable[[str], str]:
        tagged = f"{self._options.prefix}:{{{partition.topic}-{partition.partition}}}:"
        return tagged.__add__

    def _script_input(self, commit: AlertCommit) -> tuple[list[str], list[str | bytes | int]]:
        key = self._key_of(commit.partition)
        channel, stream = f"{self._options.prefix}:alerts", key("alerts")
        keys = [key("meta"), key("due"), stream, key("open"), key("suppression")]
        keys += [key(f"state:{name}") for name in commit.states]
        expected = "" if commit.expected_offset is None else commit.expected_offset
        ttl_ms = int(self._options.state_ttl_s * 1_000)
        arguments: list[str | bytes | int] = [expected, commit.next_offset, commit.max_event_time_ms, _digest(commit)]
        arguments += [ttl_ms, channel, len(commit.due), len(commit.events), len(commit.open), commit.suppression or ""]
        for alert, event in commit.open.items():
            arguments += [alert, "" if event is None else encode_alert_event(event)]
        arguments += commit.states.values()
        for name, at_ms in commit.due.items():
            arguments += [name, "" if at_ms is None else at_ms]
        for stored in commit.events:
            stream_id = f"{stored.offset + 1}-{stored.sequence}"
            hint = msgspec.json.encode({"stream": stream, "id": stream_id})
            arguments += [stored.offset + 1, stored.sequence, encode_alert_event(stored.event), hint]
        return keys, arguments

    def _run_script(self, script: str, keys: list[str], arguments: Sequence[str | bytes | int]) -> object:
        digest = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        try:
            return cast("object", self._client.evalsha(digest, len(keys), *keys, *arguments))
        except redis_errors.NoScriptError:
            return cast("object", self._client.eval(script, len(keys), *keys, *arguments))

    def _range(self, partition: TopicPartition, first: str, last: str, count: int) -> StreamPart:
        key = self._key_of(partition)
        with _translated():
            answer = self._run_script(_EVENTS, [key("meta"), key("alerts")], [first, last, count])
        next_offset, entries = cast("tuple[bytes | None, list[tuple[bytes, list[bytes]]]]", answer)
        events = [_stored_event(entry_id, dict(zip(fields[::2], fields[1::2], strict=True))) for entry_id, fields in entries]
        return StreamPart(events, None if next_offset is None else int(next_offset))


def _client(url: str, connection: Mapping[str, Any]) -> Redis:
    return Redis.from_url(url, health_check_interval=15, **connection)


def _cluster_client(url: str, connection: Mapping[str, Any]) -> RedisCluster:
    return RedisCluster.from_url(url, **connection)


def _credentials(identity: RedisIdentity) -> dict[str, Any]:
    """What there is of it, in redis-py's words; host names are checked unless the URL itself says otherwise."""
    files = identity.files
    names = {
        "username": identity.username,
        "password": identity.password,
        "ssl_ca_certs": files.authority and str(files.authority),
        "ssl_certfile": files.certificate and str(files.certificate),
        "ssl_keyfile": files.key and str(files.key),
        "ssl_password": files.key_password,
    }
    return {name: value for name, value in names.items() if value is not None}


def _connection(options: RedisStoreOptions) -> dict[str, Any]:
    """Every wait has an end, and a try whose reply was lost is safe to repeat (see `RedisAlertStore.commit`).

    Once, for a connection that broke while idle: the role has a patience of its own, in which it goes on polling.
    """
    return {
        "socket_timeout": options.timeout_s,
        "socket_connect_timeout": options.timeout_s,
        "socket_keepalive": True,
        "retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 1),
        "client_name": "tidings-alert",
        "protocol": 2,
    }


@contextmanager
def _translated(peer: "_Peer | None" = None) -> Iterator[None]:
    """Turn what redis-py raises into our errors; its messages name hosts and commands, never the password.

    `peer`, where it is given, is looked at more closely if it drops us: it may want TLS, or a certificate of ours.
    """
    try:
        yield
    except _FATAL as error:
        raise FatalError(f"Redis refuses us: {error}; {_remedy(str(error))}") from error
    except (redis_errors.ConnectionError, redis_errors.TimeoutError, redis_errors.RedisClusterException, *_PASSING) as error:
        if any(isinstance(cause, _FATAL) for cause in _causes(error)):  # as a cluster client tells of its first node
            raise FatalError(f"Redis refuses us: {error}; {_remedy(str(error))}") from error
        if problem := _tls_problem(error, peer):
            raise SettingsError(f"Redis refuses us: {problem}") from error
        doubt = " (or does not speak TLS, as redis.url says)" if peer and peer.tls and _is_late(error) else ""
        raise RetryableError(f"Redis does not answer{doubt}: {error}") from error
    except redis_errors.RedisError as error:
        if re.match("MISCONF|NOREPLICAS|BUSY|OOM|MASTERDOWN|LOADING|READONLY|CLUSTERDOWN|TRYAGAIN", str(error)):
            raise RetryableError(f"Redis does not serve now: {error}") from error
        needed = f"; {_remedy('permission')}" if re.search("NOPERM|ACL|user executing the script", str(error)) else ""
        raise FatalError(f"Redis answers with an error: {error}{needed}") from error


def _remedy(said: str) -> str:
    if "permission" in said.lower():
        return "give its user the commands, keys and channel of docs/security.md (ACL SETUSER)"
    return "look at redis.username and redis.password, or those in redis.url"


def _tls_problem(error: BaseException, peer: "_Peer | None") -> str | None:
    """Say what is wrong with TLS between us and the server, None if nothing is known to be."""
    tls = next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)), None)
    if isinstance(tls, ssl.SSLCertVerificationError):
        return f"{tls.verify_message}; look at redis.ssl_ca_location, at the server's certificate, and at the host in redis.url"
    if peer is None:
        return None
    if peer.tls and not _is_late(error) and refuses_us(peer.address, peer.files):
        return "look at redis.ssl_certificate_location: the server wants a certificate of ours, or another one"
    if not peer.tls and speaks_tls(peer.address):
        return "the server speaks TLS; redis.url should begin with rediss://"
    return None


class _Peer(NamedTuple):
    """Who we talk to, for a closer look at what is wrong."""

    url: str
    files: TlsFiles

    def __repr__(self) -> str:
        return self.address

    @property
    def tls(self) -> bool:
        return self.url.startswith("rediss:")

    @property
    def address(self) -> str:
        where = urlsplit(self.url)
        return f"{where.hostname or 'localhost'}:{where.port or 6379}"


def _causes(error: BaseException) -> list[BaseException]:
    """Return the error and what led to it."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    return causes


def _is_late(error: BaseException) -> bool:
    return any(isinstance(cause, TimeoutError) for cause in _causes(error))


def _digest(commit: AlertCommit) -> str:
    return hashlib.blake2b(msgspec.msgpack.encode(commit), digest_size=16).hexdigest()


def _parse_id(entry_id: bytes) -> tuple[int, int]:
    first, second = entry_id.split(b"-")
    return int(first), int(second)


def _stored_event(entry_id: bytes, fields: Mapping[bytes, bytes]) -> StoredEvent:
    after, sequence = _parse_id(entry_id)
    return StoredEvent(after - 1, sequence, _event(f"the alert stream's entry {entry_id.decode()}", fields[b"event"]))


def _event(name: str, body: bytes) -> AlertEvent:
    try:
        return decode_alert_event(body)
    except DecodeError as error:
        raise FatalError(f"{name} cannot be read: {error}") from error
