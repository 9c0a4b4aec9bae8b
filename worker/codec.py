"""Bytes to values and back. Pure: no clock, no I/O; the one thing that reads what producers send."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from worker.alert.matchers import fault_of
from worker.errors import DecodeError
from worker.messages import (
    MAX_EVENT_TIME_MS,
    Acknowledge,
    AlertChange,
    AlertEvent,
    Control,
    EventTime,
    Expire,
    Feedback,
    Inhibitor,
    Kind,
    Message,
    Origin,
    OutRecord,
    Prediction,
    Record,
    Review,
    Shadowed,
    Signal,
    Silence,
    Standing,
    Tick,
    TopicPartition,
)
from worker.ports import StoredEvent

MAX_TEXT_CHARS = 8_192
MAX_BODY_BYTES = 262_144
MAX_DEPTH = 100
"""Objects and lists within each other. What lies deeper many JSON libraries refuse, the next reader of `extra` among them."""
MessageFault = Literal[
    "empty_body",
    "body_too_large",
    "not_utf8",
    "not_json",
    "not_an_object",
    "too_deep",
    "text_missing",
    "text_empty",
    "invalid_field",
]
ModelFault = Literal["model_output_invalid", "model_refused"]
DEAD_LETTER_REASONS: tuple[str, ...] = (*get_args(MessageFault), *get_args(ModelFault))
"""Every word that may stand in a dead letter: why a record is no message, and why the model could not answer for one."""
T = TypeVar("T")
Name = Annotated[str, Meta(min_length=1, max_length=256)]
Entity = Annotated[str, Meta(max_length=256, pattern=r"\S")]
Line = Annotated[str, Meta(max_length=2_048)]
AlertType = Literal[
    "io.tidings.alert.firing",
    "io.tidings.alert.stale",
    "io.tidings.alert.resolved",
    "io.tidings.alert.acknowledged",
    "io.tidings.alert.suppressed",
    "io.tidings.alert.unsuppressed",
]


class InputMessage(msgspec.Struct, forbid_unknown_fields=False):
    """What a producer sends: a JSON object. Unknown fields are let through to the prediction untouched."""

    text: Annotated[
        str,
        Meta(
            max_length=MAX_TEXT_CHARS,
            description="The text to score, 1 to 8,192 characters, not white space alone.",
            extra_json_schema={"minLength": 1, "pattern": r"\S"},
        ),
    ]
    id: Annotated[Name | None, Meta(description="Unique; by default <topic>-<partition>-<offset>.")] = None
    kind: Annotated[Kind | None, Meta(description="By default as configured for the topic.")] = None
    title: Line | None = None
    source: Name | None = None
    author: Name | None = None
    lang: Annotated[str, Meta(min_length=1, max_length=35, description="BCP 47, as in `en` or `pt-BR`.")] | None = None
    url: Line | None = None
    published_at: Annotated[
        EventTime | datetime | None,
        Meta(description="RFC 3339 (UTC if it has no offset) or epoch milliseconds; by default Kafka's timestamp."),
    ] = None
    entities: Annotated[list[Entity], Meta(max_length=64, description="Entities the producer already knows of.")] = []


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An alert event's envelope, CloudEvents 1.0 in JSON (https://github.com/cloudevents/spec/blob/v1.0.2)."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: AlertType
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    data: AlertEvent


class Clock(NamedTuple):
    """The moment of decoding, and how far ahead of it `published_at` may lie; both in milliseconds."""

    now_ms: int
    max_future_ms: int


_ALERT_TYPES: dict[AlertChange, AlertType] = {
    "firing": "io.tidings.alert.firing",
    "stale": "io.tidings.alert.stale",
    "resolved": "io.tidings.alert.resolved",
    "acknowledged": "io.tidings.alert.acknowledged",
    "suppressed": "io.tidings.alert.suppressed",
    "unsuppressed": "io.tidings.alert.unsuppressed",
}
_CLOUD_EVENT_TYPE = ("content-type", b"application/cloudevents+json; charset=UTF-8")
_CONTROL = "tidings.control"
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_BRACKET = re.compile(r"[][{}]")
_KNOWN = frozenset(InputMessage.__struct_fields__)
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_input_decoder = msgspec.json.Decoder(InputMessage)
_encoder = msgspec.json.Encoder()
_signal_decoder = msgspec.json.Decoder(Signal)
_control_decoders: dict[bytes, msgspec.json.Decoder[Any]] = {
    kind.__name__.lower().encode(): msgspec.json.Decoder(kind)
    for kind in (Tick, Acknowledge, Silence, Expire, Inhibitor, Standing)
}
_prediction_decoder = msgspec.json.Decoder(Prediction)
_review_decoder = msgspec.json.Decoder(Review)
_shadowed_decoder = msgspec.json.Decoder(Shadowed)
_feedback_decoder = msgspec.json.Decoder(Feedback)
_cloud_event_decoder = msgspec.json.Decoder(CloudEvent)


def decode_message(record: Record, default_kind: Kind, clock: Clock) -> Message:
    """Decode and validate one input record.

    Raises:
        DecodeError: with `reason` a MessageFault.
    """
    parsed, extra = _parse(record.value)
    if not parsed.text.strip():
        raise DecodeError("text_empty", "`text` holds nothing but white space")
    event_time_ms, event_time_source = _event_time(parsed.published_at, record.timestamp_ms, clock)
    return Message(
        id=parsed.id or f"{record.topic}-{record.partition}-{record.offset}",
        text=parsed.text,
        kind=parsed.kind or default_kind,
        event_time_ms=event_time_ms,
        event_time_source=event_time_source,
        origin=Origin(record.topic, record.partition, record.offset),
        title=parsed.title,
        source=parsed.source,
        author=parsed.author,
        lang=parsed.lang,
        url=parsed.url,
        entities=tuple(parsed.entities),
        extra=extra,
    )


def _parse(body: bytes | None) -> tuple[InputMessage, dict[str, msgspec.Raw]]:
    if not body:
        raise DecodeError("empty_body", "the record has no value")
    if len(body) > MAX_BODY_BYTES:
        raise DecodeError("body_too_large", f"{len(body)} bytes; at most {MAX_BODY_BYTES} are read")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError("not_utf8", str(error)) from error
    fields = _decode(_fields_decoder, text, "not_an_object")
    if _is_deep(text):
        raise DecodeError("too_deep", f"the JSON is nested more than {MAX_DEPTH} levels deep")
    if "text" not in fields:
        raise DecodeError("text_missing", "the field `text` is required")
    return _decode(_input_decoder, text, "invalid_field"), {
        name: raw.copy() for name, raw in fields.items() if name not in _KNOWN
    }


def _is_deep(text: str) -> bool:
    """Whether JSON, which must be well-formed, is nested too deeply; decoding alone finds out only as the stack runs out."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def _decode(decoder: msgspec.json.Decoder[T], body: bytes | str, invalid: str) -> T:
    """Decode with one reason for what is no JSON, and `invalid` for JSON of another shape."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise DecodeError(invalid, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError("not_json", str(error)) from error
    except RecursionError as error:
        raise DecodeError("too_deep", "the JSON is nested too deeply") from error


def _event_time(
    published_at: int | datetime | None, kafka_ms: int, clock: Clock
) -> tuple[int, Literal["published_at", "kafka", "clock"]]:
    latest = clock.now_ms + clock.max_future_ms
    published_ms = _epoch_ms(published_at)
    if published_ms is not None and published_ms <= latest:
        return published_ms, "published_at"
    if 0 <= kafka_ms <= latest:
        return kafka_ms, "kafka"
    return clock.now_ms, "clock"


def _epoch_ms(when: int | datetime | None) -> int | None:
    if when is None or isinstance(when, int):
        return when
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    milliseconds = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    if milliseconds < 0:
        raise DecodeError("invalid_field", "`published_at` lies before 1970")
    return milliseconds


def encode_prediction(prediction: Prediction) -> bytes:
    """Encode for `sentiment.predictions`."""
    return _encoder.encode(prediction)


def decode_prediction(body: bytes) -> Prediction:
    """Decode what `encode_prediction` made; raises DecodeError (`invalid_prediction`)."""
    return _decode(_prediction_decoder, body, "invalid_prediction")


def encode_review(review: Review) -> bytes:
    """Encode for `sentiment.review`."""
    return _encoder.encode(review)


def decode_review(body: bytes | None) -> Review:
    """Decode what `encode_review` made; raises DecodeError (`invalid_review`)."""
    return _decode(_review_decoder, body or b"", "invalid_review")


def encode_shadowed(shadowed: Shadowed) -> bytes:
    """Encode for `sentiment.shadow`."""
    return _encoder.encode(shadowed)


def decode_shadowed(body: bytes | None) -> Shadowed:
    """Decode what `encode_shadowed` made; raises DecodeError (`invalid_shadowed`)."""
    return _decode(_shadowed_decoder, body or b"", "invalid_shadowed")


def encode_feedback(feedback: Feedback) -> bytes:
    """Encode for `sentiment.feedback`."""
    return _encoder.encode(feedback)


def decode_feedback(body: bytes | None) -> Feedback:
    """Decode what `encode_feedback` made; raises DecodeError (`invalid_feedback`)."""
    return _decode(_feedback_decoder, body or b"", "invalid_feedback")


def encode_signal(signal: Signal) -> bytes:
    """Encode for `sentiment.signals`."""
    return _encoder.encode(signal)


def decode_signal(body: bytes | None) -> Signal:
    """Decode what `encode_signal` made; raises DecodeError (`invalid_signal`), also for figures or times out of range."""
    return _decode(_signal_decoder, body or b"", "invalid_signal")


def control_record(partition: TopicPartition, control: Control) -> OutRecord:
    """Return the control record for a partition of signals; a header tells it from a signal."""
    header = (_CONTROL, type(control).__name__.lower().encode())
    return OutRecord(partition.topic, None, _encoder.encode(control), (header,), partition=partition.partition)


def is_control(record: Record) -> bool:
    """Tell whether a record of `sentiment.signals` is no signal, whatever else it is."""
    return any(name == _CONTROL for name, _ in record.headers)


def decode_placed(record: Record) -> Signal | Control:
    """Decode what a partition of `sentiment.signals` holds.

    Raises:
        DecodeError: `invalid_signal`; `invalid_<kind>` of a control record; `unknown_control`, as a later version may write.
    """
    kind = next((value or b"" for name, value in record.headers if name == _CONTROL), None)
    if kind is None:
        return decode_signal(record.value)
    if kind not in _control_decoders:
        raise DecodeError("unknown_control", f"no such control record: {kind[:40]!r}")
    invalid = f"invalid_{kind.decode()}"
    control: Control = _decode(_control_decoders[kind], record.value or b"", invalid)
    if fault := _fault_of(control):
        raise DecodeError(invalid, fault)
    return control


def _fault_of(control: Control) -> str | None:
    if isinstance(control, Standing):
        return next((fault for silence in control.silences if (fault := fault_of(silence))), None)
    return fault_of(control) if isinstance(control, Silence) else None


def believed(placed: Signal | Control, record_ms: int, max_future_ms: int) -> Signal | Control:
    """Return the signal, at its record's own time if it says that it is of a time further ahead of that.

    So one wrong clock cannot push the watermark ahead and make all others late. It asks no clock: whoever reads the record,
    and whenever, comes to the same. A record without a time (`record_ms` below 1) proves nothing.
    """
    if isinstance(placed, Signal) and 0 < record_ms < placed.event_time_ms - max_future_ms:
        return replace(placed, event_time_ms=record_ms)
    return placed


def encode_alert_event(event: AlertEvent) -> bytes:
    """Wrap in a CloudEvents 1.0 envelope and encode, for the Redis stream and `sentiment.alerts`."""
    time = datetime.fromtimestamp(event.at_ms / 1000, UTC)
    source = f"/tidings/rules/{event.rule}"
    kind = _ALERT_TYPES[event.change or event.state]
    return _encoder.encode(CloudEvent(id=event.id, source=source, type=kind, subject=event.alert_key, time=time, data=event))


def decode_alert_event(body: bytes) -> AlertEvent:
    """Decode what `encode_alert_event` made; raises DecodeError (`invalid_alert_event`), also for a time that is none."""
    event = _decode(_cloud_event_decoder, body, "invalid_alert_event").data
    if not 0 <= event.at_ms <= MAX_EVENT_TIME_MS:
        raise DecodeError("invalid_alert_event", f"`at_ms` {event.at_ms} lies outside the years 1970 to 9999")
    return event


def alert_record(topic: str, partition: TopicPartition, stored: StoredEvent) -> OutRecord:
    """Return the event for `sentiment.alerts`, its headers naming the signal that caused it."""
    cause = {
        "tidings.topic": partition.topic,
        "tidings.partition": str(partition.partition),
        "tidings.offset": str(stored.offset),
        "tidings.sequence": str(stored.sequence),
    }
    headers = (_CLOUD_EVENT_TYPE, *((name, value.encode()) for name, value in cause.items()))
    return OutRecord(topic, stored.event.alert_key.encode(), encode_alert_event(stored.event), headers)


def decode_alert_record(record: Record) -> tuple[TopicPartition, StoredEvent]:
    """Read what `alert_record` made: the partition of signals, and the event with its place there.

    Raises:
        DecodeError: `invalid_alert_event`; or `origin_missing`, where the headers do not name the signal.
    """
    headers = dict(record.headers)
    try:
        topic, *numbers = (headers[f"tidings.{name}"] or b"" for name in ("topic", "partition", "offset", "sequence"))
        partition, offset, sequence = map(int, numbers)
        origin = TopicPartition(topic.decode(), partition)
    except (KeyError, ValueError) as error:
        raise DecodeError("origin_missing", "the headers do not name the signal that caused the event") from error
    return origin, StoredEvent(offset, sequence, decode_alert_event(record.value or b""))


def dead_letter(topic: str, record: Record, error: DecodeError) -> OutRecord:
    """Return `record` for the dead-letter topic: key, value, and headers as they came, the reason in added headers."""
    added = {
        "tidings.reason": error.reason,
        "tidings.detail": str(error)[:1_000],
        "tidings.topic": record.topic,
        "tidings.partition": str(record.partition),
        "tidings.offset": str(record.offset),
        "tidings.timestamp_ms": str(record.timestamp_ms),
    }
    headers = (*record.headers, *((name, value.encode()) for name, value in added.items()))
    return OutRecord(topic, record.key, record.value, headers)
