"""The state of notifications in Redis or Valkey: the real `NotifyStore`, over the connection of whoever can run a script there.

All keys share one hash tag, so they lie in one slot of a cluster:

    tidings:{notify}:lease    string  the token of the active notifier, with a time to live
    tidings:{notify}:offsets  hash    <topic>-<partition> -> the next offset of sentiment.alerts to read; `commits`
    tidings:{notify}:groups   hash    group -> what was told of it, MessagePack
    tidings:{notify}:members  hash    group and alert -> the alert's last event, MessagePack
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from typing import cast

from worker.errors import FencedError
from worker.messages import TopicPartition
from worker.notify.ports import NotifyCommit, NotifyState

_COMMIT = files("worker.adapters").joinpath("notify.lua").read_text()
_ACQUIRE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return tonumber(redis.call('HGET', KEYS[2], 'commits') or '0')
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1"
_LOAD = "return {redis.call('HGETALL', KEYS[2]), redis.call('HVALS', KEYS[3]), redis.call('HVALS', KEYS[4])}"
Argument = str | bytes | int
RunScript = Callable[[str, list[str], Sequence[Argument]], object]
"""Takes a Lua script, its keys and its arguments; raises our errors."""


class RedisNotifyStore:
    """A `NotifyStore`. Not for use by several threads at once.

    Args:
        run: runs a script on the server.
        close: drops the connection.
        prefix: what all keys begin with.
    """

    def __init__(self, run: RunScript, close: Callable[[], None], prefix: str = "tidings") -> None:
        self._run = run
        self._close = close
        self._keys = [f"{prefix}:{{notify}}:{name}" for name in ("lease", "offsets", "groups", "members")]

    def acquire(self, token: str, ttl_s: float) -> bool:
        """See `NotifyStore.acquire`."""
        return self._run(_ACQUIRE, self._keys[:1], [token, _ms(ttl_s)]) == 1

    def renew(self, token: str, ttl_s: float) -> int | None:
        """See `NotifyStore.renew`."""
        commits = cast("int", self._run(_RENEW, self._keys[:2], [token, _ms(ttl_s)]))
        return commits if commits >= 0 else None

    def release(self, token: str) -> None:
        """See `NotifyStore.release`."""
        self._run(_RELEASE, self._keys[:1], [token])

    def load(self) -> NotifyState:
        """See `NotifyStore.load`."""
        found = cast("tuple[list[bytes], list[bytes], list[bytes]]", self._run(_LOAD, self._keys, []))
        fields = dict(zip(found[0][::2], found[0][1::2], strict=True))
        commits = int(fields.pop(b"commits", b"0"))
        return NotifyState({_partition(name): int(offset) for name, offset in fields.items()}, found[1], found[2], commits)

    def commit(self, token: str, commit: NotifyCommit) -> None:
        """See `NotifyStore.commit`."""
        offsets = {f"{p.topic}-{p.partition}".encode(): str(offset).encode() for p, offset in commit.offsets.items()}
        arguments: list[Argument] = [token, commit.number]
        for fields in (offsets, commit.groups, commit.members):
            arguments += _written(fields)
        if self._run(_COMMIT, self._keys, arguments) != b"done":
            raise FencedError("another notifier has the lease, or it ran out")

    def close(self) -> None:
        """See `NotifyStore.close`."""
        self._close()


def _written(fields: Mapping[bytes, bytes | None]) -> Iterable[Argument]:
    kept = [(name, value) for name, value in fields.items() if value is not None]
    gone = [name for name, value in fields.items() if value is None]
    return [len(kept), len(gone), *(part for pair in kept for part in pair), *gone]


def _partition(field: bytes) -> TopicPartition:
    topic, _, number = field.decode().rpartition("-")
    return TopicPartition(topic, int(number))


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1_000))
