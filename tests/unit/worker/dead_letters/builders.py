"""Dead letters with defaults."""

from typing import Any

from tests.unit.worker.builders import NOW_MS, record
from worker.codec import dead_letter
from worker.dead_letters.letter import DeadLetter, read_letter
from worker.errors import DecodeError
from worker.messages import Record

REFUSED_MS = NOW_MS + 1_000
"""When letters were refused."""


def as_stored(refused: Record, reason: str = "not_json", partition: int = 0, offset: int = 17) -> Record:
    """The record of the dead-letter topic that a refused record becomes."""
    out = dead_letter("dlq", refused, DecodeError(reason, "because"))
    return Record(out.topic, partition, offset, out.key, out.value, REFUSED_MS, out.headers)


def letter(value: bytes | None = b"{", *, reason: str = "not_json", at: tuple[int, int] = (0, 17), **fields: Any) -> DeadLetter:
    """A dead letter; `fields` are those of the refused record."""
    return read_letter(as_stored(record(value, **fields), reason, *at))
