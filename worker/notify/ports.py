"""What the notify role needs from outside, as protocols, with the values that they carry; held by `tests/contract/`."""

from typing import Literal, Protocol

import msgspec

from worker.messages import TopicPartition
from worker.notify.groups import Result
from worker.notify.routing import GroupName


class NotifyState(msgspec.Struct, frozen=True):
    """What is on record: where each partition of alerts stands, and the values of the book's two hashes.

    `commits` counts the commits so far: whoever finds another number than his own is not looking at what he left.
    """

    offsets: dict[TopicPartition, int]
    groups: list[bytes]
    members: list[bytes]
    commits: int


class NotifyCommit(msgspec.Struct, frozen=True):
    """A change of what is on record; None takes a field away. It becomes commit number `number`."""

    number: int
    offsets: dict[TopicPartition, int]
    groups: dict[bytes, bytes | None]
    members: dict[bytes, bytes | None]


class NotifyStore(Protocol):
    """Where the state of notifications lies, and the lease that makes one notifier the active one.

    A lease belongs to a token. All of these raise RetryableError if the store does not answer; to call again is safe.
    """

    def acquire(self, token: str, ttl_s: float) -> bool:
        """Take the lease if nobody has it, or if it is this token's already; it ends by itself after `ttl_s` seconds."""
        ...

    def renew(self, token: str, ttl_s: float) -> int | None:
        """Have the lease last for `ttl_s` from now; return the number of commits, None if the lease is not this token's."""
        ...

    def release(self, token: str) -> None:
        """Give the lease back, if it is this token's."""
        ...

    def load(self) -> NotifyState:
        """Return what is on record, in one step."""
        ...

    def commit(self, token: str, commit: NotifyCommit) -> None:
        """Write all of it or nothing, in one step.

        Raises:
            FencedError: the lease is not this token's.
        """
        ...

    def close(self) -> None:
        """Drop the connection."""
        ...


class Notification(msgspec.Struct, frozen=True):
    """What is to be sent: the group it is of, the body in JSON, and the key by which a receiver knows a repeat."""

    group: GroupName
    key: str
    body: bytes


Failure = Literal["client_error", "server_error", "rate_limited", "redirect", "no_connection", "tls", "timeout", "setup"]


class Outcome(msgspec.Struct, frozen=True):
    """How sending ended. `reason` is a fixed word, `detail` says more; neither holds a secret."""

    result: Result
    reason: Literal["ok"] | Failure
    detail: str
    retry_after_s: float | None = None


class Messenger(Protocol):
    """Sends; called from several threads."""

    def send(self, notification: Notification) -> Outcome:
        """Send once, within bounded time; whatever goes wrong is in the outcome."""
        ...
