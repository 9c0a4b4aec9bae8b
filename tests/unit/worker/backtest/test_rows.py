import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.alert.builders import signal
from worker.backtest.rows import Place, Row, RowReader, signals_of
from worker.codec import encode_signal
from worker.errors import DecodeError
from worker.messages import ModelRef, Origin, Signal

HERE = Place("f.jsonl", 7)


def read(**fields: Any) -> list[Signal]:
    """A row with these fields, as a line."""
    return RowReader().read_json(json.dumps(fields).encode(), HERE)


def test_a_signal_is_itself() -> None:
    """Read as a signal and read as a row, it is the same."""
    one = signal(5, source=None, duplicate_of="m0")
    assert RowReader().read_json(encode_signal(one), HERE) == [one]
    assert signals_of(msgspec.json.decode(encode_signal(one), type=Row), HERE) == [one]


def test_a_prediction_is_a_signal_for_each_key() -> None:
    """With its figures; what it lacks says where it came from."""
    likely = {"negative": 0.7, "neutral": 0.2, "positive": 0.1}
    fields = {"id": "m1", "label": "negative", "probabilities": likely, "score": -0.6, "event_time_ms": 5, "kind": "news"}
    found = read(**fields, entities=["acme"], topics=["film"])
    assert [one.alert_key for one in found] == ["entity:acme", "topic:film"]
    assert (found[0].message_id, found[0].negative, found[0].score, found[0].kind) == ("m1", 0.7, -0.6, "news")
    assert (found[0].excerpt, found[0].model, found[0].origin) == ("", ModelRef("unknown", "0"), Origin("f.jsonl", 0, 7))
    assert read(**fields, entities=[], topics=[]) == []


def test_a_label_is_taken_for_certain() -> None:
    """The least that a row must say: when, what about, how meant."""
    (one,) = read(alert_key="topic:x", published_at="2026-03-01T00:00:00Z", label="negative", text="t" * 500)
    assert (one.negative, one.score, one.event_time_ms) == (1.0, -1.0, 1_772_323_200_000)
    assert (one.message_id, len(one.excerpt)) == ("f.jsonl:7", 280)
    (other,) = read(alert_key="topic:x", event_time_ms=1, probabilities={"negative": 0.2, "neutral": 0.2, "positive": 0.6})
    assert (other.label, other.negative, round(other.score, 9)) == ("positive", 0.2, 0.4)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"label": "negative", "event_time_ms": 1}, "what it is about"),
        ({"alert_key": "a", "event_time_ms": 1}, "how it is meant"),
        ({"alert_key": "a", "label": "negative"}, "when it was"),
        ({"alert_key": "a", "label": "bad", "event_time_ms": 1}, "label"),
        ({"alert_key": "a", "label": "negative", "event_time_ms": -1}, "1970"),
        ({"alert_key": "a", "label": "negative", "event_time_ms": 1, "score": -1.5}, "`score` -1.5"),
        ({"alert_key": "a", "label": "negative", "event_time_ms": 1, "negative": 2}, "`negative` 2"),
        ({"alert_key": "", "label": "negative", "event_time_ms": 1}, "alert_key"),
    ],
)
def test_a_row_that_cannot_be_read_says_why(fields: dict[str, Any], why: str) -> None:
    """In words that lead to the field."""
    with pytest.raises(DecodeError, match=why):
        read(**fields)


@pytest.mark.parametrize("changes", [{"score": 1e308}, {"negative": -0.1}, {"event_time_ms": 10**17}])
def test_a_signal_whose_figures_are_no_figures_is_refused(changes: dict[str, Any]) -> None:
    """They could not be reckoned with."""
    with pytest.raises(DecodeError):
        RowReader().read_json(encode_signal(signal(1, **changes)), HERE)


def test_figures_that_are_no_numbers_are_refused() -> None:
    """As a Parquet file may have them."""
    row = {"alert_key": "a", "label": "negative", "event_time_ms": 1, "score": float("nan")}
    with pytest.raises(DecodeError, match="score"):
        RowReader().read_fields(row, HERE)


@given(st.binary(max_size=60) | st.from_regex(rb'\{"alert_key": ?"a", ?"label": ?[^}]{0,20}\}'))
def test_no_bytes_do_more_than_be_refused(body: bytes) -> None:
    """Nothing but DecodeError."""
    with suppress(DecodeError):
        RowReader().read_json(body, HERE)


def test_kinds_of_rows_may_be_mixed() -> None:
    """Signals after predictions and before."""
    reader, one = RowReader(), signal(5)
    row = b'{"alert_key": "a", "label": "neutral", "event_time_ms": 1}'
    found = [reader.read_json(body, HERE)[0].alert_key for body in (encode_signal(one), row, encode_signal(one), row)]
    assert found == ["entity:acme", "a", "entity:acme", "a"]
