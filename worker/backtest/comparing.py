"""What another rule file would change: alerts paired by key, rule name and time. Pure.

An alert lasts from when its breach began to its resolution, or to the end of the input. Each alert is paired with at most one
alert of the other file: of the same key and rule name, whose time meets its own, the earliest that is not paired yet.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from worker.alert.backtest import Alert, Outcome
from worker.alert.rules import RuleSet

_FOREVER_MS = 1 << 62


class Pair(NamedTuple):
    """The same alert under the one rule file and under the other."""

    this: Alert
    other: Alert

    @property
    def shift_ms(self) -> int:
        """By how much later the other fires; negative where it fires earlier."""
        return self.other.fired_at_ms - self.this.fired_at_ms

    @property
    def is_ended_alike(self) -> bool:
        """Whether both resolve at one time, or neither does."""
        return self.other.resolved_at_ms == self.this.resolved_at_ms


class Comparison(NamedTuple):
    """Alerts of one file only, and of both; and how the rules themselves differ, by name."""

    only_this: list[Alert]
    only_other: list[Alert]
    both: list[Pair]
    removed: list[str]
    added: list[str]
    changed: list[str]


def compare(this: Outcome, other: Outcome) -> Comparison:
    """Pair the alerts of two backtests over the same signals; `this` and `other` in order of firing, as outcomes have them."""
    theirs = defaultdict[tuple[str, str], list[Alert]](list)
    for alert in other.alerts:
        theirs[_place(alert)].append(alert)
    both, alone = list[Pair](), list[Alert]()
    for alert in this.alerts:
        found = _first_meeting(alert, theirs[_place(alert)])
        if found is None:
            alone.append(alert)
        else:
            theirs[_place(alert)].remove(found)
            both.append(Pair(alert, found))
    paired = {id(pair.other) for pair in both}
    left = [alert for alert in other.alerts if id(alert) not in paired]
    return Comparison(alone, left, both, *_differences(this.rules, other.rules))


def _place(alert: Alert) -> tuple[str, str]:
    return alert.alert_key, alert.rule


def _first_meeting(alert: Alert, others: Sequence[Alert]) -> Alert | None:
    start_ms, end_ms = _span(alert)
    for other in others:
        other_start_ms, other_end_ms = _span(other)
        if other_start_ms <= end_ms and start_ms <= other_end_ms:
            return other
    return None


def _span(alert: Alert) -> tuple[int, int]:
    return alert.fired.started_at_ms, _FOREVER_MS if alert.resolved_at_ms is None else alert.resolved_at_ms


def _differences(this: RuleSet, other: RuleSet) -> tuple[list[str], list[str], list[str]]:
    mine, theirs = this.by_name, other.by_name
    changed = [name for name, rule in mine.items() if name in theirs and theirs[name].version != rule.version]
    return sorted(mine.keys() - theirs.keys()), sorted(theirs.keys() - mine.keys()), sorted(changed)
