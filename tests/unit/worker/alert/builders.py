"""Builders with defaults for the alert tests."""

from functools import cache
from typing import Any, TypeVar

from worker.alert.rules import RuleSet, parse_rules
from worker.messages import AlertEvent, Evidence, Label, ModelRef, Origin, Signal

MODEL = ModelRef("sentiment", "1")
RULE = """
rules:
  - name: bad-press
    detector: {type: share, window: 50s, bucket: 10s, threshold: 0.5, resolve_below: 0.4, min_messages: 4, confidence: 0.8}
"""
"""Five buckets of 10 s. Four negatives of four reach 0.5; see `test_detectors`."""


T = TypeVar("T")


def detector_of(text: str, kind: type[T]) -> T:
    """The parameters of the one rule's detector."""
    found = rules(text).rules[0].detector
    assert isinstance(found, kind)
    return found


@cache
def rules(text: str = RULE) -> RuleSet:
    """Rules of a text."""
    return parse_rules(text)


def signal(at_s: float = 0, label: Label = "negative", **fields: Any) -> Signal:
    """A signal at `at_s` seconds, id and score by its label and time unless given."""
    score = {"negative": -0.9, "neutral": 0.0, "positive": 0.9}[label]
    given: dict[str, Any] = {
        "alert_key": "entity:acme",
        "message_id": f"{label}-{at_s}",
        "label": label,
        "negative": max(0.0, -score),
        "score": score,
        "kind": "chat",
        "source": "tweets",
        "event_time_ms": round(at_s * 1000),
        "duplicate_of": None,
        "excerpt": "the words",
        "model": MODEL,
        "origin": Origin("chat", 0, round(at_s * 1000)),
        **fields,
    }
    return Signal(**given)


def event(at_ms: int = 60_000, **fields: Any) -> AlertEvent:
    """An alert event that fired."""
    evidence = Evidence(
        window_start_ms=at_ms - 50_000,
        window_end_ms=at_ms,
        messages=10,
        negatives=9,
        negative_share=0.9,
        detector="share",
        statistic=0.7,
        threshold=0.5,
        samples=(),
    )
    given: dict[str, Any] = {
        "id": f"a{at_ms}-firing",
        "alert_id": f"a{at_ms}",
        "state": "firing",
        "reason": "threshold_passed",
        "alert_key": "entity:acme",
        "rule": "bad-press",
        "rule_version": "0123456789ab",
        "severity": "warning",
        "started_at_ms": at_ms,
        "at_ms": at_ms,
        "evidence": evidence,
        "model": MODEL,
        **fields,
    }
    return AlertEvent(**given)
