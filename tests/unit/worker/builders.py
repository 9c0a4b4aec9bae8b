"""Values with defaults, for the tests of the score side."""

import json
from datetime import UTC, datetime
from typing import Any

from worker.codec import Clock, decode_message
from worker.messages import (
    AlertEvent,
    Evidence,
    Feedback,
    Message,
    ModelRef,
    Origin,
    Prediction,
    Probabilities,
    Record,
    Review,
    Said,
    Sample,
    Sentiment,
    Shadowed,
    Signal,
)

NOW_MS = 1_700_000_000_000
FUTURE_MS = 300_000
CLOCK = Clock(NOW_MS, FUTURE_MS)
MODEL = ModelRef("sentiment", "1")
GOOD = Sentiment("positive", Probabilities(0.1, 0.2, 0.7), 0.6)


def body(text: Any = "Acme rose", **fields: Any) -> bytes:
    """The JSON of an input message."""
    return json.dumps({"text": text, **fields}).encode()


def record(value: bytes | None = None, **fields: Any) -> Record:
    """A record of `news`, partition 0, offset 5, with a valid body unless told otherwise."""
    given: dict[str, Any] = {
        "topic": "news",
        "partition": 0,
        "offset": 5,
        "key": b"k",
        "value": value,
        "timestamp_ms": NOW_MS,
        **fields,
    }
    return Record(**given)


def decoded(value: bytes, clock: Clock = CLOCK, **fields: Any) -> Message:
    """The message that a record with this value becomes."""
    return decode_message(record(value, **fields), "news", clock)


def message(text: str = "Acme rose", **fields: Any) -> Message:
    """A message; its id, its origin and its event time are made from `offset`."""
    offset = fields.pop("offset", 0)
    given: dict[str, Any] = {
        "id": f"m{offset}",
        "text": text,
        "kind": "news",
        "event_time_ms": NOW_MS + offset,
        "event_time_source": "kafka",
        "origin": Origin("news", 0, offset),
        **fields,
    }
    return Message(**given)


def prediction(**fields: Any) -> Prediction:
    """A prediction."""
    given: dict[str, Any] = {
        "id": "m0",
        "label": GOOD.label,
        "probabilities": GOOD.probabilities,
        "score": GOOD.score,
        "entities": ("Acme",),
        "topics": (),
        "kind": "news",
        "source": None,
        "event_time_ms": NOW_MS,
        "event_time_source": "kafka",
        "duplicate_of": None,
        "model": MODEL,
        "origin": Origin("news", 0, 0),
        **fields,
    }
    return Prediction(**given)


def review(**fields: Any) -> Review:
    """A question about a message whose prediction is a guess."""
    given: dict[str, Any] = {
        "id": "m0",
        "text": "Acme rose",
        "label": "positive",
        "confidence": 0.4,
        "probabilities": Probabilities(0.3, 0.3, 0.4),
        "kind": "news",
        "event_time_ms": NOW_MS,
        "model": MODEL,
        "origin": Origin("news", 0, 0),
        **fields,
    }
    return Review(**given)


def feedback(**fields: Any) -> Feedback:
    """An answer that corrects the model."""
    given: dict[str, Any] = {
        "id": "m0",
        "text": "Acme rose",
        "label": "negative",
        "annotator": "ann",
        "at": datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        "predicted": "positive",
        "model_version": "1",
        **fields,
    }
    return Feedback(**given)


def signal(**fields: Any) -> Signal:
    """A signal on the entity Acme."""
    given: dict[str, Any] = {
        "alert_key": "entity:Acme",
        "message_id": "m0",
        "label": "negative",
        "negative": 0.9,
        "score": -0.8,
        "kind": "news",
        "source": None,
        "event_time_ms": NOW_MS,
        "duplicate_of": None,
        "excerpt": "Acme fell",
        "model": MODEL,
        "origin": Origin("news", 0, 0),
        **fields,
    }
    return Signal(**given)


def alert_event(**fields: Any) -> AlertEvent:
    """An alert event that fired, with one sample."""
    evidence = Evidence(
        window_start_ms=NOW_MS - 60_000,
        window_end_ms=NOW_MS,
        messages=10,
        negatives=9,
        negative_share=0.9,
        detector="share",
        statistic=0.7,
        threshold=0.5,
        samples=(Sample("m0", "Acme fell", -0.9, None, NOW_MS, Origin("news", 0, 0)),),
    )
    given: dict[str, Any] = {
        "id": "a-firing",
        "alert_id": "a",
        "state": "firing",
        "reason": "threshold_passed",
        "alert_key": "entity:Acme",
        "rule": "bad-press",
        "rule_version": "0123456789ab",
        "severity": "warning",
        "started_at_ms": NOW_MS,
        "at_ms": NOW_MS,
        "evidence": evidence,
        "model": MODEL,
        **fields,
    }
    return AlertEvent(**given)


def shadowed(**fields: Any) -> Shadowed:
    """What two versions say of the message m0: the first that it is positive, the second the opposite."""
    given: dict[str, Any] = {
        "id": "m0",
        "kind": "news",
        "source": "wire",
        "event_time_ms": NOW_MS,
        "alert_keys": ("entity:acme",),
        "serving": Said(MODEL, GOOD.label, GOOD.probabilities),
        "shadow": Said(ModelRef("sentiment", "2"), "negative", Probabilities(0.6, 0.2, 0.2)),
        "gap": 0.5,
        **fields,
    }
    return Shadowed(**given)
