import json
from pathlib import Path
from typing import Any, cast

import jsonschema
import msgspec
import pytest
from pydantic import SecretStr

from tests.unit.worker.notify.builders import alert, config
from worker.messages import Acknowledgement, Origin, Sample
from worker.notify.groups import Contents
from worker.notify.parts import SlackConfig
from worker.notify.payload import Heading, encode_message, fingerprint, message
from worker.notify.signing import HEADER, sign, verify
from worker.notify.slack import slack_message
from worker.notify.trial import trials

SCHEMA = json.loads(Path(__file__).with_name("alertmanager_v4.schema.json").read_text())
HEADING = Heading("team", '{}:{alertname="bad-press"}', {"alertname": "bad-press"}, "https://tidings.example.org")
SAMPLE = Sample("m1", "what <a> dull & bad film", -0.9, "tweets", 1, Origin("chat", 0, 1))


def noisy(name: str, **fields: Any) -> Any:
    """An alert with a sample."""
    plain = alert(name, **fields)
    return msgspec.structs.replace(plain, evidence=msgspec.structs.replace(plain.evidence, samples=(SAMPLE,)))


def webhook(contents: Contents, max_alerts: int = 0) -> dict[str, Any]:
    """What a receiver parses."""
    return cast("dict[str, Any]", json.loads(encode_message(message(HEADING, contents, max_alerts))))


def test_a_webhook_is_alertmanagers() -> None:
    """By the schema transcribed from Alertmanager's documentation and source; every field has its meaning."""
    contents = Contents("key", (noisy("a", link="https://example.org/a"), noisy("b")), (noisy("c", state="resolved"),))
    body = webhook(contents)
    jsonschema.validate(body, SCHEMA)
    assert (body["status"], body["version"], body["truncatedAlerts"]) == ("firing", "4", 0)
    assert body["commonLabels"] == {"alertname": "bad-press", "severity": "warning"}
    a, _, c = body["alerts"]
    assert a["labels"] == {"alertname": "bad-press", "severity": "warning", "alert_key": "entity:a", "entity": "a"}
    assert (a["endsAt"], a["generatorURL"]) == ("0001-01-01T00:00:00Z", "https://example.org/a")
    assert (c["status"], c["startsAt"], c["endsAt"]) == ("resolved", "1970-01-01T00:16:40.000Z", "1970-01-01T00:33:20.000Z")
    assert "share 0.7, threshold 0.5" in a["annotations"]["description"]
    assert "dull & bad film" in a["annotations"]["description"]
    assert c["generatorURL"] == body["externalURL"]


def test_only_ends_are_resolved_and_the_rest_is_counted() -> None:
    """The status is that of all; past `max_alerts` alerts are counted, the ended ones first to go."""
    ended = alert("c", "resolved", acknowledgement=Acknowledgement("kim", "", 1))
    assert webhook(Contents("k", (), (ended,)))["status"] == "resolved"
    assert webhook(Contents("k", (), (ended,)))["alerts"][0]["annotations"]["acknowledged_by"] == "kim"
    body = webhook(Contents("k", (alert("a"), alert("b")), (ended,)), max_alerts=1)
    assert ([one["status"] for one in body["alerts"]], body["truncatedAlerts"]) == (["firing"], 2)
    jsonschema.validate(webhook(Contents("k", (), ())), SCHEMA)


@pytest.mark.parametrize("field", ["status", "alerts", "groupKey", "version"])
def test_the_schema_can_refuse(field: str) -> None:
    """It would notice a field that is gone, or new."""
    body = webhook(Contents("key", (alert("a"),), ()))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({name: value for name, value in body.items() if name != field}, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**body, "more": 1}, SCHEMA)


def test_the_fingerprint_is_prometheus() -> None:
    """FNV-1a of 64 bits: the start value for no labels; names and values are told apart, their order does not matter."""
    assert fingerprint({}) == "cbf29ce484222325"
    assert fingerprint({"a": "b"}) != fingerprint({"a": "", "b": ""}) != fingerprint({"ab": ""})
    assert fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})


def test_slack_gets_text_with_a_fallback() -> None:
    """Markup in labels and excerpts is text; long lists are cut."""
    contents = Contents("k", tuple(noisy(f"e{number}") for number in range(12)), ())
    body = slack_message(SlackConfig(api_url=SecretStr("https://example.org/x"), channel="#films"), HEADING, contents)
    (part,) = body.attachments
    assert (body.text, body.channel, part.color) == ("[FIRING:12] bad-press", "#films", "danger")
    assert "what &lt;a&gt; dull &amp; bad film" in part.text
    assert "bad-press on entity:e0 is firing" in part.fallback
    assert len(part.text) <= 4_000 * 2
    assert part.title_link == "https://tidings.example.org"


def test_slack_templates_are_filled_in() -> None:
    """With counts, the group and shared labels; what nobody knows is nothing, and nothing else is evaluated."""
    made = SlackConfig(
        api_url=SecretStr("https://example.org/x"), title="{severity} {firing}/{resolved} {group.__class__}", text="{nope}."
    )
    body = slack_message(made, HEADING, Contents("k", (alert("a"),), (alert("b", "resolved"),)))
    assert (body.text, body.attachments[0].text) == ("warning 1/1 {group.__class__}", ".")


def test_a_signature_holds_for_body_time_and_secret() -> None:
    """And for no other; RFC 2104 over `<time>.<body>`."""
    header = sign(b"secret", 1_000, b"body")
    assert HEADER == "X-Tidings-Signature"
    assert header == "t=1000,v1=b758bf26aabb35e5311bc10fd17ab6ad0881e9717e7d5fa7e233f3cea6868b45"
    assert verify(b"secret", header, b"body", 1_299)
    assert not verify(b"secret", header, b"body", 1_301)
    assert not verify(b"secret", header, b"bodY", 1_000)
    assert not verify(b"other", header, b"body", 1_000)
    assert not verify(b"secret", header.replace("t=1000", "t=1001"), b"body", 1_000)
    assert verify(b"secret", f"{header},v1=00,v2=x", b"body", 1_000), "another secret or version beside it"
    for odd in ("", "t=1", "v1=", "t=,v1=ü", "t=1000", f"t=1000,{header}"):
        assert not verify(b"secret", odd, b"body", 1_000)


def test_a_trial_says_that_it_is_one() -> None:
    """One for each integration, in its own format."""
    (sent,) = trials(config(), "team", 1_700_000_000_000)
    body = json.loads(sent.body)
    jsonschema.validate(body, SCHEMA)
    assert body["alerts"][0]["labels"]["tidings_test"] == "true"
    with pytest.raises(Exception, match="there are: team"):
        trials(config(), "nobody", 0)
