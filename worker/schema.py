"""JSON Schema of every topic and one AsyncAPI 3.0 document, generated from the types that validate. Pure."""

from typing import Any, cast

import msgspec

from worker.codec import CloudEvent, InputMessage
from worker.messages import Feedback, Prediction, Review, Shadowed, Signal
from worker.score.matching import watchlist_schema
from worker.settings import KafkaSettings

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TYPES: dict[str, type[msgspec.Struct]] = {
    "message": InputMessage,
    "prediction": Prediction,
    "signal": Signal,
    "alert": CloudEvent,
    "review": Review,
    "feedback": Feedback,
    "shadow": Shadowed,
}


def json_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of one of `TYPES`, or of `watchlist`."""
    if name == "watchlist":
        return watchlist_schema()
    return _as_json({"$schema": DIALECT, "title": name, **msgspec.json.schema(TYPES[name])})


def asyncapi(kafka: KafkaSettings, version: str) -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of all topics (https://www.asyncapi.com/docs/reference/specification/v3.0.0)."""
    topics = kafka.topics
    schemas, components = msgspec.json.schema_components(list(TYPES.values()), ref_template="#/components/schemas/{name}")
    outputs = {
        topics.predictions: "prediction",
        topics.signals: "signal",
        topics.alerts: "alert",
        topics.review: "review",
        topics.feedback: "feedback",
        topics.shadow: "shadow",
    }
    channels = dict.fromkeys(kafka.input_topics, "message") | outputs
    return _as_json(
        {
            "asyncapi": "3.0.0",
            "info": {"title": "Tidings", "version": version, "description": "Streaming sentiment and alerts."},
            "channels": {topic: _channel(topic, message) for topic, message in channels.items()}
            | _dead_letters(topics.dead_letters),
            "operations": {_operation(topic, topic in outputs): _operation_of(topic, topic in outputs) for topic in channels},
            "components": {
                "messages": {
                    name: {"name": name, "contentType": _content_type(name), "payload": schema}
                    for name, schema in zip(TYPES, schemas, strict=True)
                },
                "schemas": components,
            },
        }
    )


def _as_json(document: dict[str, Any]) -> dict[str, Any]:
    """Return it as a reader of its JSON sees it: a default that is a tuple is a list."""
    return cast("dict[str, Any]", msgspec.json.decode(msgspec.json.encode(document)))


def _content_type(name: str) -> str:
    return "application/cloudevents+json" if name == "alert" else "application/json"


def _channel(topic: str, message: str) -> dict[str, Any]:
    return {"address": topic, "messages": {message: {"$ref": f"#/components/messages/{message}"}}}


def _dead_letters(topic: str) -> dict[str, Any]:
    return {
        topic: {
            "address": topic,
            "description": "Records that could not be read: key, value and headers as they came, and headers tidings.reason, "
            "tidings.detail, tidings.topic, tidings.partition, tidings.offset, tidings.timestamp_ms.",
        }
    }


def _operation(topic: str, is_output: bool) -> str:
    return f"{'send' if is_output else 'receive'}.{topic}"


def _operation_of(topic: str, is_output: bool) -> dict[str, Any]:
    return {"action": "send" if is_output else "receive", "channel": {"$ref": f"#/channels/{topic}"}}
