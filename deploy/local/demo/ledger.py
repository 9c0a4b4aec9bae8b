"""What was sent against what came out: the books of a reader that trusts nobody. Pure.

Times are seconds of one monotonic clock.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from deploy.local.demo.plan import Planned


class Position(NamedTuple):
    """Where Kafka put a record."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as the reader got it at `at_s`."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes | None]
    at_s: float


class Ledger:
    """Counts what is lost, doubled, unexpected or altered. Memory is bounded by the plan.

    Attributes:
        predictions: sent messages with at least one prediction.
        agreed: those among the `rated` ones whose label is the one that people gave.
        undelivered: what Kafka did not take, and why.
        unexpected: records that are no answer to anything sent.
        altered: dead letters that are not the bytes that were sent.
    """

    def __init__(self) -> None:
        self._sent: dict[str, float] = {}
        self._rated: dict[str, str] = {}
        self._seen: Counter[str] = Counter()
        self._latencies_s: list[float] = []
        self._flawed: dict[Position, Planned] = {}
        self._dead: Counter[Position] = Counter()
        self._first_s = self._last_s = math.nan
        self.predictions = self.agreed = self.rated = 0
        self.undelivered: list[str] = []
        self.unexpected: list[str] = []
        self.altered: list[str] = []

    def sent(self, planned: Planned, at_s: float) -> None:
        """A record is handed to the producer."""
        if math.isnan(self._first_s):
            self._first_s = at_s
        if planned.id is not None:
            self._sent[planned.id] = at_s
            if planned.rated:
                self._rated[planned.id] = planned.rated

    def delivered(self, planned: Planned, position: Position) -> None:
        """Kafka has the record."""
        if planned.id is None:
            self._flawed[position] = planned

    def failed(self, planned: Planned, reason: str) -> None:
        """Kafka did not take the record."""
        self.undelivered.append(f"{planned.id or planned.flaw}: {reason}")

    def prediction(self, seen: Seen) -> dict[str, Any]:
        """Book a record of the predictions topic and return it decoded."""
        body: dict[str, Any] = json.loads(seen.value or b"null")
        name = body["id"]
        self._seen[name] += 1
        if name not in self._sent or seen.key != name.encode():
            self.unexpected.append(f"a prediction for {name!r} under the key {seen.key!r}")
        elif self._seen[name] == 1:
            self.predictions += 1
            self._latencies_s.append(seen.at_s - self._sent[name])
            self._last_s = seen.at_s
            self._compare(name, body["label"])
        return body

    def _compare(self, name: str, label: str) -> None:
        if name in self._rated:
            self.rated += 1
            self.agreed += label == self._rated[name]

    def dead_letter(self, seen: Seen) -> str:
        """Book a record of the dead-letter topic and return a line about it for people."""
        position = _origin(seen.headers)
        planned = self._flawed.get(position)
        self._dead[position] += 1
        reason = (seen.headers.get("tidings.reason") or b"no reason").decode()
        if planned is None:
            self.unexpected.append(f"a dead letter of {position}: {reason}")
            return f"unexpected: {reason}"
        if (seen.value or b"") != planned.body:
            self.altered.append(f"the dead letter of {planned.flaw} is not the bytes that were sent")
        return f"{planned.flaw}: {reason}"

    @property
    def messages(self) -> int:
        """Messages sent that must each get one prediction."""
        return len(self._sent)

    @property
    def malformed(self) -> int:
        """Records delivered that must each become one dead letter."""
        return len(self._flawed)

    @property
    def unanswered(self) -> int:
        """Messages sent that have no prediction yet."""
        return self.messages - self.predictions

    @property
    def dead_letters(self) -> int:
        """Malformed records found among the dead letters, byte for byte."""
        return len(self._dead.keys() & self._flawed.keys()) - len(self.altered)

    @property
    def lost(self) -> list[str]:
        """Ids without a prediction, and flaws without a dead letter."""
        missing = [planned.flaw or "" for position, planned in self._flawed.items() if position not in self._dead]
        return sorted(self._sent.keys() - self._seen.keys()) + missing

    @property
    def duplicates(self) -> int:
        """Records more than one for the same message, predictions and dead letters together."""
        return sum(count - 1 for counter in (self._seen, self._dead) for count in counter.values())

    @property
    def settled(self) -> bool:
        """Whether everything sent so far has been answered."""
        return not self.lost

    def latency_ms(self, percent: float) -> float:
        """Return the nearest-rank percentile of the time from `produce` to the reader, in milliseconds; NaN without any."""
        return percentile(self._latencies_s, percent) * 1000

    def recent_latency_ms(self, percent: float, count: int = 500) -> float:
        """Return the same over the last `count` predictions."""
        return percentile(self._latencies_s[-count:], percent) * 1000

    @property
    def throughput_per_s(self) -> float:
        """Predictions over the time from the first record sent to the last prediction read."""
        elapsed = self._last_s - self._first_s
        return self.predictions / elapsed if elapsed > 0 else 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile (percent in (0, 100]), NaN of nothing."""
    if not values:
        return math.nan
    return sorted(values)[math.ceil(percent / 100 * len(values)) - 1]


def _origin(headers: Mapping[str, bytes | None]) -> Position:
    topic, partition, offset = ((headers.get(f"tidings.{name}") or b"").decode() for name in ("topic", "partition", "offset"))
    return Position(topic, int(partition or -1), int(offset or -1))
