"""What a run left behind, as its independent readers saw it: frozen values between the run loop and the verifier."""

from dataclasses import dataclass, field
from typing import NamedTuple

from worker.messages import Record


class StreamEntry(NamedTuple):
    """One entry of a Redis stream of alert events: the stream's key, the entry's id (`<signal offset + 1>-<n>`), its event."""

    stream: str
    id: str
    event: bytes

    @property
    def place(self) -> tuple[int, int]:
        """The id as Redis orders it."""
        first, _, second = self.id.partition("-")
        return int(first), int(second)


@dataclass(frozen=True)
class Outcome:
    """Everything that a `read_committed` reader and a reader of the streams saw.

    Attributes:
        predictions: of `sentiment.predictions`, in the order read, so in order of offsets within a partition.
        dead_letters: of `sentiment.dead-letters`, likewise.
        alerts: of `sentiment.alerts`, likewise.
        stream_seen: every entry that was seen on a stream while the run went on, in the order seen; an entry that is read
            again after Redis lost its data is there again.
        stream_end: per stream key, what was in it at the end, oldest first.
    """

    predictions: list[Record] = field(default_factory=list)
    dead_letters: list[Record] = field(default_factory=list)
    alerts: list[Record] = field(default_factory=list)
    stream_seen: list[StreamEntry] = field(default_factory=list)
    stream_end: dict[str, list[StreamEntry]] = field(default_factory=dict)
