"""Rows of many kinds as signals: what `sentiment.signals` holds, predictions, and rows that people labelled. Pure.

A row must say when, what about, and how it was meant; the rest is made up so that it changes nothing but the evidence:

- `event_time_ms` or `published_at` (RFC 3339, or epoch milliseconds);
- `alert_key`, or `entities` and `topics`, which give one signal each, and none where they are empty;
- `label`, or `probabilities`, of which the largest is the label. `negative` and `score` follow from the probabilities, else
  from the label as if it were certain: -1, 0 or 1.
"""

from contextlib import suppress
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

import msgspec

from worker.backtest.moments import epoch_ms
from worker.errors import DecodeError
from worker.messages import LABELS, MAX_EVENT_TIME_MS, Kind, Label, Matches, ModelRef, Origin, Probabilities, Signal

_EXCERPT = 280
_UNKNOWN_MODEL = ModelRef("unknown", "0")
_CERTAIN: dict[Label, float] = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}
_Shape = Literal["signal", "row"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that are looked at; see the module's docstring."""

    alert_key: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    entities: tuple[str, ...] | None = None
    topics: tuple[str, ...] | None = None
    label: Label | None = None
    probabilities: Probabilities | None = None
    negative: float | None = None
    score: float | None = None
    event_time_ms: int | datetime | None = None
    published_at: int | datetime | None = None
    message_id: str | None = None
    id: str | None = None
    kind: Kind | None = None
    source: str | None = None
    duplicate_of: str | None = None
    excerpt: str | None = None
    text: str | None = None
    model: ModelRef | None = None
    origin: Origin | None = None


class Place(NamedTuple):
    """Where a row stands: the file or topic partition, and its line, row or offset."""

    name: str
    number: int


class RowReader:
    """Reads rows one after the other; it tries first what the last one was."""

    def __init__(self) -> None:
        self._shape: _Shape = "signal"
        self._signal = msgspec.json.Decoder(Signal)
        self._row = msgspec.json.Decoder(Row)

    def read_json(self, body: bytes, place: Place) -> list[Signal]:
        """Return the signals that a line of JSON is.

        Raises:
            DecodeError: it is none; the message says what is wrong.
        """
        try:
            return self._read(body, place)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise DecodeError("invalid_row", str(error)) from error

    def _read(self, body: bytes, place: Place) -> list[Signal]:
        if self._shape == "signal":
            with suppress(msgspec.ValidationError):
                return [checked(self._signal.decode(body))]
        found = signals_of(self._row.decode(body), place)
        self._shape = "row"
        return found

    def read_fields(self, fields: dict[str, object], place: Place) -> list[Signal]:
        """Return the signals that a row with these fields is; raises DecodeError."""
        try:
            return signals_of(msgspec.convert(fields, Row), place)
        except msgspec.ValidationError as error:
            raise DecodeError("invalid_row", str(error)) from error


def checked(signal: Signal) -> Signal:
    """Return a signal whose figures can be reckoned with; raises DecodeError otherwise."""
    if -1 <= signal.score <= 1 and 0 <= signal.negative <= 1 and 0 <= signal.event_time_ms <= MAX_EVENT_TIME_MS:
        return signal
    raise DecodeError("invalid_row", _out_of_range(signal))


def _out_of_range(signal: Signal) -> str:
    if not -1 <= signal.score <= 1:
        return f"`score` {signal.score} lies outside -1 to 1"
    if not 0 <= signal.negative <= 1:
        return f"`negative` {signal.negative} lies outside 0 to 1"
    return f"`event_time_ms` {signal.event_time_ms} lies outside the years 1970 to 9999"


def signals_of(row: Row, place: Place) -> list[Signal]:
    """Return one signal for each alert key of the row.

    Raises:
        DecodeError: it does not say when, what about or how it was meant, or its figures are out of range.
    """
    keys, label, event_time_ms = _keys(row), _label(row), _event_time_ms(row)
    likely = row.probabilities
    negative = row.negative if row.negative is not None else likely.negative if likely else float(label == "negative")
    score = row.score if row.score is not None else likely.positive - likely.negative if likely else _CERTAIN[label]
    return [
        checked(
            Signal(
                alert_key=key,
                message_id=row.message_id or row.id or f"{place.name}:{place.number}",
                label=label,
                negative=negative,
                score=score,
                kind=row.kind or "chat",
                source=row.source,
                event_time_ms=event_time_ms,
                duplicate_of=row.duplicate_of,
                excerpt=row.excerpt if row.excerpt is not None else (row.text or "")[:_EXCERPT],
                model=row.model or _UNKNOWN_MODEL,
                origin=row.origin or Origin(place.name, 0, place.number),
            )
        )
        for key in keys
    ]


def _keys(row: Row) -> tuple[str, ...]:
    if row.alert_key is not None:
        return (row.alert_key,)
    if row.entities is None and row.topics is None:
        raise DecodeError("invalid_row", "what it is about is missing: `alert_key`, or `entities` and `topics`")
    return Matches(row.entities or (), row.topics or ()).alert_keys


def _label(row: Row) -> Label:
    if row.label is not None:
        return row.label
    likely = row.probabilities
    if likely is None:
        raise DecodeError("invalid_row", "how it is meant is missing: `label` or `probabilities`")
    return max(LABELS, key=lambda label: getattr(likely, label))


def _event_time_ms(row: Row) -> int:
    when = row.event_time_ms if row.event_time_ms is not None else row.published_at
    if when is None:
        raise DecodeError("invalid_row", "when it was is missing: `event_time_ms` or `published_at`")
    try:
        return epoch_ms(when)
    except ValueError as error:
        raise DecodeError("invalid_row", str(error)) from error
