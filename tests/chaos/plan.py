"""What is sent and when: real texts, arranged so that every watched name turns bad and recovers again and again.

The texts are the rated snippets of the ICWSM-2014 data, each made distinct by a number, for what `duplicate_of` says depends
on what one process has seen. The ratings are what people gave; only the order, and with it the time, is arranged. The same
arguments give the same plan; but for the snippets, which come from the cache, it is made from those alone.

Event time runs as the clock does: a message sent `at_s` into the run was published `at_s` after `BASE_MS`. Topics that take
these records need `retention.ms=-1`, since they bear these times as their timestamps too.

One snippet in ten tells no time of its own, or one generations ahead, and so goes by its Kafka timestamp. One message in thirty
has a Kafka timestamp that lies as far ahead, and so goes by the worker's clock: what its event time is differs from run to run,
so it names nothing that is watched, and how far it may lie from the time of writing is for the verifier to say. All these
times are farther from now than any clock of the harness jumps, so which rule applies never hangs on a jump. A time close to
the bound of five minutes would be judged by the clock that jumped, and rightly so: nothing could be said of it.

The sender keeps the skew: it holds a message back until no message without its outcome is more than `max_skew_ms` of event time
older. So no signal comes later than the allowed lateness, whatever the order in which partitions are worked off, and the alerts
of two runs are the same.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from itertools import count, cycle
from typing import Any, Literal, NamedTuple

from tests.chaos.lexicon import POISON_WORD, expected_logits
from tests.chaos.odd_input import BAD_BODIES, HEADERS, KEYS, odd_message
from training.data import LABELS, Snippet, Source, load_snippets, normalise

BASE_MS = 1_766_880_000_000
"""2025-12-28T00:00:00Z, where event time begins."""
FAR_MS = 4_102_444_800_000
"""2100-01-01T00:00:00Z: further ahead than any clock jumps."""
PLAN_ID = "plan-id"
"""The header that tells which message a dead letter was, where its key does not."""
BURST = 10
"""A burst has this many times the rate."""

ENTITIES = ("acme", "globex", "initech", "hooli", "vandelay", "cyberdyne", "tyrell", "oceanic")
TOPICS = ("shipping", "billing", "rollout", "warranty", "staffing", "catering")
KEYS_WATCHED = (*(f"entity:{name}" for name in ENTITIES), *(f"topic:{name}" for name in TOPICS))

_BAD_EVERY, _ODD_EVERY, _POISON_EVERY, _CLOCK_EVERY = 50, 40, 150, 30
_UNTIMED_SHARE = 0.1
_NO_TIMES: tuple[dict[str, Any], ...] = (
    {},
    {"published_at": None},
    {"published_at": "9999-12-31T23:59:59Z"},
    {"published_at": "2099-01-01T00:00:00+00:00"},
    {"published_at": FAR_MS},
)
_BAD_SHARE_OF_PERIOD = 0.45

WATCHLIST = f"""\
entities:
{chr(10).join(f"  - {{name: {name}, aliases: [{name} group]}}" for name in ENTITIES)}
topics:
{chr(10).join(f"  - {{name: {name}, keywords: [{name}, {name} desk]}}" for name in TOPICS)}
"""

RULES = """\
rules:
  - name: turned
    detector:
      {type: share, window: 30s, bucket: 5s, threshold: 0.25, resolve_below: 0.2, min_messages: 6, confidence: 0.9}
    for: 5s
    keep_firing_for: 5s
    severity: critical
    count_duplicates: true
  - name: first-signs
    scope: {entities: [acme, globex], topics: [shipping]}
    detector:
      {type: share, window: 20s, bucket: 5s, threshold: 0.2, resolve_below: 0.2, min_messages: 3, confidence: 0.75}
    severity: info
    count_duplicates: true
  - name: chat-turned
    scope: {kind: chat}
    detector:
      {type: share, window: 60s, bucket: 10s, threshold: 0.25, resolve_below: 0.25, min_messages: 4, confidence: 0.8}
    keep_firing_for: 10s
    count_duplicates: true
  - name: reviewers-turned
    scope: {source: [movies, amazon]}
    detector:
      {type: share, window: 40s, bucket: 10s, threshold: 0.25, resolve_below: 0.25, min_messages: 5, confidence: 0.8}
    for: 10s
    count_duplicates: true
