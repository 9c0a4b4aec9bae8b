"""Alerts held to the planted incidents. Pure.

An alert counts for an incident on its key when it fires within [start, end + grace]; that is what `tidings backtest --labels`
does too. Every other alert is false, but for those that fire where nobody is judged. Recall is asked of the detectable
incidents alone; what fires for another is no false alarm, for something did happen. Days are those of all keys, less incidents
and what is not judged. Delay is from the incident's start to the end of the bucket on which the alert fired.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import ceil
from statistics import median
from typing import NamedTuple

from scipy.stats import chi2  # type: ignore[import-untyped]

from tests.benchmarks.planted.arrivals import DAY_MS, MINUTE_MS
from tests.benchmarks.planted.planting import Planted

GRACE_MS = 10 * MINUTE_MS


class Fired(NamedTuple):
    """One alert: on which key, by which rule, from when to when; None: to the end."""

    alert_key: str
    rule: str
    fired_ms: int
    resolved_ms: int | None


class Truth(NamedTuple):
    """What happened on a key: incidents, and spans that nobody is judged by; how long it was watched."""

    alert_key: str
    group: str
    incidents: tuple[Planted, ...]
    unjudged: tuple[tuple[int, int], ...]
    days: float


class Case(NamedTuple):
    """A detectable incident: its group, and the delay until an alert fired, None if none did."""

    group: str
    incident: Planted
    delay_ms: int | None


class Result(NamedTuple):
    """What a detector came to: its cases, its false alarms by group, the days on which there could have been one, by group."""

    cases: tuple[Case, ...]
    false_alarms: dict[str, int]
    days: dict[str, float]

    def only(self, groups: Iterable[str]) -> "Result":
        """Return what it came to on these groups."""
        kept = frozenset(groups)
        return Result(
            tuple(case for case in self.cases if case.group in kept),
            {group: count for group, count in self.false_alarms.items() if group in kept},
            {group: days for group, days in self.days.items() if group in kept},
        )


class Figures(NamedTuple):
    """A result in figures; times in seconds, None where nothing was asked for or found."""

    incidents: int
    recall: float | None
    false_alarms_per_day: float
    false_alarms_at_most: float
    median_delay_s: float | None
    delay_p90_s: float | None


def hold(alerts: Iterable[Fired], truths: Sequence[Truth], detector: str) -> Result:
    """Hold the alerts of one rule, whose detector it is, to what happened."""
    by_key = defaultdict[str, list[Fired]](list)
    for alert in alerts:
        by_key[alert.alert_key].append(alert)
    cases, false, days = list[Case](), defaultdict[str, int](int), defaultdict[str, float](float)
    for truth in truths:
        fired = by_key[truth.alert_key]
        asked = [one for one in truth.incidents if one.detectable_by(detector)]
        cases += [Case(truth.group, one, _delay(one, fired)) for one in asked]
        exempt = [(one.start_ms, one.end_ms + GRACE_MS) for one in truth.incidents] + list(truth.unjudged)
        false[truth.group] += sum(not any(begin <= alert.fired_ms <= end for begin, end in exempt) for alert in fired)
        days[truth.group] += truth.days - _covered(exempt) / DAY_MS
    return Result(tuple(cases), dict(false), dict(days))


def _delay(incident: Planted, fired: Iterable[Fired]) -> int | None:
    inside = [one.fired_ms for one in fired if incident.start_ms <= one.fired_ms <= incident.end_ms + GRACE_MS]
    return min(inside) - incident.start_ms if inside else None


def _covered(spans: Iterable[tuple[int, int]]) -> int:
    """Return how long the spans are together; what two cover counts once."""
    covered, reached = 0, 0
    for begin, end in sorted(spans):
        covered += max(0, end - max(begin, reached))
        reached = max(reached, end)
    return covered


def figures(result: Result) -> Figures:
    """Return a result in figures; false alarms with the upper end of their 95 % interval (Garwood's, exact for Poisson)."""
    delays = sorted(case.delay_ms for case in result.cases if case.delay_ms is not None)
    false, days = sum(result.false_alarms.values()), sum(result.days.values())
    return Figures(
        len(result.cases),
        len(delays) / len(result.cases) if result.cases else None,
        false / days if days else 0.0,
        float(chi2.ppf(0.975, 2 * false + 2)) / 2 / days if days else 0.0,
        median(delays) / 1_000 if delays else None,
        delays[ceil(0.9 * len(delays)) - 1] / 1_000 if delays else None,
    )
