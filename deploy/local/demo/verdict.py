"""Whether the run held what was promised, and the one JSON line that says so. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.local.demo.alerts import AlertBook
from deploy.local.demo.ledger import Ledger

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """`problems` has one line for each promise that was not kept; `figures` goes out as JSON."""

    problems: tuple[str, ...]
    figures: Mapping[str, Any]


def judge(ledger: Ledger, alerts: AlertBook, watched: str, about: Mapping[str, Any]) -> Verdict:
    """Return the verdict; `watched` is the alert key that was made to turn, `about` what else the JSON line says."""
    figures = {
        "messages": ledger.messages,
        "predictions": ledger.predictions,
        "duplicates": ledger.duplicates + alerts.duplicates,
        "lost": len(ledger.lost),
        "malformed": ledger.malformed,
        "dead_letters": ledger.dead_letters,
        "alerts_fired": alerts.count("firing"),
        "alerts_resolved": alerts.count("resolved"),
        "throughput_per_s": round(ledger.throughput_per_s, 1),
        "latency_ms_p50": _whole(ledger.latency_ms(50)),
        "latency_ms_p99": _whole(ledger.latency_ms(99)),
        "agreement_with_people": round(ledger.agreed / max(1, ledger.rated), 3),
        **about,
    }
    return Verdict((*_of_messages(ledger), *_of_alerts(alerts, watched)), figures)


def _of_messages(ledger: Ledger) -> list[str]:
    findings = {
        "lost": ledger.lost,
        "not taken by Kafka": ledger.undelivered,
        "unexpected": ledger.unexpected,
        "altered": ledger.altered,
    }
    problems = [f"{len(names)} {what}: {_some(names)}" for what, names in findings.items() if names]
    if ledger.duplicates:
        problems.append(f"{ledger.duplicates} doubled")
    if not ledger.messages:
        problems.append("nothing was sent")
    return problems


def _of_alerts(alerts: AlertBook, watched: str) -> list[str]:
    problems = []
    if watched not in alerts.came_full_circle:
        problems.append(f"no alert on {watched} both fired and resolved")
    if others := sorted({event.key for event in alerts.events} - {watched}):
        problems.append(f"an alert on {', '.join(others)}, where nothing was wrong")
    if alerts.duplicates:
        problems.append(f"{alerts.duplicates} alert events doubled")
    if alerts.differences:
        problems.append(f"Redis and Kafka do not hold the same alert events: {_some(alerts.differences)}")
    return problems


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def _whole(milliseconds: float) -> int | None:
    return None if math.isnan(milliseconds) else round(milliseconds)
