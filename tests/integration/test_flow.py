"""The whole flow on the real Kafka, Redis and Triton, with the model that this project trained."""

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.stack import LocalStack
from tests.conftest import Names
from tests.integration.flow import Flow, make_flow

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WATCHLIST = """
entities:
  - {name: acme, aliases: [Acme Corp]}
  - {name: x}
topics:
  - {name: film, keywords: [film, movie]}
"""
RULES = """
rules:
  - name: film-turns-bad
    scope: {topics: [film]}
    detector: {type: share, window: 60s, bucket: 10s, threshold: 0.5, resolve_below: 0.4, min_messages: 5}
    for: 10s
    keep_firing_for: 10s
    severity: critical
"""
GOOD = "A wonderful film, beautifully acted; I loved every minute of it."
BAD = "A terrible film, dull and badly acted; I hated every minute of it."
START_MS = 1_760_000_000_000


@pytest.fixture
def flow(stack: LocalStack, names: Names, tmp_path: Path) -> Flow:
    """Topics of this test's own on the real stack."""
    return make_flow(names, stack.settings_env(), tmp_path, {"watchlist.yaml": WATCHLIST, "rules.yaml": RULES})


def films(texts: list[str], start_ms: int, every_ms: int = 2_000) -> list[dict[str, object]]:
    """Messages at even distances in event time, each text made distinct so that none is a duplicate."""
    return [
        {"id": f"{start_ms}-{i}", "text": f"{text} ({i})", "published_at": start_ms + i * every_ms}
        for i, text in enumerate(texts)
    ]


def test_small_stream_by_hand(flow: Flow) -> None:
    """What a person says of these six messages is what comes out: label, names, kind, time, origin, untouched fields."""
    with flow.worker():
        flow.send_messages(
            "news",
            [
                {"id": "n1", "text": GOOD, "source": "daily", "published_at": "2026-01-01T00:00:00Z", "desk": {"no": 1.50}},
                {"id": "n2", "text": BAD, "title": "Acme Corp shows a film", "entities": ["ACME corp", "Other"]},
            ],
        )
        flow.send_messages(
            "chat",
            [
                {"id": "c1", "text": "filming acmes", "kind": "news"},
                {"text": "This is the worst phone I ever had, a complete waste of money."},
                {"id": "c3", "text": "This phone is great, I love it!"},
                {"id": "c4", "text": GOOD, "published_at": "2026-01-01T01:00:00Z"},
            ],
        )
        predictions = flow.predictions(6)
    assert len(predictions) == 6
    n1, n2, c1, c3, c4 = (predictions[name] for name in ("n1", "n2", "c1", "c3", "c4"))
    (unnamed,) = predictions.keys() - {"n1", "n2", "c1", "c3", "c4"}
    assert (n1["label"], n1["topics"], n1["entities"], n1["kind"]) == ("positive", ["film"], [], "news")
    assert (n1["event_time_ms"], n1["source"], n1["extra"]) == (1767225600000, "daily", {"desk": {"no": 1.5}})
    assert (n2["label"], n2["topics"], n2["entities"]) == ("negative", ["film"], ["Other", "acme"])
    assert (c1["topics"], c1["entities"], c1["kind"]) == ([], [], "news")
    assert unnamed.startswith(flow.input("chat"))
    assert predictions[unnamed]["label"] == "negative"
    assert c3["label"] == "positive"
    assert {c4["duplicate_of"], n1["duplicate_of"]} in ({"n1", None}, {"c4", None}), "one text, seen twice"
    for body in predictions.values():
        assert sum(body["probabilities"].values()) == pytest.approx(1, abs=1e-6)
        assert body["score"] == pytest.approx(body["probabilities"]["positive"] - body["probabilities"]["negative"])
        assert body["model"]["name"] == "sentiment"


