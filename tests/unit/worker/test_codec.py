import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.worker.builders import (
    CLOCK,
    FUTURE_MS,
    GOOD,
    MODEL,
    NOW_MS,
    alert_event,
    body,
    decoded,
    prediction,
    record,
    signal,
)
from worker.codec import (
    MAX_BODY_BYTES,
    MAX_DEPTH,
    MAX_TEXT_CHARS,
    Clock,
    MessageFault,
    believed,
    control_record,
    dead_letter,
    decode_alert_event,
    decode_feedback,
    decode_message,
    decode_placed,
    decode_prediction,
    decode_review,
    decode_signal,
    encode_alert_event,
    encode_prediction,
    encode_signal,
)
from worker.errors import DecodeError
from worker.messages import (
    LABELS,
    MAX_EVENT_TIME_MS,
    Headers,
    Matches,
    Message,
    Origin,
    Prediction,
    Probabilities,
    Record,
    Tick,
    TopicPartition,
)
from worker.score.outputs import Scored, prediction_record

REASONS = {
    "empty_body",
    "body_too_large",
    "not_utf8",
    "not_json",
    "not_an_object",
    "too_deep",
    "text_missing",
    "text_empty",
    "invalid_field",
}
BOUNDED = {"id": 256, "title": 2_048, "source": 256, "author": 256, "lang": 35, "url": 2_048}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def nested(levels: int) -> bytes:
    """A message with an unknown field, `levels` deep altogether."""
    return b'{"text":"x","z":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def answered(value: bytes) -> Message | DecodeError:
    """What becomes of a body."""
    try:
        return decoded(value)
    except DecodeError as refused:
        return refused


