"""Why an alert changed state: the window's figures and the messages that weighed most. Pure."""

import re
from typing import NamedTuple
from urllib.parse import quote

from worker.alert.detectors import Reading
from worker.alert.ring import Ring, tallies
from worker.alert.rules import Rule
from worker.alert.windows import most_negative
from worker.messages import Evidence

_PLACE = re.compile(r"\{(alert_key|alert_id|rule|start_ms|end_ms)\}")


class Scene(NamedTuple):
    """What `reading` was made from: the buckets that were closed at `at_ms`, and how many signals came too late."""

    at_ms: int
    closed: Ring
    late: int
    reading: Reading


def gather(rule: Rule, scene: Scene) -> Evidence:
    """Write down what the reading was made from."""
    reading, spans_ms = scene.reading, rule.detector.spans_ms
    span_ms = reading.span_ms or rule.detector.window
    tally, start_ms = tallies(scene.closed, scene.at_ms, spans_ms)[spans_ms.index(span_ms)], scene.at_ms - span_ms
    return Evidence(
        window_start_ms=start_ms,
        window_end_ms=scene.at_ms,
        messages=tally.messages,
        negatives=tally.negatives,
        negative_share=tally.negatives / tally.messages if tally.messages else 0.0,
        mean_score=tally.score / 1_000 / tally.messages if tally.messages else 0.0,
        detector=rule.detector.type,
        statistic=reading.statistic,
        threshold=reading.threshold,
        baseline=reading.baseline,
        late=scene.late,
        samples=most_negative(tuple(sample for sample in scene.closed.samples if sample.event_time_ms >= start_ms)),
    )


def labels_of(rule: Rule, alert_key: str) -> dict[str, str]:
    """Return what names an alert to silences, inhibition and receivers: as Alertmanager has it, `alertname` and the rest."""
    scope, _, name = alert_key.partition(":")
    own = {"alertname": rule.name, "alert_key": alert_key, "severity": rule.severity}
    return {**rule.labels, **({scope: name} if name else {}), **own}


def link_of(rule: Rule, alert_key: str, alert_id: str, evidence: Evidence) -> str | None:
    """Return the rule's link with its places filled in, percent-encoded; None where the rule has none."""
    if rule.link is None:
        return None
    values = {"alert_key": alert_key, "alert_id": alert_id, "rule": rule.name}
    values |= {"start_ms": str(evidence.window_start_ms), "end_ms": str(evidence.window_end_ms)}
    return _PLACE.sub(lambda place: quote(values[place.group(1)], safe=""), rule.link)
