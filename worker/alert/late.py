"""Signals that came too late for a rule: how many, for which rules, how far behind; and when to say so. Pure."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from worker.messages import Signal

_EVERY_S = 60.0


class LateSignals(msgspec.Struct):
    """`signals` counts each once, `rules` once for each rule that it was late for.

    `behind_ms` is the furthest that one lay behind the newest event time of its partition: so much allowed lateness would have
    let them all count. `total_ms` adds up how far behind each was.
    """

    signals: int = 0
    rules: Counter[str] = msgspec.field(default_factory=Counter)
    behind_ms: int = 0
    total_ms: int = 0

    def note(self, signal: Signal, rules: Iterable[str], newest_ms: int) -> None:
        """Count a signal that was late for these rules; none: it was not late."""
        if named := Counter(rules):
            self.add(LateSignals(1, named, newest_ms - signal.event_time_ms, newest_ms - signal.event_time_ms))

    def add(self, others: "LateSignals") -> None:
        """Count these too."""
        self.signals += others.signals
        self.rules.update(others.rules)
        self.behind_ms = max(self.behind_ms, others.behind_ms)
        self.total_ms += others.total_ms


class LateWatch:
    """Gathers late signals, and gives them up to be told: at once, and then at most once a minute."""

    def __init__(self) -> None:
        self._gathered = LateSignals()
        self._next_s = float("-inf")

    def add(self, late: LateSignals) -> None:
        """Gather them."""
        self._gathered.add(late)

    def due(self, now_s: float) -> LateSignals | None:
        """Return those that were not told yet, if there are any and it is time; `now_s` is monotonic."""
        if not self._gathered.signals or now_s < self._next_s:
            return None
        told, self._gathered, self._next_s = self._gathered, LateSignals(), now_s + _EVERY_S
        return told
