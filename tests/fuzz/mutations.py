"""Message number n of a seed: a real message, spoilt in some way or not. The same number gives the same bytes everywhere."""

import json
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from worker.messages import Headers

Object = dict[str, Any]

MESSAGES: tuple[Object, ...] = (
    {"id": "n1", "text": "Acme Corp shares fell after the recall of its phones.", "source": "daily", "lang": "en"},
    {"text": "A wonderful film, beautifully acted; I loved every minute of it.", "kind": "chat", "author": "ann"},
    {"text": "Worst phone I ever had, a complete waste of money 😡", "published_at": "2026-01-31T08:00:00.5+01:00"},
    {"id": "c-77", "text": "ok", "title": "Re: outage", "url": "https://example.org/a?b=c", "entities": ["Acme", "Globex"]},
    {"text": "Die Straße war gesperrt, Globex schweigt weiter dazu.", "lang": "de-DE", "published_at": 1_760_000_000_000},
    {
        "text": "このスマホは最高です。また買います!",
        "lang": "ja",
        "source": "forum",
        "desk": {"no": 1.50, "tags": ["a", None, True]},
    },
    {"text": "The movie was dull, the ACME cinema cold, and the popcorn stale.", "kind": "news", "n": 12345678901234567890},
    {"id": "x" * 200, "text": "Initech denies reports of layoffs; staff say otherwise. " * 40, "author": "desk"},
)
"""What producers really send, in small; the fields of the schema, known and unknown, are all there."""

WATCHLIST = """
entities:
  - {name: acme, aliases: [Acme Corp, アクメ]}
  - {name: globex}
  - {name: initech}
topics:
  - {name: film, keywords: [film, movie, 映画]}
  - {name: outage, keywords: [outage, recall]}
"""
RULES = """
rules:
  - name: turns-bad
    scope: {topics: [film, outage]}
    detector: {type: share, window: 60s, bucket: 10s, threshold: 0.5, min_messages: 5}
    for: 10s
    severity: warning
"""

ODD_PIECES = (
    b"\x00", b"\x1b[2J", b"\r\n", b"\x7f", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xef\xbb\xbf",
    "\u202e".encode(), "\u2028".encode(), "\U000e0041".encode(), b"\\ud800", b"\\udfff\\ud800", b"\\u0000", b'"', b"{", b"[",
    b"}", b"]", b",", b":", b"\\", b"NaN", b"1e999", b"-", b"9" * 400, b"null", b"true", b"[CLS]", b"[SEP]",
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 2**63, -(2**64), 10**400, 1e308, -0.0, "", " ", "\x00", "\u202e", "x" * 300, "9999-12-31T23:59:59Z",
    "1969-12-31T23:59:59Z", "news", [], [[]], {}, {"": {}}, ["a"] * 70, [None], "2026-01-01", 253_402_300_800_000, 1.5,
)  # fmt: skip
ODD_KEYS = (None, b"", b"\x00", b"\xff\xfe", b"key", "schlüssel 🔑".encode(), b"k" * 10_000)
ODD_HEADERS: tuple[Headers, ...] = (
    (("h", b"v"),),
    (("", b""), ("none", None), ("h", b"\xff\x00"), ("h", b"again")),
    (("tidings.reason", b"forged"), ("tidings.topic", b"sentiment.alerts"), ("tidings.offset", b"0")),
    (("tidings.attempt", b"2"), ("tidings.replayed_from", b"dlq-0-1")),
    tuple((f"h{number}", b"x" * number) for number in range(50)),
    (("überschrift\u202e\n", "wert".encode("utf-16")),),
)
ODD_TIMES_MS = (1, 1_000, 1_500_000_000_000, 1_760_000_000_000)
"""Kafka itself refuses what lies more than an hour ahead."""


class Mutant(NamedTuple):
    """A message to send. `spoilt` names what was done to the body; `whole` has a body that is as good as it was."""

    spoilt: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int | None


def mutant(seed: int, number: int) -> Mutant:
    """Return message `number` of this seed."""
    rng = random.Random((seed << 48) + number)
    fields = dict(rng.choice(MESSAGES))
    fields["text"] = f"{fields['text']} ({number})" if rng.random() < 0.8 else fields["text"]
    (spoil,) = rng.choices(_NAMES, _WEIGHTS)
    key = rng.choice(ODD_KEYS) if rng.random() < 0.3 else b"k%d" % (number % 1_000)
    headers = rng.choice(ODD_HEADERS) if rng.random() < 0.1 else ()
    timestamp_ms = rng.choice(ODD_TIMES_MS) if rng.random() < 0.2 else None
    return Mutant(spoil, key, _SPOILS[spoil][1](rng, fields), headers, timestamp_ms)