def published(message: Message) -> Prediction:
    """The message's prediction as a consumer of the topic decodes it."""
    scored = Scored(message, Matches(), GOOD, None, MODEL)
    value = prediction_record(scored, "sentiment.predictions").value
    assert value is not None
    return decode_prediction(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(None, "empty_body", id="tombstone"),
        pytest.param(b"", "empty_body", id="empty"),
        pytest.param(body("x" * 5_000_000), "body_too_large", id="5 MB of text"),
        pytest.param(b" " * (MAX_BODY_BYTES + 1), "body_too_large", id="one byte too many"),
        pytest.param(b'{"text": "caf\xe9"}', "not_utf8", id="latin-1"),
        pytest.param(b'{"text": "\xed\xa0\x80"}', "not_utf8", id="surrogate in UTF-8"),
        pytest.param('{"text": "x"}'.encode("utf-16"), "not_utf8", id="UTF-16"),
        pytest.param(b"\x00", "not_json", id="NUL alone"),
        pytest.param(b'{"text": "a\x00b"}', "not_json", id="raw NUL in a string"),
        pytest.param(b'{"text": "a\nb"}', "not_json", id="raw line feed in a string"),
        pytest.param(b'\xef\xbb\xbf{"text": "x"}', "not_json", id="byte order mark"),
        pytest.param(b"the best phone", "not_json", id="plain text"),
        pytest.param(b'{"text": "x"', "not_json", id="cut off"),
        pytest.param(b'{"text": "x"} {}', "not_json", id="two values"),
        pytest.param(b'{"text": "x",}', "not_json", id="trailing comma"),
        pytest.param(b'{"text": "x", "z": NaN}', "not_json", id="NaN"),
        pytest.param(b'{"text": "x", "z": 01}', "not_json", id="leading zero"),
        pytest.param(b'{"text": "\\ud800"}', "not_json", id="lone surrogate in text"),
        pytest.param(b'{"text": "x", "id": "\\udfff"}', "not_json", id="lone surrogate in id"),
        pytest.param(b'{"text": "x", "z": ["\\ud800"]}', "not_json", id="lone surrogate in an unknown field"),
        pytest.param(b'{"text": "x", "\\ud800": 1}', "not_json", id="lone surrogate in a name"),
        pytest.param(b"5", "not_an_object", id="number"),
        pytest.param(b'"text"', "not_an_object", id="string"),
        pytest.param(b'[{"text": "x"}]', "not_an_object", id="list"),
        pytest.param(b"null", "not_an_object", id="null"),
        pytest.param(nested(MAX_DEPTH + 1), "too_deep", id="one level too deep"),
        pytest.param(nested(50_000), "too_deep", id="deeper than the stack"),
        pytest.param(b"{}", "text_missing", id="no text"),
        pytest.param(b'{"Text": "x"}', "text_missing", id="text in capitals"),
        pytest.param(body(""), "text_empty", id="empty text"),
        pytest.param(body(" \n\t\u00a0\u3000"), "text_empty", id="white space of all kinds"),
        pytest.param(body(None), "invalid_field", id="text null"),
        pytest.param(body(5), "invalid_field", id="text a number"),
        pytest.param(body("x" * (MAX_TEXT_CHARS + 1)), "invalid_field", id="text one character too long"),
        pytest.param(b'{"text": "x", "text": 5}', "invalid_field", id="text twice, the last wrong"),
        pytest.param(b'{"text": 5, "text": "x"}', "invalid_field", id="text twice, the first wrong"),
        pytest.param(body(kind="video"), "invalid_field", id="unknown kind"),
        pytest.param(body(id=""), "invalid_field", id="empty id"),
        pytest.param(body(id=7), "invalid_field", id="id a number"),
        pytest.param(body(lang=""), "invalid_field", id="empty lang"),
        pytest.param(body(entities="Acme"), "invalid_field", id="entities a string"),
        pytest.param(body(entities=["Acme", ""]), "invalid_field", id="empty entity"),
        pytest.param(body(entities=["Acme", " \u3000"]), "invalid_field", id="blank entity"),
        pytest.param(body(entities=["Acme"] * 65), "invalid_field", id="65 entities"),
        pytest.param(body(published_at=-1), "invalid_field", id="before 1970"),
        pytest.param(body(published_at="1969-12-31T23:59:59.999Z"), "invalid_field", id="one millisecond before 1970"),
        pytest.param(body(published_at="0001-01-01T00:00:00+23:59"), "invalid_field", id="before the year 1 in UTC"),
        pytest.param(body(published_at=MAX_EVENT_TIME_MS + 1), "invalid_field", id="after 9999"),
        pytest.param(body(published_at=10**400), "invalid_field", id="400 digits"),
        pytest.param(body(published_at=1.7e12), "invalid_field", id="a float"),
        pytest.param(body(published_at=True), "invalid_field", id="true"),
        pytest.param(body(published_at="1700000000000"), "invalid_field", id="milliseconds as a string"),
        pytest.param(body(published_at="2023-11-14"), "invalid_field", id="a day"),
        pytest.param(body(published_at="yesterday"), "invalid_field", id="no date"),
        *(
            pytest.param(body(**{name: "x" * (most + 1)}), "invalid_field", id=f"{name} too long")
            for name, most in BOUNDED.items()
        ),
    ],
)
def test_bad_input_is_refused_with_its_reason(value: bytes | None, reason: str) -> None:
    """What cannot become a message says why, in a fixed word and in a sentence."""
    with pytest.raises(DecodeError) as refused:
        decode_message(record(value), "news", CLOCK)
    assert refused.value.reason == reason
    assert str(refused.value)
    assert reason in REASONS