"""
_SETTLING_S = 150
"""Longer than the longest window and all that an alert is kept for, by as much as it takes to recover."""
_CLOSING_RATE = 50


@dataclass(frozen=True)
class Planned:
    """One record for the input topic of `kind`, to be sent `at_s` seconds into the run.

    `expects` says where it must end: exactly one prediction under `id`, or exactly one dead letter. A dead letter has no id:
    it is known by its header `PLAN_ID`, or else by its key, which is then `id`. With `by_clock` its event time is whatever the
    worker's clock says, and `event_time_ms` is no more than its place in the order of sending.
    """

    id: str
    kind: Literal["news", "chat"]
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int
    event_time_ms: int
    at_s: float
    expects: Literal["prediction", "dead_letter"]
    by_clock: bool = False


@dataclass(frozen=True)
class Plan:
    """All that is sent, in order, and the watchlist and the rules (YAML) it is judged by.

    `closing` is sent when everything in `messages` has its outcome, by the same rule about the skew; after it no alert is open.
    Its `at_s` count from its own beginning, and its event time runs faster than the clock.
    """

    messages: tuple[Planned, ...]
    closing: tuple[Planned, ...]
    watchlist: str
    rules: str
    lateness_s: float
    max_skew_ms: int


def make_plan(
    seed: int, seconds: float, rate: float, bursts: Sequence[tuple[float, float]] = (), *, model_poison: bool = False
) -> Plan:
    """Return a plan of `seconds` at `rate` messages/s, and ten times that in each burst, (start, length) in seconds.

    With `model_poison` some messages are well-formed, but no model run can ever answer them.

    Raises:
        TrainingError: the snippets could not be fetched.
    """
    author = _Author(seed, min(100.0, max(50.0, seconds / 6)))
    messages = [author.write(number, at_s, poison=model_poison) for number, at_s in enumerate(_times(seconds, rate, bursts))]
    lateness_s = min(120.0, max(15.0, seconds / 5))
    return Plan(
        messages=tuple(messages),
        closing=tuple(_closing(author, len(messages), seconds, lateness_s)),
        watchlist=WATCHLIST,
        rules=RULES,
        lateness_s=lateness_s,
        max_skew_ms=int(lateness_s * 800),
    )


def _times(seconds: float, rate: float, bursts: Sequence[tuple[float, float]]) -> Iterator[float]:
    at_s = 0.0
    while at_s < seconds:
        yield at_s
        bursting = any(start <= at_s < start + length for start, length in bursts)
        at_s += 1 / (rate * (BURST if bursting else 1))


class _Pools(NamedTuple):
    """Snippets by what people said of them."""

    bad: tuple[Snippet, ...]
    good: tuple[Snippet, ...]
    other: tuple[Snippet, ...]


@cache
def _pools() -> _Pools:
    unique = list({normalise(snippet.text): snippet for snippet in load_snippets()}.values())
    return _Pools(
        tuple(s for s in unique if s.rating <= -2),
        tuple(s for s in unique if s.rating >= 1.5),
        tuple(s for s in unique if -2 < s.rating < 1.5),
    )


@cache
def _praise() -> tuple[Snippet, ...]:
    loved = [snippet for snippet in _pools().good if snippet.rating >= 2]
    labels = expected_logits([snippet.text for snippet in loved]).argmax(axis=1)
    return tuple(snippet for snippet, label in zip(loved, labels, strict=True) if LABELS[label] == "positive")


class _Author:
    """Writes one message after the other; `period_s` is how long a name takes to turn bad and recover."""

    def __init__(self, seed: int, period_s: float) -> None:
        self._rng = random.Random(seed)
        self._times = random.Random(f"the times of {seed}")
        self._period_s = period_s
        self._bad, self._good, self._other = (cycle(self._rng.sample(pool, len(pool))) for pool in _pools())
        self._odd = count()
        self._flaws = cycle(BAD_BODIES.values())

    def write(self, number: int, at_s: float, *, poison: bool) -> Planned:
        """Return message `number`: every so often an odd, a bad or a poisonous one, and else a snippet on some names."""
        if number % _BAD_EVERY == _BAD_EVERY - 1:
            return self._flawed(number, at_s)
        if poison and number % _POISON_EVERY == _POISON_EVERY // 2:
            return self._poison(number, at_s)
        if number % _CLOCK_EVERY == _CLOCK_EVERY - 10:
            return self._by_clock(number, at_s)
        if number % _ODD_EVERY == _ODD_EVERY - 1:
            return self._message(number, at_s, odd_message(next(self._odd), _event_time_ms(at_s)))
        keys = self._keys(at_s)
        return self.snippet(number, at_s, keys, self._choose(keys, at_s))

    def snippet(self, number: int, at_s: float, keys: Sequence[str], snippet: Snippet) -> Planned:
        """Return a snippet that names these keys."""
        fields: dict[str, Any] = {"text": f"{snippet.text} {_mention(keys, number)}", "published_at": _event_time_ms(at_s)}
        if number % 9:
            fields["source"] = snippet.source.value
        if number % 11 == 0:
            fields["published_at"] = datetime.fromtimestamp(_event_time_ms(at_s) / 1000, UTC).isoformat()
        if self._times.random() < _UNTIMED_SHARE:
            del fields["published_at"]
            fields |= self._times.choice(_NO_TIMES)
        return self._message(number, at_s, fields, "chat" if snippet.source is Source.TWEETS else "news")

    def glowing(self) -> Iterator[Snippet]:
        """Yield snippets that people and the model praise, of all sources in turn, for ever."""
        sources = [cycle([s for s in _praise() if s.source is source]) for source in Source]
        while True:
            yield from map(next, sources)

    def _keys(self, at_s: float) -> list[str]:
        """Choose no name, one, or two that fare alike."""
        if self._rng.random() < 0.1:
            return []
        first = self._rng.choice(KEYS_WATCHED)
        alike = [key for key in KEYS_WATCHED if self._is_bad(key, at_s) == self._is_bad(first, at_s) and key != first]
        return [first, self._rng.choice(alike)] if alike and self._rng.random() < 0.15 else [first]

    def _is_bad(self, key: str, at_s: float) -> bool:
        """Whether a name has turned bad; names are out of step with each other, spread by the golden ratio."""
        place = KEYS_WATCHED.index(key) * 0.618 + at_s / self._period_s
        return place % 1 < _BAD_SHARE_OF_PERIOD

    def _choose(self, keys: Sequence[str], at_s: float) -> Snippet:
        draw = self._rng.random()
        if not keys or draw > 0.92:
            return next(self._other)
        return next(self._bad if self._is_bad(keys[0], at_s) else self._good)

    def _message(self, number: int, at_s: float, fields: dict[str, Any], kind: Literal["news", "chat"] = "chat") -> Planned:
        name = f"m-{number:06d}"
        body = json.dumps({"id": name, **fields}, ensure_ascii=bool(number % 2)).encode()
        key = KEYS[number // 7 % len(KEYS)] if number % 7 == 0 else f"author-{self._rng.randrange(40)}".encode()
        headers = HEADERS[number // 5 % len(HEADERS)] if number % 5 == 0 else ()
        return _planned(name, kind, (key, body, headers), at_s, "prediction")

    def _flawed(self, number: int, at_s: float) -> Planned:
        name, value = f"bad-{number:06d}", next(self._flaws)
        kind: Literal["news", "chat"] = "news" if number // _BAD_EVERY % 2 else "chat"
        if number // _BAD_EVERY % 3 == 0:
            return _planned(name, kind, (name.encode(), value, ()), at_s, "dead_letter")
        key, headers = KEYS[number // _BAD_EVERY % len(KEYS)], HEADERS[number // _BAD_EVERY % len(HEADERS)]
        return _planned(name, kind, (key, value, ((PLAN_ID, name.encode()), *headers)), at_s, "dead_letter")

    def _by_clock(self, number: int, at_s: float) -> Planned:
        """Write what tells no time that can be, on nothing watched: a signal of the clock's time would end all windows."""
        fields = {"text": f"Who knows what time it is? (#{number})", **self._times.choice(_NO_TIMES)}
        return replace(self._message(number, at_s, fields), timestamp_ms=FAR_MS, by_clock=True)

    def _poison(self, number: int, at_s: float) -> Planned:
        """Write what decodes and is scored by nobody; the key spreads it over the partitions."""
        name, text = f"poison-{number:06d}", f"{next(self._other).text} {POISON_WORD} {number}"
        body = json.dumps({"id": name, "text": text, "published_at": _event_time_ms(at_s)}).encode()
        key = f"author-{self._rng.randrange(40)}".encode()
        return _planned(name, "news", (key, body, ((PLAN_ID, name.encode()),)), at_s, "dead_letter")