def test_bad_input_by_hand(flow: Flow) -> None:
    """Each of the issue's bad inputs ends in a prediction or in a dead letter with its reason, and the worker goes on."""
    bad = {
        "empty_body": b"",
        "body_too_large": json.dumps({"text": "long " * 1_000_000}).encode(),
        "not_utf8": b'{"text": "caf\xe9"}',
        "not_an_object": b"42",
        "not_json": b'{"text": "a\x00b"}',
        "text_missing": b"{}",
        "text_empty": b'{"text": " \\n"}',
        "invalid_field": b'{"text": "hi", "published_at": "yesterday"}',
    }
    odd = [
        {"id": "year-9999", "text": "See you in the year 9999.", "published_at": "9999-12-31T23:59:59Z"},
        {"id": "nul", "text": "a NUL \u0000 in the middle"},
        {"id": "one-letter", "text": "I posted this on x yesterday"},
        {"id": "inside-a-word", "text": "an axe to grind"},
    ]
    with flow.worker() as worker:
        flow.send("chat", list(bad.values()), key=b"k")
        flow.send("chat", [None])
        flow.send_messages("chat", odd)
        predictions = flow.predictions(4)
        letters = flow.dead_letters(len(bad) + 1)
        assert worker.terminate() == 0
    assert predictions.keys() == {message["id"] for message in odd}
    assert predictions["year-9999"]["event_time_source"] == "kafka"
    assert predictions["one-letter"]["entities"] == ["x"]
    assert predictions["inside-a-word"]["entities"] == []
    assert len(letters) == len(bad) + 1
    reasons = {dict(letter.headers)["tidings.reason"]: letter.value for letter in letters if letter.key == b"k"}
    assert reasons == {reason.encode(): body for reason, body in bad.items()}, "each with its reason, byte for byte"
    assert [letter.value for letter in letters if letter.key is None] == [None]


def test_alert_fires_and_resolves_once(flow: Flow) -> None:
    """A topic that turns bad and recovers gives one alert that fires and resolves, the same on Redis and on Kafka."""
    calm, bad, better = [GOOD] * 30, [BAD] * 40, [GOOD] * 90
    with flow.worker():
        flow.send_messages("news", films(calm + bad + better, START_MS))
        events = flow.alerts(2)
        assert len(flow.predictions(160)) == 160
    assert [event.state for event in events] == ["firing", "resolved"]
    firing, resolved = events
    assert firing.alert_id == resolved.alert_id
    assert firing.alert_key == "topic:film"
    assert firing.severity == "critical"
    turned_bad, recovered = START_MS + 30 * 2_000, START_MS + 70 * 2_000
    assert turned_bad < firing.at_ms < recovered < resolved.at_ms
    assert firing.evidence.statistic >= firing.evidence.threshold
    assert firing.evidence.negatives >= 5
    assert firing.evidence.samples
    assert all("terrible film" in sample.excerpt for sample in firing.evidence.samples)
    assert flow.stream_alerts() == events


def test_rules_change_while_the_worker_works(flow: Flow) -> None:
    """New rules come in by a swapped link, as Kubernetes does it; a broken file keeps them, and is told; no restart."""
    rules = flow.folder / "rules.yaml"
    metric = "tidings_rules_last_reload_successful"
    with flow.worker() as worker:
        flow.send_messages("news", films([BAD] * 20, START_MS))
        assert [event.state for event in flow.alerts(1)] == ["firing"]
        (flow.folder / "next.yaml").symlink_to(
            _written(flow.folder / "two.yaml", RULES.replace("film-turns-bad", "film-is-bad"))
        )
        (flow.folder / "next.yaml").replace(rules)
        (told,) = worker.until(lambda: worker.lines("rules reloaded"))
        assert (told["added"], told["removed"], told["changed"]) == (["film-is-bad"], ["film-turns-bad"], [])
        flow.send_messages("news", films([f"Again. {BAD}"] * 20, START_MS + 100_000))
        assert [(event.rule, event.state) for event in flow.alerts(3)] == [
            ("film-turns-bad", "firing"),
            ("film-turns-bad", "resolved"),
            ("film-is-bad", "firing"),
        ]
        assert f"{metric} 1.0" in worker.get("/metrics")[1]
        _written(flow.folder / "two.yaml", RULES.replace("type: share", "type: shar"))
        worker.signal(signal.SIGHUP)
        (wrong,) = worker.until(lambda: worker.lines("the rule file is wrong, the rules before it go on"))
        assert "did you mean `share`?" in wrong["faults"][0]
        assert f"{metric} 0.0" in worker.get("/metrics")[1]
        assert worker.ready()
        flow.send_messages("news", films([GOOD] * 60, START_MS + 200_000))
        assert [(event.rule, event.state) for event in flow.alerts(4)][3:] == [("film-is-bad", "resolved")]
        assert worker.terminate() == 0


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_lost_redis_is_made_good(flow: Flow) -> None:
    """Redis loses everything while an alert is firing: it resolves under its id, nothing is sent again, the stream is whole."""
    with flow.worker():
        flow.send_messages("news", films([GOOD] * 30 + [BAD] * 30, START_MS))
        (fired,) = flow.alerts(1)
        assert flow.lose_redis() > 0
        flow.send_messages("news", films([BAD] * 10 + [GOOD] * 90, START_MS + 60 * 2_000))
        events = flow.alerts(2)
    assert [event.state for event in events] == ["firing", "resolved"]
    assert (events[0], events[1].alert_id) == (fired, fired.alert_id)
    assert flow.stream_alerts() == events


