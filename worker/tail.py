"""Follow a topic of ours on the terminal."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice

import msgspec
from rich.console import Console
from rich.text import Text

from worker.adapters.kafka import PlainReader
from worker.codec import decode_alert_event, decode_feedback, decode_prediction, decode_review, decode_shadowed, decode_signal
from worker.errors import DecodeError
from worker.messages import Record
from worker.settings import KafkaSettings

COLOURS = {"negative": "red", "neutral": "yellow", "positive": "green"}


class Following(msgspec.Struct, frozen=True):
    """Where to begin, how many records to show (None: until Ctrl-C), and whether as they are."""

    from_beginning: bool
    count: int | None
    as_json: bool


def tail(kafka: KafkaSettings, stream: str, following: Following, console: Console) -> None:
    """Show the records of a stream, one of those that `_SHOW` names, as they are committed.

    Raises:
        RetryableError: Kafka or the topic is not there.
    """
    topic = getattr(kafka.topics, stream.replace("-", "_"))
    with closing(PlainReader(kafka, [topic], from_beginning=following.from_beginning)) as reader:
        for record in islice(_records(reader), following.count):
            console.print(line_of(stream, record, as_json=following.as_json), soft_wrap=True)


def line_of(stream: str, record: Record, *, as_json: bool) -> Text:
    """Return what is shown of a record of this stream, whatever the record is; nothing in it can steer the terminal."""
    return harmless(_as_json(record) if as_json else _SHOW[stream](record))


def harmless(text: Text) -> Text:
    """Show control characters for what they are: what producers send may not steer the terminal."""
    plain = text.plain
    for at in [at for at, char in enumerate(plain) if not char.isprintable() and char != "\n"][::-1]:
        text = Text.assemble(text[:at], repr(plain[at])[1:-1], text[at + 1 :])
    return text


def _records(reader: PlainReader) -> Iterator[Record]:
    while True:
        yield from reader.read(0.5)


def _as_json(record: Record) -> Text:
    headers = {name: _readable(value) for name, value in record.headers}
    about = {"topic": record.topic, "partition": record.partition, "offset": record.offset, "key": _readable(record.key)}
    try:
        body = msgspec.Raw(msgspec.json.encode(msgspec.json.decode(record.value or b"null")))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = msgspec.Raw(msgspec.json.encode(_readable(record.value)))
    return Text(msgspec.json.encode({**about, "headers": headers, "value": body}).decode())


def _prediction(record: Record) -> Text:
    prediction = decode_prediction(record.value or b"")
    names = ", ".join((*prediction.entities, *prediction.topics))
    return Text.assemble(
        (f"{prediction.label:<8} ", COLOURS[prediction.label]),
        f"{prediction.score:+.3f}  {prediction.id}",
        (f"  {names}", "cyan"),
    )


def _signal(record: Record) -> Text:
    signal = decode_signal(record.value)
    return Text.assemble(
        (f"{signal.label:<8} ", COLOURS[signal.label]),
        f"{signal.score:+.3f}  ",
        (f"{signal.alert_key}  ", "cyan"),
        signal.excerpt,
    )


def _alert(record: Record) -> Text:
    event = decode_alert_event(record.value or b"")
    evidence = event.evidence
    change = event.change or event.state
    head = Text.assemble(
        (f"{change:<8} ", "red bold" if change == "firing" else "green bold"),
        (f"{event.alert_key}  ", "cyan"),
        f"{event.rule} ({event.severity}) at {datetime.fromtimestamp(event.at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC\n"
        f"  {evidence.negatives} of {evidence.messages} negative, {evidence.detector} {evidence.statistic:.3f} "
        f"against {evidence.threshold:.3f}: {event.reason}",
        (f"\n  quiet by {', '.join(event.suppressed_by)}" if event.suppressed_by else "", "dim"),
    )
    return Text("\n").join([head, *(Text(f"  {sample.score:+.3f} {sample.excerpt}", "dim") for sample in evidence.samples)])


def _review(record: Record) -> Text:
    review = decode_review(record.value)
    head = (f"{review.label:<8} ", COLOURS[review.label])
    return Text.assemble(head, f"{review.confidence:.3f}  {review.id}  ", (review.content, "dim"))


def _feedback(record: Record) -> Text:
    said = decode_feedback(record.value)
    head = (f"{said.label:<8} ", COLOURS[said.label])
    return Text.assemble(
        head, f"not {said.predicted}  " if said.label != said.predicted else "", f"{said.id}  {said.annotator}"
    )


def _shadowed(record: Record) -> Text:
    both = decode_shadowed(record.value)
    said = " and ".join(f"version {one.model.version} {one.label} {one.confidence:.3f}" for one in (both.serving, both.shadow))
    return Text(f"{both.id}  {said}", "yellow" if both.serving.label != both.shadow.label else "")


def _dead_letter(record: Record) -> Text:
    headers = dict(record.headers)
    origin = "-".join(_readable(headers.get(f"tidings.{part}")) or "?" for part in ("topic", "partition", "offset"))
    reason, detail = (_readable(headers.get(f"tidings.{part}")) for part in ("reason", "detail"))
    return Text.assemble((f"{reason}  ", "red"), f"{origin}  {detail}  ", (repr((record.value or b"")[:80]), "dim"))


def _readable(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")


def _tolerant(show: Callable[[Record], Text]) -> Callable[[Record], Text]:
    """Show a record that is none of ours for what it is, and go on."""

    def shown(record: Record) -> Text:
        try:
            return show(record)
        except DecodeError as error:
            return Text(f"{record.topic}-{record.partition}-{record.offset} is not of this topic: {error}", "red")

    return shown


_SHOW: Mapping[str, Callable[[Record], Text]] = {
    "predictions": _tolerant(_prediction),
    "signals": _tolerant(_signal),
    "alerts": _tolerant(_alert),
    "dead-letters": _dead_letter,
    "review": _tolerant(_review),
    "feedback": _tolerant(_feedback),
    "shadow": _tolerant(_shadowed),
}
