"""Bad input is bad in the ways it says, and odd input is not bad at all: both judged by the worker's own codec."""

import json

import pytest

from deploy.local.demo.flaws import Flaw, flaws, odd_messages
from worker.codec import Clock, decode_message
from worker.errors import DecodeError
from worker.messages import Message, Record

LARGE_BYTES = 300_000
REASONS = {
    "invalid UTF-8": "not_utf8",
    "JSON that is a number": "not_an_object",
    "an object without text": "text_missing",
    "an empty body": "empty_body",
    "JSON that breaks off": "not_json",
    "text that is a list": "invalid_field",
    "0.3 MB of text": "body_too_large",
}


def decode(body: bytes) -> Message:
    """What the worker makes of a body."""
    return decode_message(Record("chat", 0, 0, None, body, 1_000), "chat", Clock(2_000, 300_000))


@pytest.mark.parametrize("flaw", flaws(LARGE_BYTES), ids=lambda flaw: flaw.name)
def test_every_flaw_is_one(flaw: Flaw) -> None:
    """Each flaw is refused for the reason that its name promises."""
    with pytest.raises(DecodeError) as caught:
        decode(flaw.body)
    assert caught.value.reason == REASONS[flaw.name]


def test_flaws_differ() -> None:
    """No two flaws have the same bytes, or the dead letters could be mistaken for each other."""
    bodies = [flaw.body for flaw in flaws(LARGE_BYTES)]
    assert len(set(bodies)) == len(bodies) >= 3


@pytest.mark.parametrize("body", odd_messages(), ids=lambda body: str(body["id"]))
def test_odd_messages_are_messages(body: dict[str, object]) -> None:
    """Odd input decodes, under its own id."""
    assert decode(json.dumps(body).encode()).id == body["id"]


def test_the_far_future_does_not_move_the_clock() -> None:
    """A date in the year 9999 is not believed: the record's own time counts."""
    (future,) = (body for body in odd_messages() if "published_at" in body)
    assert decode(json.dumps(future).encode()).event_time_ms == 1_000