def test_every_reason_is_known_beforehand() -> None:
    """The metrics count each from 0: one that is left out here would be born at its first dead letter, which no rate sees."""
    assert set(get_args(MessageFault)) == REASONS


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(body("X"), "X", id="one letter"),
        pytest.param(body("a\x00b"), "a\x00b", id="escaped NUL"),
        pytest.param(body("🚀 \u202e\x1b[31m"), "🚀 \u202e\x1b[31m", id="emoji, direction override, escape"),
        pytest.param(body("x" * MAX_TEXT_CHARS), "x" * MAX_TEXT_CHARS, id="as long as may be"),
        pytest.param(body("🚀" * MAX_TEXT_CHARS), "🚀" * MAX_TEXT_CHARS, id="characters count, not bytes"),
        pytest.param(b' \n{"text":"x"}\r\n', "x", id="white space around"),
        pytest.param(b'{"te\\u0078t":"x"}', "x", id="escaped field name"),
        pytest.param(b'{"text":"first","text":"last"}', "last", id="of two the last"),
        pytest.param(b'{"text":"x"}'.ljust(MAX_BODY_BYTES), "x", id="a body as large as may be"),
        pytest.param(nested(MAX_DEPTH), "x", id="as deep as may be"),
        pytest.param(b'{"text":"x","z":[' + b"{}," * 500 + b"{}]}", "x", id="many but not deep"),
        pytest.param(body("[" * 500 + '\\"{'), "[" * 500 + '\\"{', id="brackets in text are no depth"),
    ],
)
def test_odd_but_valid_input_keeps_its_text(value: bytes, text: str) -> None:
    """The text reaches the model as the producer wrote it."""
    assert decoded(value).text == text


@pytest.mark.parametrize(("name", "most"), BOUNDED.items())
def test_fields_may_be_as_long_as_their_bound(name: str, most: int) -> None:
    """The bound itself is allowed, and the value kept."""
    assert getattr(decoded(body(**{name: "x" * most})), name) == "x" * most


def test_all_fields_are_kept() -> None:
    """Every field of the schema arrives in the message."""
    fields: dict[str, Any] = {
        "id": "a-1",
        "kind": "chat",
        "title": "T",
        "source": "S",
        "author": "A",
        "lang": "pt-BR",
        "url": "https://example.org",
        "entities": ["Acme", "Bmce"],
    }
    message = decoded(body("x", published_at=NOW_MS - 5, **fields))
    assert {name: getattr(message, name) for name in fields} == fields | {"entities": ("Acme", "Bmce")}
    assert (message.event_time_ms, message.event_time_source) == (NOW_MS - 5, "published_at")
    assert message.origin == Origin("news", 0, 5)
    assert message.extra == {}


def test_what_is_missing_comes_from_topic_and_place() -> None:
    """Without an id the place in Kafka is the id; without a kind the topic's own."""
    message = decode_message(record(body(), topic="forum", partition=3, offset=77), "chat", CLOCK)
    assert (message.id, message.kind) == ("forum-3-77", "chat")
    assert (message.title, message.source, message.entities) == (None, None, ())


@pytest.mark.parametrize("name", ["id", "kind", "title", "source", "author", "lang", "url", "published_at"])
def test_null_is_as_good_as_missing(name: str) -> None:
    """Producers that write every field may write null."""
    assert decoded(body(**{name: None})) == decoded(body())


def test_title_is_scored_with_the_text() -> None:
    """What is matched and scored is the title, where there is one, and the text."""
    assert decoded(body("text", title="title")).content == "title\ntext"
    assert decoded(body("text", title="")).content == "text"