@pytest.mark.parametrize("redis_too", [False, True], ids=["group", "group and Redis"])
def test_a_lost_group_is_made_good(flow: Flow, redis_too: bool) -> None:
    """Its offsets are gone while an alert is firing, and Redis too perhaps: nothing is sent again, and the alert resolves."""
    with flow.worker() as first:
        flow.send_messages("news", films([GOOD] * 30 + [BAD] * 30, START_MS))
        (fired,) = flow.alerts(1)
        flow.predictions(60)
        first.terminate()
    flow.lose_group()
    if redis_too:
        flow.lose_redis()
    with flow.worker() as second:
        flow.send_messages("news", films([BAD] * 10 + [GOOD] * 90, START_MS + 60 * 2_000))
        events = flow.alerts(2)
        (line,) = second.lines("the relay's position was lost, and is taken from the record")
    assert line["position"] > 0
    assert [event.state for event in events] == ["firing", "resolved"]
    assert (events[0], events[1].alert_id) == (fired, fired.alert_id)
    assert flow.stream_alerts() == events


@pytest.mark.parametrize("leave", ["terminate", "kill"])
def test_restart_loses_and_doubles_nothing(flow: Flow, leave: str) -> None:
    """A worker that is asked to leave, or killed, in the middle of the stream is followed by one that goes on where it was."""
    messages = films(([GOOD] * 30 + [BAD] * 40 + [GOOD] * 90) * 3, START_MS, every_ms=2_000)
    with flow.worker() as first:
        flow.send_messages("news", messages)
        flow.records(flow.settings.kafka.topics.predictions, 40)
        end: Callable[[], object] = getattr(first, leave)
        end()
    with flow.worker():
        predictions = flow.predictions(len(messages))
        events = flow.alerts(6)
    assert predictions.keys() == {message["id"] for message in messages}
    assert [event.state for event in events] == ["firing", "resolved"] * 3
    assert len({event.id for event in events}) == 6
    assert flow.stream_alerts() == events


def test_at_least_once_loses_nothing(flow: Flow) -> None:
    """Without transactions a killed worker is followed by one that may do some of it again, and leaves none of it out."""
    flow = replace(flow, env={**flow.env, "TIDINGS_DELIVERY": "at_least_once"})
    messages = films(([GOOD] * 30 + [BAD] * 40 + [GOOD] * 90) * 3, START_MS, every_ms=2_000)
    with flow.worker() as first:
        flow.send_messages("news", messages)
        flow.records(flow.settings.kafka.topics.predictions, 40)
        first.kill()

    def predicted() -> set[str]:
        records = flow.records(flow.settings.kafka.topics.predictions, len(messages))
        return {json.loads(record.value or b"")["id"] for record in records}

    with flow.worker() as second:
        second.until(lambda: len(predicted()) == len(messages) and len({event.id for event in flow.alerts(6)}) == 6)
        assert second.terminate() == 0
    assert predicted() == {message["id"] for message in messages}
    events = {event.id: event for event in flow.alerts(6)}
    assert [event.state for event in events.values()] == ["firing", "resolved"] * 3
    assert flow.stream_alerts() == list(events.values())


def test_a_killed_broker_loses_and_doubles_nothing(flow: Flow, stack: LocalStack) -> None:
    """Kafka dies in the middle of the stream and comes back: the worker goes on, or ends and is started again, as in a cluster.

    librdkafka can hang for ever in a transaction over this (see `adapters/kafka/bounded.py`); the worker must not.
    """
    messages = films([GOOD] * 200 + [BAD] * 200 + [GOOD] * 200, START_MS)
    with flow.worker() as first:
        flow.send_messages("news", messages[:300])
        flow.records(flow.settings.kafka.topics.predictions, 40)
        stack.server("kafka").kill()
        stack.server("kafka").restart()
        flow.send_messages("news", messages[300:])
        ended = first.finished_within(75, lambda: flow.done(len(messages)))
        if ended is None:
            assert first.terminate() == 0
        else:
            assert ended == 1
    with flow.worker():
        predictions = flow.predictions(len(messages))
        events = flow.alerts(2)
    assert predictions.keys() == {message["id"] for message in messages}
    assert [event.state for event in events] == ["firing", "resolved"]
    assert flow.stream_alerts() == events
