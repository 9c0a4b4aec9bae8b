import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from tests.unit.worker.builders import alert_event, body, feedback, prediction, review, shadowed, signal
from worker.codec import (
    InputMessage,
    encode_alert_event,
    encode_feedback,
    encode_prediction,
    encode_review,
    encode_shadowed,
    encode_signal,
)
from worker.schema import TYPES, asyncapi, json_schema
from worker.score.matching import parse_watchlist
from worker.settings import KafkaSettings, Topics

EXAMPLES = {
    "message": body(id="a", kind="news", published_at="2023-11-14T22:13:20Z", entities=["Acme"], mine={"any": 1}),
    "prediction": encode_prediction(prediction(duplicate_of="m9", source="wire")),
    "signal": encode_signal(signal()),
    "alert": encode_alert_event(alert_event()),
    "review": encode_review(review(title="A title", lang="en")),
    "feedback": encode_feedback(feedback()),
    "shadow": encode_shadowed(shadowed()),
}


@pytest.mark.parametrize("name", TYPES)
def test_what_is_encoded_keeps_its_schema(name: str) -> None:
    """Each schema is valid, and so is what the codec writes by it."""
    schema = json_schema(name)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(json.loads(EXAMPLES[name]))


@pytest.mark.parametrize(
    "fields", [{"published_at": 1_700_000_000_000}, {"published_at": None}, {"title": None, "entities": []}]
)
def test_what_is_accepted_keeps_the_schema(fields: dict[str, Any]) -> None:
    """A message that the codec takes, the published schema takes too."""
    Draft202012Validator(json_schema("message")).validate(json.loads(body(**fields)))


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"text": 5},
        {"text": "x" * 8_193},
        {"text": "x", "kind": "video"},
        {"text": "x", "published_at": -1},
        [],
        {"text": "x", "id": ""},
    ],
)
def test_what_is_refused_breaks_the_schema(value: Any) -> None:
    """Producers can check before they send."""
    with pytest.raises(ValidationError):
        Draft202012Validator(json_schema("message")).validate(value)


WATCHLIST = """
entities: [{name: Acme, aliases: [ACM], case_sensitive: true}]
topics:
  - {name: safety, keywords: [recall]}
  - {name: floods, description: Water., examples: [The river rose.], threshold: 0.3}
"""


def test_the_watchlists_schema_takes_what_the_worker_takes() -> None:
    """For editors; the examples that are shipped keep it too."""
    schema = json_schema("watchlist")
    Draft202012Validator.check_schema(schema)
    deploy = Path(__file__).parents[3] / "deploy"
    shipped = [deploy.joinpath(where, "watchlist.yaml").read_text() for where in ("compose", "local/demo")]
    for text in (WATCHLIST, *shipped):
        parse_watchlist(text, "watchlist.yaml")
        Draft202012Validator(schema).validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "topic", [{}, {"name": "a", "keyword": ["x"]}, {"name": "a", "description": ""}, {"name": "a", "threshold": 1}]
)
def test_the_watchlists_schema_refuses_what_the_worker_refuses(topic: dict[str, Any]) -> None:
    """As far as one field goes."""
    with pytest.raises(ValidationError):
        Draft202012Validator(json_schema("watchlist")).validate({"topics": [topic]})


def test_every_field_of_the_input_is_in_the_schema() -> None:
    """It is generated from the type that validates; only `text` is required, and other fields are let through."""
    schema = json_schema("message")
    found = schema["$defs"]["InputMessage"]
    assert set(found["properties"]) == set(InputMessage.__struct_fields__)
    assert found["required"] == ["text"]
    assert found.get("additionalProperties", True) is not False


def references(node: Any) -> Iterator[str]:
    """Every $ref below a node."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolved(document: dict[str, Any], reference: str) -> Any:
    """What a local reference points to."""
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


@pytest.fixture
def document() -> dict[str, Any]:
    """The AsyncAPI document of a worker with topics of other names."""
    settings = KafkaSettings(input_topics={"tweets": "chat"}, topics=Topics(alerts="my.alerts"))
    return asyncapi(settings, "1.2.3")


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """The document is whole, and JSON."""
    found = list(references(document))
    assert len(found) > 10
    assert all(reference.startswith("#/") and resolved(document, reference) for reference in found)
    assert json.loads(json.dumps(document)) == document


def test_every_topic_is_a_channel_with_its_direction(document: dict[str, Any]) -> None:
    """The configured names; we receive input and send the rest."""
    outputs = {
        "sentiment.predictions",
        "sentiment.signals",
        "my.alerts",
        "sentiment.review",
        "sentiment.feedback",
        "sentiment.shadow",
    }
    assert document["channels"].keys() == {"tweets", "sentiment.dead-letters", *outputs}
    assert {name: operation["action"] for name, operation in document["operations"].items()} == {
        "receive.tweets": "receive",
        **{f"send.{topic}": "send" for topic in outputs},
    }
    assert (document["asyncapi"], document["info"]["version"]) == ("3.0.0", "1.2.3")


@pytest.mark.parametrize("name", TYPES)
def test_the_messages_of_the_document_are_the_schemas(document: dict[str, Any], name: str) -> None:
    """What is published validates against the document's own payload schemas."""
    payload = {**document["components"]["messages"][name]["payload"], "components": document["components"]}
    Draft202012Validator(payload).validate(json.loads(EXAMPLES[name]))
