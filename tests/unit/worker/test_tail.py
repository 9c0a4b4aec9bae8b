import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from tests.unit.worker.builders import alert_event, feedback, prediction, record, review, shadowed, signal
from worker import tail as tailing
from worker.codec import (
    dead_letter,
    encode_alert_event,
    encode_feedback,
    encode_prediction,
    encode_review,
    encode_shadowed,
    encode_signal,
)
from worker.errors import DecodeError
from worker.messages import Record
from worker.settings import KafkaSettings

LETTER = dead_letter("dlq", record(b"\xff{", offset=9), DecodeError("not_utf8", "no UTF-8"))
SHOWN: list[tuple[str, bytes | None, list[str]]] = [
    ("predictions", encode_prediction(prediction(topics=("safety",))), ["positive", "+0.600", "m0", "Acme, safety"]),
    ("review", encode_review(review(title="Markets")), ["positive", "0.400", "m0", "Markets\nAcme rose"]),
    ("feedback", encode_feedback(feedback()), ["negative", "not positive", "m0", "ann"]),
    ("shadow", encode_shadowed(shadowed()), ["m0", "version 1 positive 0.700", "version 2 negative 0.600"]),
    ("signals", encode_signal(signal()), ["negative", "-0.800", "entity:Acme", "Acme fell"]),
    (
        "alerts",
        encode_alert_event(alert_event()),
        [
            "firing",
            "entity:Acme",
            "bad-press (warning) at 2023-11-14 22:13:20 UTC",
            "9 of 10 negative",
            "share 0.700",
            "Acme fell",
        ],
    ),
]


def shown(monkeypatch: pytest.MonkeyPatch, stream: str, *records: Record, as_json: bool = False, count: int = 0) -> str:
    """What `tail` prints of these records."""

    class Reader:
        def __init__(self, *_: Any, **__: Any) -> None:
            self.closed = False

        def read(self, _timeout_s: float) -> Iterator[Record]:
            return iter(records)

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(tailing, "PlainReader", Reader)
    written = io.StringIO()
    console = Console(file=written, width=40, force_terminal=False)
    tailing.tail(KafkaSettings(), stream, tailing.Following(True, count or len(records), as_json), console)
    return written.getvalue()


@pytest.mark.parametrize(("stream", "value", "expected"), SHOWN)
def test_each_stream_has_its_line(monkeypatch: pytest.MonkeyPatch, stream: str, value: bytes, expected: list[str]) -> None:
    """What a person wants to know of it, not wrapped."""
    said = shown(monkeypatch, stream, record(value))
    assert all(word in said for word in expected), said


def test_a_dead_letter_shows_reason_origin_and_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it came from, why it is here, and how it begins."""
    said = shown(monkeypatch, "dead-letters", record(LETTER.value, headers=LETTER.headers))
    assert "not_utf8  news-0-9  no UTF-8  b'\\xff{'" in said


def test_a_dead_letter_without_our_headers_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's record in the topic does not end the command."""
    assert "?-?-?" in shown(monkeypatch, "dead-letters", record(None))


@pytest.mark.parametrize("stream", ["predictions", "signals", "alerts", "review", "feedback", "shadow"])
@pytest.mark.parametrize("value", [None, b"", b"\xff", b"{}", b"[" * 100_000])
def test_what_is_not_of_the_topic_is_shown_as_such(monkeypatch: pytest.MonkeyPatch, stream: str, value: bytes | None) -> None:
    """A foreign record is one line, and the next is shown."""
    good = {name: body for name, body, _ in SHOWN}[stream]
    said = shown(monkeypatch, stream, record(value), record(good))
    assert "news-0-5 is not of this topic" in said
    assert len(said.splitlines()) > 1


def test_an_alert_of_no_time_is_shown_as_foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment that no calendar has does not end the command (found by fuzzing)."""
    far = encode_alert_event(alert_event()).replace(b'"at_ms":', b'"at_ms":9999999')
    assert "news-0-5 is not of this topic" in shown(monkeypatch, "alerts", record(far))


@pytest.mark.parametrize("control", ["\x1b[2J", "\x9b2J", "\x07", "\u202e", "\r"])
def test_nothing_from_outside_steers_the_terminal(monkeypatch: pytest.MonkeyPatch, control: str) -> None:
    """Escape sequences, direction overrides and the like are shown for what they are, or not at all."""
    said = shown(monkeypatch, "signals", record(encode_signal(signal(excerpt=f"a{control}b"))))
    assert control not in said
    assert control[0] not in said
    assert f"a{repr(control)[1:-1]}b" in said or "ab" in said  # rich leaves some out by itself


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{"a":1}', {"a": 1}),
        (b"5", 5),
        (None, None),
        (b"", None),
        (b"caf\xe9", "caf\\xe9"),
        (b"{", "{"),
        (b"[" * 100_000, "[" * 100_000),
    ],
)
def test_json_is_one_object_a_line(monkeypatch: pytest.MonkeyPatch, value: bytes | None, expected: Any) -> None:
    """Whatever the record, the line can be read by a program; bytes that are no text are written with escapes."""
    headers = (("h", b"\xff"), ("none", None))
    (line,) = shown(monkeypatch, "dead-letters", record(value, key=b"\xff", headers=headers), as_json=True).splitlines()
    assert json.loads(line) == {
        "topic": "news",
        "partition": 0,
        "offset": 5,
        "key": "\\xff",
        "headers": {"h": "\\xff", "none": None},
        "value": expected,
    }


def test_it_leaves_after_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """`count` records are shown, though more are there."""
    records = [record(encode_signal(signal(excerpt=f"text {number}"))) for number in range(5)]
    assert len(shown(monkeypatch, "signals", *records, count=2).splitlines()) == 2