@pytest.mark.parametrize(
    ("published_at", "kafka_ms", "expected"),
    [
        pytest.param(NOW_MS - 1, NOW_MS, (NOW_MS - 1, "published_at"), id="epoch milliseconds"),
        pytest.param(0, NOW_MS, (0, "published_at"), id="1970"),
        pytest.param("2023-11-14T22:13:19.999Z", NOW_MS, (NOW_MS - 1, "published_at"), id="RFC 3339"),
        pytest.param("2023-11-14T23:13:19.9994+01:00", NOW_MS, (NOW_MS - 1, "published_at"), id="cut to the millisecond"),
        pytest.param("2023-11-14t22:13:19.999z", NOW_MS, (NOW_MS - 1, "published_at"), id="small letters"),
        pytest.param("2023-11-14T22:13:19.999", NOW_MS, (NOW_MS - 1, "published_at"), id="no offset means UTC"),
        pytest.param(NOW_MS + FUTURE_MS, NOW_MS, (NOW_MS + FUTURE_MS, "published_at"), id="as far ahead as may be"),
        pytest.param(NOW_MS + FUTURE_MS + 1, NOW_MS - 7, (NOW_MS - 7, "kafka"), id="too far ahead"),
        pytest.param(MAX_EVENT_TIME_MS, NOW_MS - 7, (NOW_MS - 7, "kafka"), id="the end of 9999"),
        pytest.param("9999-12-31T23:59:59-23:59", NOW_MS - 7, (NOW_MS - 7, "kafka"), id="past 9999 in UTC"),
        pytest.param(None, NOW_MS - 7, (NOW_MS - 7, "kafka"), id="missing"),
        pytest.param(None, NOW_MS + FUTURE_MS, (NOW_MS + FUTURE_MS, "kafka"), id="Kafka a little ahead"),
        pytest.param(None, NOW_MS + FUTURE_MS + 1, (NOW_MS, "clock"), id="Kafka too far ahead"),
        pytest.param(None, -1, (NOW_MS, "clock"), id="Kafka without a timestamp"),
        pytest.param(MAX_EVENT_TIME_MS, MAX_EVENT_TIME_MS, (NOW_MS, "clock"), id="both in 9999"),
    ],
)
def test_event_time(published_at: str | int | None, kafka_ms: int, expected: tuple[int, str]) -> None:
    """`published_at` counts unless missing or too far ahead; then Kafka's timestamp; and if that is ahead too, the clock."""
    message = decoded(body(published_at=published_at), timestamp_ms=kafka_ms)
    assert (message.event_time_ms, message.event_time_source) == expected


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9999, 12, 30)), st.integers(-1439, 1439))  # noqa: DTZ001
def test_no_date_is_off_by_a_millisecond(local: datetime, offset_minutes: int) -> None:
    """RFC 3339 with any offset is the exact millisecond, cut, never rounded through a float."""
    when = local.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    expected = (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    message = decoded(body(published_at=when.isoformat()), Clock(MAX_EVENT_TIME_MS, FUTURE_MS))
    assert (message.event_time_ms, message.event_time_source) == (expected, "published_at")


@pytest.mark.parametrize(
    "raw",
    [
        b"1e999",
        b"-0.0",
        b"1.0",
        b"0.1000",
        b"9" * 5_000,
        b'"\\u0041\\/"',
        b'{"a" : [ 1 ,2]}',
        b'{"a":1,"a":2}',
        b"null",
        b'"' + "é🚀".encode() + b'"',
    ],
)
def test_unknown_fields_reach_the_prediction_byte_for_byte(raw: bytes) -> None:
    """Numbers keep their digits, strings their escapes, objects their order and white space."""
    message = decoded(b'{"text":"x","mine":' + raw + b',"more":[]}')
    assert {name: bytes(value) for name, value in message.extra.items()} == {"mine": raw, "more": b"[]"}
    assert {name: bytes(value) for name, value in published(message).extra.items()} == {"mine": raw, "more": b"[]"}


def test_unknown_fields_do_not_hold_the_whole_body() -> None:
    """A message in hand costs its own fields, not the record that it came in."""
    extra = decoded(b'{"text":"x","mine":1}').extra["mine"]
    assert len(memoryview(extra).obj) < 10  # type: ignore[arg-type]


def test_names_of_known_fields_may_be_written_with_escapes() -> None:
    """An escaped name is the same name: it is not unknown, and does not appear twice."""
    message = decoded(b'{"text":"x","\\u0069d":"a-1"}')
    assert (message.id, message.extra) == ("a-1", {})


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
@example(b"\xff")
@example(b"\xed\xa0\x80")
@example(nested(990))
def test_whatever_the_bytes_there_is_an_answer(value: bytes) -> None:
    """Any bytes become a message or a DecodeError with a known reason; no other exception, ever."""
    answer = answered(value)
    if isinstance(answer, Message):
        assert published(answer).id == answer.id
    else:
        assert answer.reason in REASONS


@given(
    st.fixed_dictionaries(
        {"text": json_values | st.text(min_size=1)},
        optional=dict.fromkeys((*BOUNDED, "kind", "published_at", "entities"), json_values)
        | {"z": json_values, "": json_values},
    )
)
def test_whatever_the_fields_there_is_an_answer(fields: dict[str, Any]) -> None:
    """Any JSON in any field: refused, or a message whose prediction can be read again and keeps the unknown fields."""
    answer = answered(json.dumps(fields).encode())
    if isinstance(answer, DecodeError):
        assert answer.reason in REASONS
        return
    again = published(answer)
    assert {name: json.loads(bytes(raw)) for name, raw in again.extra.items()} == {
        name: fields[name] for name in ("z", "") if name in fields
    }
    assert (again.origin, again.event_time_ms) == (answer.origin, answer.event_time_ms)


@pytest.mark.parametrize("levels", [2, 50, MAX_DEPTH])
def test_as_deep_as_may_be_can_still_be_read_downstream(levels: int) -> None:
    """A prediction wraps `extra` two levels deeper; ordinary readers, from deep in their own stack, still take it."""

    def far_down(calls: int) -> Prediction:
        return far_down(calls - 1) if calls else published(decoded(nested(levels)))

    assert bytes(far_down(500).extra["z"]) == b"[" * (levels - 1) + b"]" * (levels - 1)
    assert json.loads(encode_prediction(far_down(0)))


def test_whether_it_is_too_deep_does_not_depend_on_the_stack() -> None:
    """The same bytes have the same fate wherever the decoder is called from, else a replay would differ."""

    def far_down(calls: int) -> Message:
        return far_down(calls - 1) if calls else decoded(nested(MAX_DEPTH))

    assert far_down(700) == far_down(0)
    with pytest.raises(DecodeError, match=f"more than {MAX_DEPTH} levels"):
        decoded(nested(MAX_DEPTH + 1))


def test_prediction_signal_and_alert_survive_the_round_trip() -> None:
    """What is published is read back as the same value."""
    assert decode_prediction(encode_prediction(prediction(extra={"z": msgspec.Raw(b"[1]")}))).extra["z"] == msgspec.Raw(b"[1]")
    assert decode_prediction(encode_prediction(prediction())) == prediction()
    assert decode_signal(encode_signal(signal())) == signal()
    assert decode_alert_event(encode_alert_event(alert_event())) == alert_event()


unit = st.floats(0, 1)


@given(
    st.text(min_size=1),
    st.sampled_from(LABELS),
    st.tuples(unit, unit, unit),
    st.lists(st.text()),
    st.none() | st.text(),
    st.integers(0, MAX_EVENT_TIME_MS),
)
def test_any_prediction_and_signal_survive_the_round_trip(
    name: str, label: Any, chances: tuple[float, float, float], entities: list[str], duplicate_of: str | None, at_ms: int
) -> None:
    """Floats keep every bit, strings every character."""
    given_prediction = prediction(
        id=name,
        label=label,
        probabilities=Probabilities(*chances),
        entities=tuple(entities),
        duplicate_of=duplicate_of,
        event_time_ms=at_ms,
    )
    given_signal = signal(alert_key=name, negative=chances[0], score=-chances[1], excerpt=name, duplicate_of=duplicate_of)
    assert decode_prediction(encode_prediction(given_prediction)) == given_prediction
    assert decode_signal(encode_signal(given_signal)) == given_signal


@pytest.mark.parametrize(("state", "kind"), [("firing", "io.tidings.alert.firing"), ("resolved", "io.tidings.alert.resolved")])
def test_an_alert_is_a_cloud_event(state: str, kind: str) -> None:
    """The envelope's required attributes and time are as CloudEvents 1.0 asks, the event lies in `data`."""
    event = json.loads(encode_alert_event(alert_event(state=state)))
    assert {name: event[name] for name in ("specversion", "type", "id", "source", "subject", "datacontenttype")} == {
        "specversion": "1.0",
        "type": kind,
        "id": "a-firing",
        "source": "/tidings/rules/bad-press",
        "subject": "entity:Acme",
        "datacontenttype": "application/json",
    }
    assert event["time"] == "2023-11-14T22:13:20Z"
    assert event["data"]["evidence"]["samples"][0]["excerpt"] == "Acme fell"


@pytest.mark.parametrize(
    ("decode", "reason"),
    [
        (decode_prediction, "invalid_prediction"),
        (decode_signal, "invalid_signal"),
        (decode_alert_event, "invalid_alert_event"),
        (decode_review, "invalid_review"),
        (decode_feedback, "invalid_feedback"),
    ],
)
@pytest.mark.parametrize("value", [b"{}", b"[]", b"5", b'{"id": 5}'])
def test_what_is_not_ours_is_refused_by_name(decode: Any, reason: str, value: bytes) -> None:
    """JSON of another shape on a topic of ours says which topic it is not of."""
    with pytest.raises(DecodeError) as refused:
        decode(value)
    assert refused.value.reason == reason


@pytest.mark.parametrize("decode", [decode_prediction, decode_signal, decode_alert_event])
@pytest.mark.parametrize("value", [b"", b"\xff", b"{", b"[" * 100_000])
def test_what_is_no_json_on_our_topics_is_refused(decode: Any, value: bytes) -> None:
    """Bytes that are no JSON raise DecodeError, whatever they are."""
    with pytest.raises(DecodeError):
        decode(value)


@pytest.mark.parametrize("at_ms", [-1, MAX_EVENT_TIME_MS + 1, 2**63])
def test_an_alert_event_of_no_time_is_refused(at_ms: int) -> None:
    """No calendar has that moment, so it could be neither shown nor encoded again."""
    foreign = encode_alert_event(alert_event()).replace(b'"at_ms":%d' % NOW_MS, b'"at_ms":%d' % at_ms)
    with pytest.raises(DecodeError, match="at_ms") as refused:
        decode_alert_event(foreign)
    assert refused.value.reason == "invalid_alert_event"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("score", b"1e308"),
        ("score", b"-1.0000001"),
        ("negative", b"1.5"),
        ("negative", b"-0.1"),
        ("negative", b"1e308"),
        ("event_time_ms", b"-1"),
        ("event_time_ms", b"%d" % (MAX_EVENT_TIME_MS + 1)),
        ("event_time_ms", b"1e30"),
        ("offset", b"%d" % 2**64),
        ("offset", b"-1"),
        ("partition", b"%d" % 2**64),
    ],
)
def test_a_signal_out_of_range_is_refused(field: str, value: bytes) -> None:
    """Nothing could be reckoned with it, or kept of it: the alert role would end, and its successor after it."""
    foreign = re.sub(b'"%s":[^,}]+' % field.encode(), b'"%s":%s' % (field.encode(), value), encode_signal(signal()))
    with pytest.raises(DecodeError, match=field) as refused:
        decode_signal(foreign)
    assert refused.value.reason == "invalid_signal"


