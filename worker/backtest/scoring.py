"""Alerts held to labelled incidents. Pure.

What counts, exactly:

- An alert is one from its first firing to its resolution; that it went stale and came back does not make it two.
- It matches an incident if it is on the same key, of the incident's rule where that names one, and if it *fires* within
  [start, end + grace], both ends included. An alert that fired before the start and is still firing does not match.
- Incidents whose [start, end + grace] lies wholly outside the event times of the input are left out, and counted as such.
- precision = alerts that match an incident / alerts. Several alerts may match one incident; an alert may match several.
- recall = incidents that an alert matches / incidents.
- delay = from an incident's start to the first firing that matches it, in event time: the boundary at which the alert fired.
  Live, it is heard of once the watermark has passed that, so later by the allowed lateness. The 90th percentile is by nearest
  rank.
- false alarms per key and day = alerts that match nothing / (keys with signals, that the rule covers) / days of event time.
- For one rule, its own alerts count, and the incidents that name it, or name none and are on a key that it covers. In all,
  every alert and every incident counts once.

A figure that would divide by nothing is None.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import ceil
from statistics import median
from typing import NamedTuple

import msgspec

from worker.alert.backtest import Alert, Outcome
from worker.backtest.incidents import Incident

DAY_MS = 86_400_000


class Labels(NamedTuple):
    """The incidents, and for how long after its end an alert still counts for one."""

    incidents: tuple[Incident, ...]
    grace_ms: int = 0


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How the alerts of one rule, or of all, did; times in milliseconds. What needs labels is None without."""

    fired: int
    resolved: int
    open: int
    silences: int
    alerts_per_day: float | None
    matched: int | None = None
    precision: float | None = None
    incidents: int | None = None
    detected: int | None = None
    recall: float | None = None
    delay_median_ms: float | None = None
    delay_p90_ms: float | None = None
    false_per_key_day: float | None = None


class Scores(msgspec.Struct, frozen=True):
    """The score of each rule by name, and in all; which alerts are false, which incidents were missed or left out."""

    rules: dict[str, Score]
    total: Score
    false_alarms: tuple[Alert, ...] = ()
    missed: tuple[Incident, ...] = ()
    outside: tuple[Incident, ...] = ()


class _Scope(NamedTuple):
    """What one score is about."""

    alerts: Sequence[Alert]
    incidents: Sequence[Incident]
    keys: int
    days: float


def score(outcome: Outcome, labels: Labels | None) -> Scores:
    """Score the alerts, rule by rule and in all; without labels only what needs none."""
    incidents, outside = _split(labels.incidents if labels else (), lambda one: _is_inside(one, outcome, labels))
    days = (
        (outcome.last_ms - outcome.first_ms) / DAY_MS if outcome.last_ms is not None and outcome.first_ms is not None else 0.0
    )
    scores = {}
    for rule in outcome.rules.rules:
        alerts = [alert for alert in outcome.alerts if alert.rule == rule.name]
        its_own = [one for one in incidents if one.rule == rule.name or (one.rule is None and rule.scope.covers(one.alert_key))]
        keys = sum(rule.scope.covers(key) for key in outcome.keys)
        scores[rule.name] = _score(_Scope(alerts, its_own, keys, days), labels)
    covered = sum(bool(outcome.rules.for_key(key)) for key in outcome.keys)
    total = _score(_Scope(outcome.alerts, incidents, covered, days), labels)
    if labels is None:
        return Scores(scores, total)
    pairs = _matching(outcome.alerts, incidents, labels.grace_ms)
    false = tuple(alert for at, alert in enumerate(outcome.alerts) if at not in pairs.alerts)
    missed = tuple(one for at, one in enumerate(incidents) if at not in pairs.delays)
    return Scores(scores, total, false, missed, tuple(outside))


def matches(alert: Alert, incident: Incident, grace_ms: int) -> bool:
    """Tell whether the alert fired for the incident; see the module's docstring."""
    return (
        alert.alert_key == incident.alert_key
        and incident.rule in {None, alert.rule}
        and incident.start_ms <= alert.fired_at_ms <= incident.end_ms + grace_ms
    )


def _is_inside(incident: Incident, outcome: Outcome, labels: Labels | None) -> bool:
    grace_ms = labels.grace_ms if labels else 0
    if outcome.first_ms is None or outcome.last_ms is None:
        return False
    return incident.start_ms <= outcome.last_ms and incident.end_ms + grace_ms >= outcome.first_ms


def _score(scope: _Scope, labels: Labels | None) -> Score:
    alerts = scope.alerts
    fired, resolved = len(alerts), sum(alert.resolved is not None for alert in alerts)
    plain = Score(
        fired=fired,
        resolved=resolved,
        open=fired - resolved,
        silences=sum(alert.silences for alert in alerts),
        alerts_per_day=_ratio(fired, scope.days),
    )
    return plain if labels is None else _held(plain, scope, labels.grace_ms)


def _held(plain: Score, scope: _Scope, grace_ms: int) -> Score:
    pairs = _matching(scope.alerts, scope.incidents, grace_ms)
    matched, found, delays = len(pairs.alerts), len(scope.incidents), sorted(pairs.delays.values())
    return msgspec.structs.replace(
        plain,
        matched=matched,
        precision=_ratio(matched, plain.fired),
        incidents=found,
        detected=len(delays),
        recall=_ratio(len(delays), found),
        delay_median_ms=median(delays) if delays else None,
        delay_p90_ms=delays[ceil(0.9 * len(delays)) - 1] if delays else None,
        false_per_key_day=_ratio(plain.fired - matched, scope.keys * scope.days),
    )


class _Pairs(NamedTuple):
    """The places of the alerts that match an incident, and how long each incident, by its place, was waited for."""

    alerts: set[int]
    delays: dict[int, int]


def _matching(alerts: Sequence[Alert], incidents: Sequence[Incident], grace_ms: int) -> _Pairs:
    by_key = defaultdict[str, list[tuple[int, Incident]]](list)
    for place, incident in enumerate(incidents):
        by_key[incident.alert_key].append((place, incident))
    pairs = _Pairs(set(), {})
    for at, alert in enumerate(alerts):
        for place, incident in by_key.get(alert.alert_key, ()):
            if matches(alert, incident, grace_ms):
                delay_ms = alert.fired_at_ms - incident.start_ms
                pairs.alerts.add(at)
                pairs.delays[place] = min(delay_ms, pairs.delays.get(place, delay_ms))
    return pairs


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _split(incidents: Sequence[Incident], is_meant: Callable[[Incident], bool]) -> tuple[list[Incident], list[Incident]]:
    meant = [one for one in incidents if is_meant(one)]
    return meant, [one for one in incidents if not is_meant(one)]
