"""Builders with defaults for the demo's tests."""

import json
from collections.abc import Mapping
from typing import Any

from deploy.local.demo.board import Board
from deploy.local.demo.ledger import Position, Seen
from deploy.local.demo.plan import Phase, Planned
from deploy.local.demo.stage import PartLine, Stage
from training.data import Snippet, Source, Split

START_MS = 1_700_000_000_000
KEYS = ["topic:film", "topic:work", "entity:America"]


def a_snippet(
    number: int = 1, *, text: str | None = None, label: str = "neutral", source: str = "nyt", split: str = "test"
) -> Snippet:
    """A rated text."""
    origin = Source(source)
    rating = {"negative": -2.0, "neutral": 0.0, "positive": 2.0}[label]
    return Snippet(f"{origin}-{number}", origin, f"{origin}-g{number}", text or f"text {number}", rating, label, Split(split))


def snippets(count: int) -> list[Snippet]:
    """Texts of which every third is about film and every second of those negative."""
    return [
        a_snippet(
            number,
            text=f"{'film' if number % 3 == 0 else 'day'} number {number}",
            label=("negative" if number % 2 else "positive") if number % 3 == 0 else "neutral",
            source="tweets" if number % 4 == 0 else "nyt",
            split="test" if number % 5 == 0 else "train",
        )
        for number in range(count)
    ]


def a_message(name: str = "m-1", *, rated: str | None = "negative") -> Planned:
    """A message to be sent."""
    return Planned(name, "news", json.dumps({"id": name, "text": "x"}).encode(), 0.0, Phase.CALM, rated)


def bad_input(body: bytes = b"42", name: str = "a number") -> Planned:
    """A record that is no message."""
    return Planned(None, "news", body, 0.0, Phase.CALM, flaw=name)


def a_prediction(name: str = "m-1", *, at_s: float = 1.0, key: bytes | None = None, **fields: object) -> Seen:
    """A record of the predictions topic."""
    body = {
        "id": name,
        "label": "negative",
        "entities": [],
        "topics": ["film"],
        "event_time_ms": START_MS,
        **fields,
    }
    return Seen("sentiment.predictions", key or name.encode(), json.dumps(body).encode(), {}, at_s)


def a_dead_letter(position: Position, value: bytes | None = b"42", reason: bytes = b"not_an_object") -> Seen:
    """A record of the dead-letter topic."""
    headers: Mapping[str, bytes | None] = {
        "tidings.topic": position.topic.encode(),
        "tidings.partition": str(position.partition).encode(),
        "tidings.offset": str(position.offset).encode(),
        "tidings.reason": reason,
    }
    return Seen("sentiment.dead-letters", None, value, headers, 1.0)


def an_alert(state: str = "firing", *, alert: str = "a1", key: str = "topic:film", **evidence: object) -> bytes:
    """An alert event as it lies on the topic and in Redis."""
    data: dict[str, Any] = {
        "id": f"{alert}-{state}",
        "alert_id": alert,
        "state": state,
        "reason": "threshold_passed" if state == "firing" else "recovered",
        "alert_key": key,
        "rule": "mostly-negative",
        "severity": "critical",
        "at_ms": START_MS,
        "evidence": {
            "window_start_ms": START_MS,
            "window_end_ms": START_MS + 300_000,
            "messages": 40,
            "negatives": 30,
            "negative_share": 0.75,
            "statistic": 0.62,
            "threshold": 0.5,
            "samples": [{"excerpt": "a dull\nfilm [red]", "score": -0.91}],
            **evidence,
        },
    }
    return json.dumps({"specversion": "1.0", "data": data}).encode()


def a_stage() -> Stage:
    """A run in which nothing has happened yet."""
    parts = (PartLine("kafka", "apache-kafka 4.3.1"), PartLine("triton", "onnx in-process", "no Triton"))
    return Stage("topic:film", 10, Board(KEYS, START_MS, 40), parts)


def a_good_run() -> Stage:
    """A run in which everything was answered and the alert came and went."""
    stage = a_stage()
    for name in ("m-1", "m-2"):
        stage.ledger.sent(a_message(name), 0.0)
        stage.board.prediction(stage.ledger.prediction(a_prediction(name)), 1.0)
    position = Position("news", 0, 7)
    stage.ledger.sent(bad_input(), 0.5)
    stage.ledger.delivered(bad_input(), position)
    stage.letters.append(stage.ledger.dead_letter(a_dead_letter(position)))
    both = [an_alert("firing"), an_alert("resolved", statistic=0.2)]
    for body in both:
        stage.alerts.on_topic(body)
    stage.alerts.in_redis(both)
    stage.sent = 10
    return stage