def test_a_tick_out_of_range_is_refused() -> None:
    """What it makes stale is told at its time, which a calendar must have."""
    out = control_record(TopicPartition("sentiment.signals", 3), Tick(MAX_EVENT_TIME_MS + 1))
    with pytest.raises(DecodeError, match="at_ms") as refused:
        decode_placed(Record(out.topic, 3, 7, None, out.value, 0, out.headers))
    assert refused.value.reason == "invalid_tick"


@pytest.mark.parametrize(
    ("event_time_ms", "record_ms", "taken_ms"),
    [
        (1_000, 1_000, 1_000),
        (301_000, 1_000, 301_000),
        (301_001, 1_000, 1_000),
        (5, 10**12, 5),
        (10**12, 0, 10**12),
        (10**12, -1, 10**12),
        (10**12, 1, 1),
    ],
)
def test_a_time_far_ahead_of_its_record_is_not_believed(event_time_ms: int, record_ms: int, taken_ms: int) -> None:
    """Up to the allowance it is; where the record has no time there is nothing to hold it to; the past is never doubted."""
    given_signal = signal(event_time_ms=event_time_ms)
    assert believed(given_signal, record_ms, 300_000) == signal(event_time_ms=taken_ms)


def test_a_tick_is_believed() -> None:
    """It moves no watermark."""
    assert believed(Tick(10**12), 1, 0) == Tick(10**12)


