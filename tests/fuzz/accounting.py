"""Every message that went in comes out exactly once: as a prediction, or as a dead letter that is the message byte for byte."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tests.fuzz.mutations import Mutant
from worker.messages import Headers, Origin, Record

ADDED = ("reason", "detail", "topic", "partition", "offset", "timestamp_ms")
"""Headers that a dead letter adds, without their `tidings.`, in order."""
MAX_EXAMPLES = 20


class Layout(NamedTuple):
    """Where message number n lies: dealt out in turn to the partitions of the input topics, so that its offset is known."""

    topics: Sequence[str]
    partitions: int

    def place(self, number: int) -> Origin:
        """Return topic, partition and offset of a message."""
        turn, slot = divmod(number, len(self.topics) * self.partitions)
        return Origin(self.topics[slot % len(self.topics)], slot // len(self.topics), turn)

    def number(self, place: Origin) -> int | None:
        """Return the number of the message that lies there, None if there is no such place."""
        if place.topic not in self.topics or not 0 <= place.partition < self.partitions or place.offset < 0:
            return None
        slot = place.partition * len(self.topics) + list(self.topics).index(place.topic)
        return place.offset * len(self.topics) * self.partitions + slot


class _Prediction(msgspec.Struct):
    """What has to be known of a prediction; read without the worker's own decoder."""

    id: str
    origin: Origin
    label: str


_decoder = msgspec.json.Decoder(_Prediction)


class Account:
    """Counts in one byte a message, whatever the number of messages.

    `mutant` gives message number n as it was sent.
    """

    def __init__(self, messages: int, layout: Layout, mutant: Callable[[int], Mutant]) -> None:
        self.messages = messages
        self._layout = layout
        self._mutant = mutant
        self._seen = bytearray(messages)
        self.predictions = 0
        self.reasons: Counter[str] = Counter()
        self.altered = self.strangers = self.wrongly_refused = 0
        self.examples: list[str] = []

    @property
    def accounted(self) -> int:
        """Messages that came out at least once."""
        return self.messages - self.unaccounted

    @property
    def unaccounted(self) -> int:
        """Messages that have not come out."""
        return self._seen.count(0)

    @property
    def doubled(self) -> int:
        """Messages that came out more than once."""
        return self.messages - self._seen.count(0) - self._seen.count(1)

    @property
    def outputs(self) -> int:
        """Records that came out."""
        return self.predictions + self.reasons.total()

    def faults(self) -> dict[str, int]:
        """Return what must be 0, by name."""
        names = ("unaccounted", "doubled", "altered", "strangers", "wrongly_refused")
        return {name: getattr(self, name) for name in names}

    def prediction(self, record: Record) -> None:
        """Take a record of the predictions topic."""
        self.predictions += 1
        try:
            found = _decoder.decode(record.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return self._strange(record, f"no prediction: {error}")
        number = self._came_out(record, found.origin)
        if number is not None and record.key != found.id.encode():
            self.altered += 1
            self._note(number, f"key {record.key!r} is not its id {found.id!r}")
        return None

    def dead_letter(self, record: Record) -> None:
        """Take a record of the dead-letter topic."""
        own, added = record.headers[: -len(ADDED)], record.headers[-len(ADDED) :]
        if tuple(name for name, _ in added) != tuple(f"tidings.{name}" for name in ADDED):
            self.reasons["?"] += 1
            return self._strange(record, "it does not end in the headers of a dead letter")
        said = {name: (value or b"").decode("utf-8", "replace") for name, (_, value) in zip(ADDED, added, strict=True)}
        self.reasons[said["reason"]] += 1
        number = self._came_out(record, Origin(said["topic"], int(said["partition"]), int(said["offset"])))
        if number is not None:
            self._compare(number, record, own, said)
        return None

    def _compare(self, number: int, record: Record, own: Headers, said: Mapping[str, str]) -> None:
        sent = self._mutant(number)
        same_time = sent.timestamp_ms is None or said["timestamp_ms"] == str(sent.timestamp_ms)
        if (record.key, record.value, own) != (sent.key, sent.value, sent.headers) or not same_time:
            self.altered += 1
            self._note(number, f"the dead letter is not the message ({sent.spoilt})")
        if sent.spoilt == "whole":
            self.wrongly_refused += 1
            self._note(number, f"a good message was refused: {said['reason']}: {said['detail']}")

    def _came_out(self, record: Record, place: Origin) -> int | None:
        number = self._layout.number(place)
        if number is None or number >= self.messages:
            self._strange(record, f"there was no message at {place}")
            return None
        self._seen[number] = min(255, self._seen[number] + 1)
        if self._seen[number] > 1:
            self._note(number, "came out once more")
        return number

    def _strange(self, record: Record, why: str) -> None:
        self.strangers += 1
        self._say(f"{record.topic}-{record.partition}-{record.offset}: {why}")

    def _note(self, number: int, what: str) -> None:
        self._say(f"message {number}: {what}")

    def _say(self, what: str) -> None:
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(what[:300])