def _closing(author: _Author, number: int, seconds: float, lateness_s: float) -> Iterator[Planned]:
    """Praise every name until its alerts resolve, then write one message each from so far ahead that all windows close.

    Each name is praised every three seconds of event time; the clock sees `_CLOSING_RATE` messages/s.
    """
    rounds = [seconds + 3 * step for step in range(1, _SETTLING_S // 3)]
    rounds.append(rounds[-1] + _SETTLING_S + lateness_s)
    places = [(time_s, key) for time_s in rounds for key in KEYS_WATCHED]
    praise = author.glowing()
    for place, (time_s, key) in enumerate(places):
        if place % len(KEYS_WATCHED) == 0:
            next(praise)  # so that every name hears from every source
        planned = author.snippet(number + place, time_s, [key], next(praise))
        yield replace(planned, at_s=place / _CLOSING_RATE)


def _planned(
    name: str,
    kind: Literal["news", "chat"],
    record: tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]],
    at_s: float,
    expects: Literal["prediction", "dead_letter"],
) -> Planned:
    key, value, headers = record
    time_ms = _event_time_ms(at_s)
    return Planned(name, kind, key, value, headers, time_ms, time_ms, at_s, expects)


def _event_time_ms(at_s: float) -> int:
    return BASE_MS + int(at_s * 1000)


def _mention(keys: Sequence[str], number: int) -> str:
    """Name the keys, by one of the words that the watchlist has for each, and a number that makes the text like no other."""
    extra = {"entity": " group", "topic": " desk"}
    words = [name + (extra[kind] if number % 2 else "") for kind, name in (key.split(":") for key in keys)]
    return f"({', '.join([*words, f'#{number}'])})"