def test_a_tombstone_is_no_signal() -> None:
    """A record without a value on the signals topic is refused like any other foreign record."""
    with pytest.raises(DecodeError):
        decode_signal(None)


@given(
    st.none() | st.binary(),
    st.none() | st.binary(),
    st.lists(st.tuples(st.text(), st.none() | st.binary())),
    st.text(min_size=1),
)
def test_a_dead_letter_is_the_record_and_its_reason(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]], detail: str
) -> None:
    """Key, value and headers are as they came, byte for byte; what we know of it follows in headers of our own."""
    refused = record(value, key=key, headers=tuple(headers), partition=2, offset=9)
    letter = dead_letter("dlq", refused, DecodeError("not_json", detail))
    assert (letter.topic, letter.key, letter.value) == ("dlq", key, value)
    assert letter.headers[: len(headers)] == tuple(headers)
    assert dict(letter.headers[len(headers) :]) == {
        "tidings.reason": b"not_json",
        "tidings.detail": detail[:1_000].encode(),
        "tidings.topic": b"news",
        "tidings.partition": b"2",
        "tidings.offset": b"9",
        "tidings.timestamp_ms": str(NOW_MS).encode(),
    }


def test_a_dead_letter_of_a_dead_letter_says_both() -> None:
    """A replayed dead letter that fails again keeps its first reason; the last header of a name is the latest."""
    first = dead_letter("dlq", record(b"5"), DecodeError("not_json", "once"))
    replayed = record(first.value, headers=first.headers, offset=6)
    second = dead_letter("dlq", replayed, DecodeError("text_empty", "twice"))
    assert [value for name, value in second.headers if name == "tidings.reason"] == [b"not_json", b"text_empty"]
    assert dict(second.headers)["tidings.offset"] == b"6"


