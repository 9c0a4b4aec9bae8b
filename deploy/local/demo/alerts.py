"""Alert events as the demo found them: on the topic and on the Redis streams, which must agree. Pure."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SeenAlert:
    """What the demo shows of one CloudEvents 1.0 alert event."""

    id: str
    alert_id: str
    state: str
    key: str
    rule: str
    severity: str
    reason: str
    at_ms: int
    evidence: dict[str, Any]

    @classmethod
    def parse(cls, body: bytes) -> SeenAlert:
        """Read an event's JSON; a field that is missing is a KeyError."""
        data = json.loads(body)["data"]
        names = ("id", "alert_id", "state", "rule", "severity", "reason", "at_ms", "evidence")
        return cls(key=data["alert_key"], **{name: data[name] for name in names})


class AlertBook:
    """Every alert event seen, by where it was seen."""

    def __init__(self) -> None:
        self.events: list[SeenAlert] = []
        self._on_topic: Counter[str] = Counter()
        self._in_redis: Counter[str] = Counter()

    def on_topic(self, body: bytes) -> SeenAlert:
        """Book an event of the alerts topic."""
        event = SeenAlert.parse(body)
        self._on_topic[event.id] += 1
        if self._on_topic[event.id] == 1:
            self.events.append(event)
        return event

    def in_redis(self, bodies: list[bytes]) -> None:
        """Book all that the Redis streams hold now, in place of what was booked before."""
        self._in_redis = Counter(SeenAlert.parse(body).id for body in bodies)

    def count(self, state: str) -> int:
        """Return how many different events of this state are on the topic."""
        return sum(1 for event in self.events if event.state == state)

    @property
    def open(self) -> list[SeenAlert]:
        """The firing events whose alert has not resolved."""
        resolved = {event.alert_id for event in self.events if event.state == "resolved"}
        return [event for event in self.events if event.state == "firing" and event.alert_id not in resolved]

    @property
    def duplicates(self) -> int:
        """Events more than one with the same id, on the topic and in Redis together."""
        return sum(count - 1 for counter in (self._on_topic, self._in_redis) for count in counter.values())

    @property
    def differences(self) -> list[str]:
        """Ids that are in one place only."""
        return sorted(self._on_topic.keys() ^ self._in_redis.keys())

    @property
    def came_full_circle(self) -> set[str]:
        """Keys with an alert that fired and resolved, in that order."""
        fired: set[str] = set()
        done: set[str] = set()
        for event in self.events:
            if event.state == "firing":
                fired.add(event.alert_id)
            elif event.alert_id in fired:
                done.add(event.key)
        return done
