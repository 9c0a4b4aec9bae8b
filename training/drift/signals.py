"""Drift as signals, so that the rules that watch the world watch the model too.

One signal a feature, in the format of `sentiment.signals` (`tidings schema signal`), on the reserved alert key `model:NAME`.
`negative` is m / (m + limit) for the index and, where it is no chance, for the distance of Kolmogorov and Smirnov, whichever is
larger: 0.5 is where a feature counts as drifted, whatever the limits are, and 0.8 is four times as far.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.drift.statistics import Drift, Limits

SCOPE = "model"
ORIGIN = "drift"


@dataclass(frozen=True, slots=True)
class Watched:
    """The model that is watched, and when it was looked at, in milliseconds of the Unix epoch."""

    name: str
    version: str
    at_ms: int


def signals(drifts: Sequence[Drift], watched: Watched, limits: Limits) -> list[dict[str, Any]]:
    """Return one signal a feature; its `source` is the feature, its excerpt what moved, in figures and names of classes."""
    return [_signal(place, drift, watched, limits) for place, drift in enumerate(drifts)]


def lines(found: Sequence[dict[str, Any]]) -> str:
    """Return the signals as JSON lines."""
    return "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in found)


def strength(drift: Drift, limits: Limits) -> float:
    """Return how far a feature has drifted, in [0, 1]: 0.5 at the limit."""
    reached = [_over(drift.psi, limits.psi)]
    if drift.ks is not None and drift.p is not None and drift.p < limits.significance:
        reached.append(_over(drift.ks, limits.ks))
    return max(reached)


def _over(value: float, limit: float) -> float:
    return max(0.0, value) / (max(0.0, value) + limit) if limit > 0 else 1.0


def _signal(place: int, drift: Drift, watched: Watched, limits: Limits) -> dict[str, Any]:
    far = round(strength(drift, limits), 6)
    distance = "" if drift.ks is None else f", KS {drift.ks:.3f}"
    return {
        "alert_key": f"{SCOPE}:{watched.name}",
        "message_id": f"drift-{watched.name}-{watched.at_ms}-{place}",
        "label": "negative" if drift.drifted else "neutral",
        "negative": far,
        "score": -far,
        "kind": "news",
        "source": drift.feature,
        "event_time_ms": watched.at_ms,
        "duplicate_of": None,
        "excerpt": f"{drift.feature}: {drift.told} (PSI {drift.psi:.3f}{distance}; {drift.live:,} rows)"[:280],
        "model": {"name": watched.name, "version": watched.version},
        "origin": {"topic": ORIGIN, "partition": 0, "offset": place},
    }