def test_a_refusal_does_not_quote_megabytes() -> None:
    """Headers stay small whatever the body was: brokers bound a record's size."""
    refused = answered(body(kind="x" * 200_000))
    assert isinstance(refused, DecodeError)
    assert sum(len(value or b"") for _, value in dead_letter("dlq", record(b""), refused).headers) < 5_000


def test_a_tick_stands_among_the_signals() -> None:
    """In the partition that it is for, under no key, told from a signal by its header."""
    partition = TopicPartition("sentiment.signals", 3)
    out = control_record(partition, Tick(1_000))
    assert (out.topic, out.partition, out.key) == ("sentiment.signals", 3, None)
    read = Record(out.topic, 3, 7, out.key, out.value, 0, out.headers)
    assert decode_placed(read) == Tick(1_000)
    with pytest.raises(DecodeError, match="at_ms") as caught:
        decode_placed(Record(out.topic, 3, 7, None, b"{}", 0, out.headers))
    assert caught.value.reason == "invalid_tick"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [((("tidings.other", b"tick"),), "invalid_signal"), ((("tidings.control", b"later"),), "unknown_control")],
)
def test_what_is_no_control_record_is_read_as_a_signal(headers: Headers, reason: str) -> None:
    """Whatever other headers it has; one of a kind that a later version writes is no signal either."""
    with pytest.raises(DecodeError) as caught:
        decode_placed(Record("sentiment.signals", 3, 7, None, b'{"at_ms": 1}', 0, headers))
    assert caught.value.reason == reason