def _body(fields: Object) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode()


def _flip_bits(rng: random.Random, fields: Object) -> bytes:
    body = bytearray(_body(fields))
    for _ in range(rng.randint(1, 8)):
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    return bytes(body)


def _cut_off(rng: random.Random, fields: Object) -> bytes:
    body = _body(fields)
    return body[: rng.randrange(len(body))] if rng.random() < 0.8 else body[rng.randrange(len(body)) :]


def _repeat(rng: random.Random, fields: Object) -> bytes:
    body = _body(fields)
    start = rng.randrange(len(body))
    piece = body[start : start + rng.randint(1, 60)]
    at = rng.randrange(len(body))
    return body[:at] + piece * rng.randint(1, 50) + body[at:]


def _insert(rng: random.Random, fields: Object) -> bytes:
    body = _body(fields)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(body) + 1)
        body = body[:at] + rng.choice(ODD_PIECES) + body[at:]
    return body


def _insert_in_text(rng: random.Random, fields: Object) -> bytes:
    return _body(fields).replace(b'"text": "', b'"text": "' + rng.choice(ODD_PIECES), 1)


def _splice(rng: random.Random, fields: Object) -> bytes:
    one, other = _body(fields), _body(rng.choice(MESSAGES))
    return one[: rng.randrange(len(one))] + other[rng.randrange(len(other)) :]


def _other_type(rng: random.Random, fields: Object) -> bytes:
    name = rng.choice([*fields, "published_at", "entities", "kind", "lang"])
    return _body({**fields, name: rng.choice(ODD_VALUES)})


def _missing(rng: random.Random, fields: Object) -> bytes:
    fields.pop(rng.choice(list(fields)))
    return _body(fields)


def _twice(rng: random.Random, fields: Object) -> bytes:
    name = rng.choice(list(fields))
    return _body(fields)[:-1] + b", " + _body({name: rng.choice(ODD_VALUES)})[1:]


def _deep(rng: random.Random, fields: Object) -> bytes:
    levels = rng.choice([50, 98, 99, 100, 500, 20_000])
    opening, closing = rng.choice([(b"[", b"]"), (b'{"a":', b"}")])
    return _body(fields)[:-1] + b', "z": ' + opening * levels + b"1" + closing * levels + b"}"


def _large(rng: random.Random, fields: Object) -> bytes:
    size = rng.choice([8_000, 8_192, 9_000, 70_000, 262_100, 300_000])
    return _body({**fields, rng.choice(["text", "more"]): rng.choice("xé🚀 ") * size})


def _other_encoding(rng: random.Random, fields: Object) -> bytes:
    encoding = rng.choice(["utf-16", "utf-32", "utf-8-sig", "latin-1", "cp037"])
    return json.dumps(fields, ensure_ascii=False).encode(encoding, "replace")


def _surrogates(rng: random.Random, fields: Object) -> bytes:
    name = rng.choice([*fields, "more"])
    return json.dumps({**fields, name: f"a{chr(rng.randint(0xD800, 0xDFFF))}b"}).encode()


def _no_object(rng: random.Random, _fields: Object) -> bytes:
    return json.dumps(rng.choice(ODD_VALUES)).encode()


def _nothing(rng: random.Random, _fields: Object) -> bytes | None:
    return rng.choice([None, b"", b" ", b"\x00"])


def _noise(rng: random.Random, _fields: Object) -> bytes:
    return rng.randbytes(rng.randint(1, 500))


_SPOILS: dict[str, tuple[int, Callable[[random.Random, Object], bytes | None]]] = {
    "whole": (300, lambda _, fields: _body(fields)),
    "bits flipped": (150, _flip_bits),
    "cut off": (80, _cut_off),
    "a piece repeated": (60, _repeat),
    "odd pieces": (80, _insert),
    "odd text": (80, _insert_in_text),
    "spliced": (40, _splice),
    "another type": (80, _other_type),
    "a field missing": (30, _missing),
    "a field twice": (20, _twice),
    "deep": (5, _deep),
    "large": (2, _large),
    "another encoding": (15, _other_encoding),
    "lone surrogates": (20, _surrogates),
    "no object": (15, _no_object),
    "nothing": (13, _nothing),
    "noise": (10, _noise),
}
"""What can be done to a body: its weight, and how."""
_NAMES = list(_SPOILS)
_WEIGHTS = [weight for weight, _ in _SPOILS.values()]
