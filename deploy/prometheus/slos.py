"""Service level objectives, and the recording and alert rules made from them.

The rules follow the Site Reliability Workbook, chapter 5, part 6, "Multiwindow, Multi-Burn-Rate Alerts"
(https://sre.google/workbook/alerting-on-slos/): an alert fires when the budget of 30 days burns too fast over a long window and
still does over one of a twelfth of its length, so that it fires soon, and ends soon when all is well again.

`python -m deploy.prometheus.slos` writes the rules; a test holds the committed file to it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

RULES = Path(__file__).parents[1] / "helm/tidings/files/rules/slo.yaml"
SHORT_WINDOWS = ("5m", "30m", "1h", "2h", "6h")
LONG_WINDOWS = ("1d", "3d", "30d")
"""Computed less often: a month of buckets is much to read, and hardly moves."""
_HEADER = (
    "# Made by `python -m deploy.prometheus.slos` from deploy/prometheus/slos.py, which says where the numbers come from.\n"
)


class Objective(NamedTuple):
    """A share of events that must be good over 30 days.

    `bad` and `total` are rates of events in PromQL, by namespace, with `$w` for the window.
    """

    slo: str
    alert: str
    objective: float
    bad: str
    total: str
    promise: str

    @property
    def budget(self) -> float:
        """The share of events that may be bad."""
        return round(1 - self.objective, 9)


class Burn(NamedTuple):
    """How fast the budget may burn, as a multiple of what would use it up in just 30 days."""

    long: str
    short: str
    factor: float
    severity: str
    used: str


BURNS = (
    Burn("1h", "5m", 14.4, "critical", "2 % of the 30 days' budget in an hour"),
    Burn("6h", "30m", 6, "critical", "5 % of the 30 days' budget in six hours"),
    Burn("1d", "2h", 3, "warning", "10 % of the 30 days' budget in a day"),
    Burn("3d", "6h", 1, "warning", "10 % of the 30 days' budget in three days"),
)


def _slower_than(role: str, seconds: float) -> tuple[str, str]:
    """Return the rates of records that were done later than so many seconds, and of all; the bound is one of the buckets'."""
    total = f'sum by (namespace) (rate(tidings_record_latency_seconds_count{{role="{role}"}}[$w]))'
    good = f'sum by (namespace) (rate(tidings_record_latency_seconds_bucket{{role="{role}",le="{seconds}"}}[$w]))'
    return f"({total} - {good})", total


_LOST = 'sum by (namespace) (rate(tidings_consumer_offsets_expired_total{role=~"score|alert"}[$w]))'
_DONE = 'sum by (namespace) (rate(tidings_record_latency_seconds_count{role=~"score|alert"}[$w]))'
OBJECTIVES = (
    Objective(
        "freshness",
        "TidingsFreshnessBudgetBurn",
        0.995,
        *_slower_than("score", 10.0),
        "99.5 % of messages have their prediction committed within 10 s of being in Kafka",
    ),
    Objective(
        "loss",
        "TidingsLossBudgetBurn",
        0.9999,
        _LOST,
        f"({_DONE} + {_LOST})",
        "99.99 % of records are read before retention removes them",
    ),
    Objective(
        "alert_delay",
        "TidingsAlertDelayBudgetBurn",
        0.995,
        *_slower_than("alert", 5.0),
        "99.5 % of signals have their effects on Redis and their alert events on Kafka within 5 s of being in Kafka",
    ),
)


def rules() -> dict[str, Any]:
    """Return the groups of rules as Prometheus reads them."""
    objectives = [_recorded("slo_objective:ratio", f"vector({one.objective})", one) for one in OBJECTIVES]
    short = [rule for one in OBJECTIVES for rule in _recordings(one, SHORT_WINDOWS)]
    long = [rule for one in OBJECTIVES for rule in _recordings(one, LONG_WINDOWS)]
    burning = [alert for one in OBJECTIVES for alert in _alerts(one)]
    return {
        "groups": [
            {"name": "tidings-slo", "rules": [*objectives, *short]},
            {"name": "tidings-slo-long", "interval": "3m", "rules": long},
            {"name": "tidings-slo-alerts", "rules": burning},
        ]
    }


def text() -> str:
    """Return the file."""
    return _HEADER + yaml.safe_dump(rules(), sort_keys=False, width=1_000, allow_unicode=True)


def _recordings(one: Objective, windows: Sequence[str]) -> Iterator[dict[str, Any]]:
    for window in windows:
        yield _recorded(f"slo_errors:ratio_rate{window}", f"{one.bad} / {one.total}".replace("$w", window), one)


def _recorded(name: str, expression: str, one: Objective) -> dict[str, Any]:
    return {"record": f"tidings:{name}", "expr": expression, "labels": {"slo": one.slo}}


def _alerts(one: Objective) -> Iterator[dict[str, Any]]:
    for burn in BURNS:
        bound = f"({burn.factor} * {one.budget})"
        over = " and ".join(
            f'tidings:slo_errors:ratio_rate{window}{{slo="{one.slo}"}} > {bound}' for window in (burn.long, burn.short)
        )
        yield {
            "alert": one.alert,
            "expr": over,
            "labels": {"severity": burn.severity, "long_window": burn.long},
            "annotations": {
                "summary": f"{one.promise}: {burn.used} is burning.",
                "description": f"{{{{ $value | humanizePercentage }}}} are bad over {burn.long}, {one.budget:.2%} may be.",
                "runbook_url": f"docs/runbooks/{one.alert}.md",
            },
        }


if __name__ == "__main__":
    RULES.write_text(text(), encoding="utf-8")
