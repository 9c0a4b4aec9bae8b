"""Input that is wrong, and input that only looks wrong: bodies, keys and headers. Pure."""

import json
from collections.abc import Mapping
from typing import Any

BAD_BODIES: Mapping[str, bytes | None] = {
    "empty_body": b"",
    "empty_body, a tombstone": None,
    "body_too_large": json.dumps({"text": "long " * 60_000}).encode(),
    "not_utf8": b'{"text": "caf\xe9"}',
    "not_an_object": b"42",
    "not_json": b'{"text": "a\x00b"}',
    "not_json, cut off": b'{"text": "the film was',
    "too_deep": b'{"text": "deep", "extra": ' + b"[" * 120 + b"]" * 120 + b"}",
    "text_missing": b"{}",
    "text_empty": b'{"text": " \\n"}',
    "invalid_field": b'{"text": "hi", "published_at": "yesterday"}',
    "invalid_field, a list": b'{"text": ["a", "b"]}',
}
"""Bodies that must end in the dead letters, each under its reason."""

KEYS: tuple[bytes | None, ...] = (None, b"", b"\xff\x00\xfe", b"k" * 300, "schlüssel".encode())
"""Keys that a producer may give."""

HEADERS: tuple[tuple[tuple[str, bytes], ...], ...] = (
    (),
    (("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),),
    (("twice", b"1"), ("twice", b"2")),
    (("empty", b""), ("binary", b"\x00\xff\xfe")),
    (("tidings.reason", b"not ours"),),
)
"""Headers that a producer may give, one that bears a name of ours among them."""


def odd_message(number: int, event_time_ms: int) -> dict[str, Any]:
    """Return the fields of a message that looks odd and is none the worse for it; `number` chooses what is odd.

    Those that tell no time of their own, or one that cannot be, go by the record's timestamp.
    """
    choices: tuple[dict[str, Any], ...] = (
        {"text": "a NUL \u0000 in the middle"},
        {"text": "… !!! 🙃 ???"},
        {"text": "See you in the year 9999.", "published_at": "9999-12-31T23:59:59Z"},
        {"text": "long " * 1_630, "published_at": event_time_ms},
        {"text": "It was a good day", "kind": "news", "published_at": event_time_ms},
        {"text": "It was a bad day", "kind": "chat", "title": "[SEP] [CLS] [PAD]", "published_at": event_time_ms},
        {"text": "<b>Fine</b> &amp; dandy", "desk": {"no": 1.50, "tags": ["a", None]}, "published_at": event_time_ms},
        {"text": "\u202eright to left\u202c and\r\nlines\tapart", "author": "ann", "lang": "en", "published_at": event_time_ms},
    )
    fields = choices[number % len(choices)]
    return {**fields, "text": f"{fields['text']} (odd {number})"}
