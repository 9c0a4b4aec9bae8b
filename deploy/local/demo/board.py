"""What the view shows as it moves: the sentiment of each watched key by minute of event time, and the pace. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MINUTE_MS = 60_000
RECENT_MINUTES = 5
RATE_WINDOW_S = 5.0


@dataclass(slots=True)
class Tally:
    """Messages and negative ones among them."""

    messages: int = 0
    negatives: int = 0

    @property
    def share(self) -> float | None:
        """The negative share in [0, 1], None of nothing."""
        return self.negatives / self.messages if self.messages else None


def total(tallies: Iterable[Tally]) -> Tally:
    """Add tallies up."""
    counted = [(tally.messages, tally.negatives) for tally in tallies]
    return Tally(sum(messages for messages, _ in counted), sum(negatives for _, negatives in counted))


class Series:
    """One key's tallies by minute; signals from outside the replay's minutes count towards its ends."""

    def __init__(self, minutes: int) -> None:
        self.tallies = [Tally() for _ in range(minutes)]

    def add(self, minute: int, negative: bool) -> None:
        """Count a message."""
        tally = self.tallies[min(max(minute, 0), len(self.tallies) - 1)]
        tally.messages += 1
        tally.negatives += negative

    @property
    def all(self) -> Tally:
        """Everything so far."""
        return total(self.tallies)

    def recent(self, minute: int) -> Tally:
        """Return what the RECENT_MINUTES up to `minute` hold."""
        return total(self.tallies[max(0, minute + 1 - RECENT_MINUTES) : minute + 1])


class Board:
    """Sentiment by key, and the pace of predictions."""

    def __init__(self, keys: Sequence[str], start_ms: int, minutes: int) -> None:
        self.series: Mapping[str, Series] = {key: Series(minutes) for key in keys}
        self.minute = 0
        self._start_ms = start_ms
        self._arrivals: deque[float] = deque()

    def prediction(self, body: Mapping[str, Any], at_s: float) -> None:
        """Count a decoded prediction that was read at `at_s`."""
        self._arrivals.append(at_s)
        minute = (body["event_time_ms"] - self._start_ms) // MINUTE_MS
        for key in keys_of(body):
            if key in self.series:
                self.series[key].add(minute, body["label"] == "negative")
                self.minute = max(self.minute, min(minute, len(self.series[key].tallies) - 1))

    def rate_per_s(self, now_s: float) -> float:
        """Return predictions a second over the last RATE_WINDOW_S."""
        while self._arrivals and self._arrivals[0] < now_s - RATE_WINDOW_S:
            self._arrivals.popleft()
        return len(self._arrivals) / RATE_WINDOW_S


def keys_of(body: Mapping[str, Any]) -> list[str]:
    """Return the alert keys of a prediction."""
    return [f"entity:{name}" for name in body["entities"]] + [f"topic:{name}" for name in body["topics"]]
