"""Alert events of two runs held against each other, on the topic and on the streams. Pure."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from math import isclose
from typing import Any, NamedTuple

from tests.chaos.outcome import Outcome, StreamEntry
from worker.codec import decode_alert_event
from worker.errors import DecodeError
from worker.messages import AlertEvent, Record

TOLERANCE = 1e-3
"""How far two figures that are no whole numbers may lie apart."""


class Finding(NamedTuple):
    """One thing that is wrong: the name of the count that it belongs to, and what it is, for people."""

    name: str
    what: str


class Heard(NamedTuple):
    """An event as it was heard: in which partition or stream, at which place in it, and the bytes."""

    line: str
    place: tuple[int, int]
    event: AlertEvent
    raw: bytes


def alike(one: Any, other: Any) -> bool:
    """Whether two JSON values say the same: alike in all but how a figure was rounded."""
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=0, abs_tol=TOLERANCE)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return type(one) is type(other) and bool(one == other)


def alert_findings(reference: Outcome, faulty: Outcome) -> Iterator[Finding]:
    """Yield every alert event that was lost, doubled, out of order, or other than in the reference."""
    known = {heard.event.id: heard for heard in _readable(on_topic(reference.alerts))}
    ways = {"topic": on_topic(faulty.alerts), "stream": on_streams(faulty)}
    for way, everything in ways.items():
        yield from (Finding("alerts_differing", f"{way}: {line}") for line in everything if isinstance(line, str))
        heard = _readable(everything)
        yield from _lost(way, known, heard if way == "topic" else _readable(at_the_end(faulty)))
        yield from _differing(way, known, heard)
        yield from (Finding("alerts_out_of_order", f"{way}: {line}") for line in disorder(heard))
        yield from _doubled(way, heard)
    yield from _foreign_keys(faulty.alerts)
    yield from _doubled_at_the_end(faulty.stream_end)
    yield from _repeats(faulty.stream_seen)


def on_topic(records: Iterable[Record]) -> list[Heard | str]:
    """Return the events of the topic in the order read; a line of text for one that cannot be read."""
    return [_hear(f"partition {r.partition}", (r.offset, 0), r.value or b"") for r in records]


def on_streams(outcome: Outcome) -> list[Heard | str]:
    """Return the entries that were ever seen on the streams, each once, in the order of their ids."""
    entries = {*outcome.stream_seen, *(entry for stream in outcome.stream_end.values() for entry in stream)}
    return [_hear(entry.stream, entry.place, entry.event) for entry in sorted(entries, key=_place)]


def at_the_end(outcome: Outcome) -> list[Heard | str]:
    """Return the entries that the streams hold in the end: what Redis lost on the way must have come back."""
    return [_hear(entry.stream, entry.place, entry.event) for stream in outcome.stream_end.values() for entry in stream]


def _place(entry: StreamEntry) -> tuple[str, tuple[int, int], bytes]:
    return entry.stream, entry.place, entry.event


def _hear(line: str, place: tuple[int, int], raw: bytes) -> Heard | str:
    try:
        return Heard(line, place, decode_alert_event(raw), raw)
    except DecodeError as error:
        return f"{line}, {place[0]}-{place[1]}: no alert event: {error}"


def _readable(everything: Iterable[Heard | str]) -> list[Heard]:
    return [heard for heard in everything if isinstance(heard, Heard)]


def disorder(heard: Sequence[Heard]) -> Iterator[str]:
    """Yield what is out of order in events that are in the order of their places, each heard again being skipped.

    On one alert key time does not go back, and of one rule and key firing and resolved come in turn, firing first.
    """
    first = list({event.event.id: event.event for event in heard}.values())
    for key, of_key in groupby(sorted(first, key=lambda event: event.alert_key), key=lambda event: event.alert_key):
        events = list(of_key)
        yield from (f"{key}: {_say(b)} after {_say(a)}" for a, b in pairwise(events) if b.at_ms < a.at_ms)
        for rule in sorted({event.rule for event in events}):
            yield from _out_of_turn([event for event in events if event.rule == rule])


def _out_of_turn(events: Iterable[AlertEvent]) -> Iterator[str]:
    before = "resolved"
    for event in events:
        if event.state == before:
            yield f"{event.alert_key}: {_say(event)}, but {before} was the last before it"
        before = event.state


def _lost(way: str, known: Mapping[str, Heard], heard: Sequence[Heard]) -> Iterator[Finding]:
    there = {one.event.id for one in heard}
    yield from (Finding("alerts_lost", f"{way}: {_say(known[name].event)}") for name in known if name not in there)


def _differing(way: str, known: Mapping[str, Heard], heard: Sequence[Heard]) -> Iterator[Finding]:
    """Yield events unknown to the reference or of other content; each content of an event counts once."""
    for name, raw in dict.fromkeys((one.event.id, one.raw) for one in heard):
        if name not in known:
            yield Finding("alerts_differing", f"{way}: not in the reference: {raw.decode('utf-8', 'replace')[:300]}")
        elif not alike(_content(raw), _content(known[name].raw)):
            yield Finding("alerts_differing", f"{way}: {_difference(_content(known[name].raw), _content(raw))}")


def _doubled(way: str, heard: Sequence[Heard]) -> Iterator[Finding]:
    """Yield events at more places than one; on the streams a place is an id, and an entry may be seen there again."""
    places = Counter(name for name, *_ in dict.fromkeys((one.event.id, one.line, one.place) for one in heard))
    for name, count in places.items():
        yield from [Finding("alerts_duplicated", f"{way}: {name} is there {count} times")] * (count - 1)


def _foreign_keys(records: Iterable[Record]) -> Iterator[Finding]:
    for heard, record in ((_hear("topic", (0, 0), record.value or b""), record) for record in records):
        if isinstance(heard, Heard) and record.key != heard.event.alert_key.encode():
            yield Finding("alerts_differing", f"topic: {_say(heard.event)} is under the key {record.key!r}")


def _doubled_at_the_end(streams: Mapping[str, Sequence[StreamEntry]]) -> Iterator[Finding]:
    """Yield entries that Redis itself could not hold twice: an id is there once, unless the reader is wrong."""
    for name, entries in streams.items():
        for entry_id, count in Counter(entry.id for entry in entries).items():
            yield from [Finding("alerts_duplicated", f"{name}: id {entry_id} is there {count} times")] * (count - 1)


def _repeats(seen: Iterable[StreamEntry]) -> Iterator[Finding]:
    for entry, count in Counter(seen).items():
        yield from [Finding("stream_repeats", f"{entry.stream} {entry.id}")] * (count - 1)


def _content(raw: bytes) -> Any:
    """Return the JSON without where the samples came from."""
    body = json.loads(raw)
    for sample in body["data"]["evidence"]["samples"]:
        sample.pop("origin", None)
    return body


def _difference(expected: dict[str, Any], found: dict[str, Any]) -> str:
    return f"{expected['id']}: {'; '.join(differences(expected, found))}"[:600]


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Yield where two JSON values that are not alike differ, by path, with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted(one.keys() | other.keys()):
            yield from differences(one.get(name), other.get(name), f"{path}.{name}")
    elif not alike(one, other):
        yield f"{path.lstrip('.')}: {one!r:.120} became {other!r:.120}"


def _say(event: AlertEvent) -> str:
    return f"{event.rule} {event.state} at {event.at_ms} ({event.id})"
