"""Builders with defaults for the backtest's tests."""

from typing import Any

from tests.unit.worker.alert.builders import event, rules
from worker.alert.backtest import Alert, Outcome
from worker.alert.late import LateSignals
from worker.backtest.incidents import Incident

DAY_MS = 86_400_000
T0 = 1_772_323_200_000
"""2026-03-01, midnight UTC."""
TWO_RULES = """
rules:
  - name: film-only
    scope: {topics: [film]}
    detector: {type: share}
  - name: bad-press
    detector: {type: share}
"""


def alert(fired_s: float, until_s: float | None = None, key: str = "entity:acme", **fields: Any) -> Alert:
    """An alert that fired and resolved so many seconds after T0, or did not resolve."""
    fired = event(T0 + round(fired_s * 1_000), alert_key=key, **fields)
    told = {name: getattr(fired, name) for name in fired.__struct_fields__} | {"state": "resolved"}
    resolved = None if until_s is None else type(fired)(**told | {"at_ms": T0 + round(until_s * 1_000)})
    return Alert(fired, 0, resolved)


def incident(start_s: float, end_s: float, key: str = "entity:acme", **fields: Any) -> Incident:
    """An incident from and to so many seconds after T0."""
    return Incident(alert_key=key, start_ms=T0 + round(start_s * 1_000), end_ms=T0 + round(end_s * 1_000), **fields)


def outcome(*alerts: Alert, days: float = 1, text: str = TWO_RULES, **fields: Any) -> Outcome:
    """What a backtest over so many days from T0 came to, with signals on four keys."""
    given: dict[str, Any] = {
        "rules": rules(text),
        "signals": 400,
        "keys": dict.fromkeys(("entity:acme", "entity:globex", "topic:film", "topic:outage"), 100),
        "late": LateSignals(),
        "first_ms": T0,
        "last_ms": T0 + round(days * DAY_MS),
        "alerts": alerts,
        "events": (),
        **fields,
    }
    return Outcome(**given)
