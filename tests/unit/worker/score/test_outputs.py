import json
from typing import Literal

import msgspec
import pytest

from tests.unit.worker.builders import GOOD, MODEL, NOW_MS, message
from worker.codec import decode_prediction, decode_review, decode_signal
from worker.messages import Label, Matches, Message, Origin, Probabilities, Sentiment
from worker.redact import Redactors
from worker.score.outputs import EXCERPT_CHARS, ReviewPolicy, Scored, prediction_record, review_records, signal_records
from worker.settings import ScoreSettings

REDACTORS = Redactors()
Field = Literal["excerpt", "source"]
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
    records = signal_records(scored(duplicate_of="m9"), "signals", REDACTORS)
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
    signals = [decode_signal(record.value) for record in signal_records(one, "signals", REDACTORS)]
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
    assert signal_records(Scored(message(), Matches(), GOOD, None, MODEL), "signals", REDACTORS) == []


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
    found = decode_signal(signal_records(scored(message(text, title=title)), "signals", REDACTORS)[0].value).excerpt
    assert found == excerpt
    assert len(found) <= EXCERPT_CHARS


@pytest.mark.parametrize(
    ("fields", "excerpt", "source"),
    [
        ({"excerpt"}, "to [email]", "@joe_b"),
        ({"excerpt", "source"}, "to [email]", "[handle]"),
        ({"source"}, "to a@b.org", "[handle]"),
        (set(), "to a@b.org", "@joe_b"),
    ],
)
def test_personal_data_is_taken_out_field_by_field(
    fields: set[Literal["excerpt", "source"]], excerpt: str, source: str
) -> None:
    """Of a signal and so of all alerts; the prediction has the source as it came."""
    redactors = Redactors.of(ScoreSettings(redact_fields=frozenset(fields)))
    told = scored(message("to a@b.org", source="@joe_b"))
    for record in signal_records(told, "signals", redactors):
        signal = decode_signal(record.value)
        assert (signal.excerpt, signal.source) == (excerpt, source)
    assert b'"source":"@joe_b"' in (prediction_record(told, "predictions").value or b"")


def test_a_message_without_a_source_has_none() -> None:
    """Whatever is taken out of sources."""
    redactors = Redactors.of(ScoreSettings(redact_fields=frozenset({"source"})))
    assert decode_signal(signal_records(scored(message(source=None)), "signals", redactors)[0].value).source is None


EVERY = ReviewPolicy("review", share=1, below=0.6)


def guessed(confidence: float, id: str = "m0", label: Label = "neutral") -> Scored:  # noqa: A002 - as in the message
    """A message whose label has this probability."""
    rest = (1 - confidence) / 2
    probabilities = {"negative": rest, "neutral": rest, "positive": rest, label: confidence}
    return Scored(message(id=id), MATCHES, Sentiment(label, Probabilities(**probabilities), 0), None, MODEL)


def test_a_question_has_the_whole_text_and_what_the_model_made_of_it() -> None:
    """Under the message's id; with what a person and a later model need of it."""
    one = message("x" * 8_000, title="Title", id="id-1", lang="en", source="wire", offset=7)
    given = Sentiment("neutral", Probabilities(0.3, 0.45, 0.25), -0.05)
    (record,) = review_records(Scored(one, MATCHES, given, None, MODEL), EVERY)
    assert (record.topic, record.key) == ("review", b"id-1")
    asked = decode_review(record.value)
    assert (asked.id, asked.title, asked.text, asked.content) == ("id-1", "Title", "x" * 8_000, one.content)
    assert (asked.label, asked.confidence, asked.probabilities) == ("neutral", 0.45, given.probabilities)
    assert (asked.lang, asked.source, asked.kind, asked.event_time_ms) == ("en", "wire", "news", NOW_MS + 7)
    assert (asked.model, asked.origin) == (MODEL, Origin("news", 0, 7))


@pytest.mark.parametrize(("confidence", "asked"), [(0.34, True), (0.599, True), (0.6, False), (0.601, False), (1.0, False)])
@pytest.mark.parametrize("label", ["negative", "neutral", "positive"])
def test_a_person_is_asked_below_the_bound(confidence: float, asked: bool, label: Label) -> None:
    """By the probability of the label that was given; at the bound nobody is asked."""
    assert bool(review_records(guessed(confidence, label=label), EVERY)) is asked


def test_nobody_is_asked_twice_of_one_text_nor_without_a_policy() -> None:
    """A repeat is a prediction only."""
    unsure = guessed(0.4)
    assert review_records(msgspec.structs.replace(unsure, duplicate_of="m9"), EVERY) == []
    assert review_records(unsure, None) == []


def test_the_share_bounds_what_a_person_gets() -> None:
    """However many messages are unsure, and by the id alone: the same ones each time."""
    policy = ReviewPolicy("review", share=0.1, below=0.6)
    unsure = [guessed(0.4, f"message-{number}") for number in range(2_000)]
    chosen = [one.message.id for one in unsure if review_records(one, policy)]
    assert 150 < len(chosen) < 250
    assert chosen == [one.message.id for one in unsure if policy.asks(one)]
    assert not any(review_records(one, ReviewPolicy("review", 0, 0.6)) for one in unsure)
