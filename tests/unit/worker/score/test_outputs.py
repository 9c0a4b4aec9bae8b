import json

import msgspec
import pytest

from tests.unit.worker.builders import GOOD, MODEL, NOW_MS, message
from worker.codec import decode_prediction, decode_signal
from worker.messages import Matches, Message, Origin
from worker.redact import Redactor
from worker.score.outputs import EXCERPT_CHARS, Scored, prediction_record, signal_records

REDACTOR = Redactor()

MATCHES = Matches(("Acme", "Bmce"), ("safety",))


def scored(one: Message | None = None, duplicate_of: str | None = None) -> Scored:
    """A scored message."""
    return Scored(one or message(), MATCHES, GOOD, duplicate_of, MODEL)


def test_a_prediction_says_all_of_it() -> None:
    """Label, probabilities, score, names, time, model, origin and the producer's own fields, under the message's id."""
    one = message(id="id-1", kind="chat", source="forum", offset=7, extra={"mine": msgspec.Raw(b"1.0")})
    record = prediction_record(scored(one, "id-0"), "predictions")
    assert (record.topic, record.key) == ("predictions", b"id-1")
    assert record.value is not None
    assert json.loads(record.value) == {
        "id": "id-1",
        "label": "positive",
        "probabilities": {"negative": 0.1, "neutral": 0.2, "positive": 0.7},
        "score": 0.6,
        "entities": ["Acme", "Bmce"],
        "topics": ["safety"],
        "kind": "chat",
        "source": "forum",
        "event_time_ms": NOW_MS + 7,
        "event_time_source": "kafka",
        "duplicate_of": "id-0",
        "model": {"name": "sentiment", "version": "1"},
        "origin": {"topic": "news", "partition": 0, "offset": 7},
        "extra": {"mine": 1.0},
        "similarities": {},
    }
    assert decode_prediction(record.value).origin == Origin("news", 0, 7)


def test_one_signal_per_alert_key() -> None:
    """Each watched name gets a signal of its own, under its alert key, so that one partition sees all of a key."""
    records = signal_records(scored(duplicate_of="m9"), "signals", REDACTOR)
    signals = [decode_signal(record.value) for record in records]
    assert [record.key for record in records] == [b"entity:Acme", b"entity:Bmce", b"topic:safety"]
    assert [signal.alert_key.encode() for signal in signals] == [record.key for record in records]
    assert {(s.message_id, s.label, s.negative, s.score, s.duplicate_of, s.model) for s in signals} == {
        ("m0", "positive", 0.1, 0.6, "m9", MODEL)
    }


def test_a_topic_found_by_its_meaning_says_how_similar_the_text_is() -> None:
    """In the prediction by topic, in that topic's signal, and nowhere else."""
    one = Scored(message(), MATCHES.meaning({"floods": 0.41}), GOOD, None, MODEL)
    prediction = decode_prediction(prediction_record(one, "predictions").value or b"")
    assert (prediction.topics, prediction.similarities) == (("floods", "safety"), {"floods": 0.41})
    signals = [decode_signal(record.value) for record in signal_records(one, "signals", REDACTOR)]
    assert {signal.alert_key: signal.similarity for signal in signals} == {
        "entity:Acme": None,
        "entity:Bmce": None,
        "topic:floods": 0.41,
        "topic:safety": None,
    }


def test_a_topic_found_both_ways_is_one() -> None:
    """With one signal, which says how similar the text is."""
    found = MATCHES.meaning({"safety": 0.3})
    assert (found.topics, found.similarities) == (("safety",), {"safety": 0.3})
    assert MATCHES.meaning({}) is MATCHES


def test_nobody_named_no_signal() -> None:
    """A message that names nothing watched is a prediction only."""
    assert signal_records(Scored(message(), Matches(), GOOD, None, MODEL), "signals", REDACTOR) == []


@pytest.mark.parametrize(
    ("text", "title", "excerpt"),
    [
        ("short", None, "short"),
        (" two\n lines\t", None, "two lines"),
        ("text", "title", "title text"),
        ("x" * EXCERPT_CHARS, None, "x" * EXCERPT_CHARS),
        ("x" * (EXCERPT_CHARS + 1), None, "x" * (EXCERPT_CHARS - 1) + "…"),
        ("🚀" * 500, None, "🚀" * (EXCERPT_CHARS - 1) + "…"),
    ],
)
def test_the_excerpt_is_the_beginning_on_one_line(text: str, title: str | None, excerpt: str) -> None:
    """Evidence is short: cut by characters, with an ellipsis that says so."""
    found = decode_signal(signal_records(scored(message(text, title=title)), "signals", REDACTOR)[0].value).excerpt
    assert found == excerpt
    assert len(found) <= EXCERPT_CHARS
