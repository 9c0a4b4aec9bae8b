"""What a person or a program sees of dead letters. Nothing in them can steer the terminal."""

import base64
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worker.dead_letters.filters import as_text, escaped
from worker.dead_letters.letter import DeadLetter

BODY_CHARS = 60
"""Of a body, in the table."""
MAX_REASONS = 100
"""Kinds of reason that are told apart: a record that is not ours may give any."""
_HEX_WIDTH = 16
_MAX_MS = 253_402_300_799_999


class Summary:
    """Counts of letters by reason and by the topic they came from, in bounded memory."""

    def __init__(self) -> None:
        self.total = 0
        self.reasons: Counter[str] = Counter()
        self.topics: Counter[str] = Counter()

    def add(self, letter: DeadLetter) -> None:
        """Count one."""
        self.total += 1
        _count(self.reasons, letter.reason or "(none of ours)")
        _count(self.topics, letter.origin.topic if letter.origin else "(unknown)")

    def __str__(self) -> str:
        """Return one line, the most frequent reason first."""
        parts = ", ".join(f"{escaped(reason)} {count:,}" for reason, count in self.reasons.most_common())
        return f"{self.total:,} dead letters" + (f": {parts}" if parts else "")


def _count(counts: Counter[str], name: str) -> None:
    short = name[:64]
    counts[short if short in counts or len(counts) < MAX_REASONS else "(others)"] += 1


def table(letters: list[DeadLetter]) -> Table:
    """Return one row a letter."""
    columns = ("id", "refused at (UTC)", "reason", "origin", "key", "bytes", "attempt", "body")
    found = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        found.add_column(name, no_wrap=True, overflow="ellipsis", justify="right" if name in {"bytes", "attempt"} else "left")
    for letter in letters:
        found.add_row(*(Text(cell) for cell in _cells(letter)))
    return found


def _cells(letter: DeadLetter) -> tuple[str, ...]:
    value, key = letter.letter.value, letter.letter.key
    return (
        letter.id,
        moment(letter.letter.timestamp_ms),
        escaped(letter.reason[:32]) or "?",
        escaped(origin(letter)),
        "" if key is None else escaped(as_text(key[:32])),
        "" if value is None else f"{len(value):,}",
        str(letter.attempt),
        "(no value)" if value is None else _beginning(value),
    )


def _beginning(value: bytes) -> str:
    text = escaped(as_text(value[: 4 * BODY_CHARS]))
    return text if len(text) <= BODY_CHARS else text[: BODY_CHARS - 1] + "…"


def origin(letter: DeadLetter) -> str:
    """Return topic, partition and offset of the record that was refused."""
    return "?" if letter.origin is None else "{}-{}-{}".format(*msgspec.structs.astuple(letter.origin))


def moment(ms: int | None) -> str:
    """Return a time to the second, UTC; a number that is no time as it is."""
    if ms is None or not 0 <= ms <= _MAX_MS:
        return "unknown" if ms is None or ms == -1 else str(ms)
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%d %H:%M:%S}"


def whole(letter: DeadLetter) -> RenderableType:
    """Return everything that is known of one letter; bytes that are no UTF-8 as hex and text."""
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, fact in _facts(letter):
        facts.add_row(name, Text(fact))
    value = letter.letter.value
    title = Text("(no value)" if value is None else f"body, {len(value):,} bytes", "bold")
    return Group(facts, Text(), title, *([] if value is None else [Text(_body(value))]))


def _facts(letter: DeadLetter) -> Iterator[tuple[str, str]]:
    yield "id", letter.id
    yield "refused at", f"{moment(letter.letter.timestamp_ms)} UTC"
    yield "reason", escaped(letter.reason) or "? (no worker of ours put it here)"
    yield "detail", escaped(letter.detail)
    yield "origin", escaped(origin(letter))
    yield "record's time", moment(letter.timestamp_ms)
    yield "attempt", str(letter.attempt)
    if letter.replayed_from is not None:
        yield "replayed from", escaped(letter.replayed_from)
    yield "key", "(none)" if letter.letter.key is None else _on_one_line(letter.letter.key)
    for name, value in letter.headers:
        yield f"header {escaped(name)}", "(none)" if value is None else _on_one_line(value)


def _on_one_line(value: bytes) -> str:
    try:
        return escaped(value.decode("utf-8"))
    except UnicodeDecodeError:
        return f"{value.hex(' ')}  {escaped(as_text(value))}"


def _body(value: bytes) -> str:
    try:
        return "\n".join(escaped(line) for line in value.decode("utf-8").split("\n"))
    except UnicodeDecodeError:
        return "\n".join(_hex_lines(value))


def _hex_lines(value: bytes) -> Iterator[str]:
    for at in range(0, len(value), _HEX_WIDTH):
        row = value[at : at + _HEX_WIDTH]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{at:08x}  {row.hex(' '):<{3 * _HEX_WIDTH}} {text}"


def as_json(letter: DeadLetter) -> str:
    """Return one line of ASCII JSON; bytes are strings where they are UTF-8, else `{"base64": ...}`."""
    fields: dict[str, Any] = {
        "id": letter.id,
        "refused_at_ms": letter.letter.timestamp_ms,
        "reason": letter.reason,
        "detail": letter.detail,
        "origin": letter.origin and msgspec.structs.asdict(letter.origin),
        "timestamp_ms": letter.timestamp_ms,
        "attempt": letter.attempt,
        "replayed_from": letter.replayed_from,
        "key": _for_json(letter.letter.key),
        "headers": [[name, _for_json(value)] for name, value in letter.headers],
        "value": _for_json(letter.letter.value),
    }
    return json.dumps(fields)


def _for_json(value: bytes | None) -> str | dict[str, str] | None:
    if value is None:
        return None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
