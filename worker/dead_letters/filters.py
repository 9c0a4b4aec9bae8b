"""Which dead letters are meant, and how that is written on the command line. Pure."""

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from worker.alert.parameters import parse_duration
from worker.dead_letters.letter import DeadLetter

_PLACE = re.compile(r"([0-9]{1,9})-([0-9]{1,18})")
_OFFSETS = re.compile(r"([0-9]{1,18})|([0-9]{1,18})?\.\.([0-9]{1,18})?")


class Place(NamedTuple):
    """Where a dead letter lies in its topic; it is named by it, as in `0-17`."""

    partition: int
    offset: int


class Offsets(NamedTuple):
    """Offsets from `first` to `last`, both included; None is open."""

    first: int | None
    last: int | None


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What a letter must be like; what is not given is not asked.

    `topic`, `partition` and `offsets` are of the record that was refused. `since_ms` and `until_ms` are of the refusal, the
    first included, the second not. `key` is the text of the key as `list` shows it; `grep` is searched in the body.
    """

    reasons: frozenset[str] = frozenset()
    topic: str | None = None
    partition: int | None = None
    offsets: Offsets | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    key: str | None = None
    grep: re.Pattern[str] | None = None
    after: Place | None = None

    @property
    def given(self) -> bool:
        """Whether anything is asked at all."""
        return self != Filters()

    def admits(self, letter: DeadLetter) -> bool:
        """Whether the letter is meant."""
        return self._admits_place(letter) and self._admits_content(letter)

    def _admits_place(self, letter: DeadLetter) -> bool:
        origin, at_ms = letter.origin, letter.letter.timestamp_ms
        return (
            (self.topic is None or (origin is not None and origin.topic == self.topic))
            and (self.partition is None or (origin is not None and origin.partition == self.partition))
            and (self.offsets is None or (origin is not None and _within(origin.offset, self.offsets)))
            and (self.since_ms is None or at_ms >= self.since_ms)
            and (self.until_ms is None or at_ms < self.until_ms)
            and (self.after is None or (letter.letter.partition, letter.letter.offset) > self.after)
        )

    def _admits_content(self, letter: DeadLetter) -> bool:
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.key is None or (letter.letter.key is not None and self.key in _names(letter.letter.key)))
            and (self.grep is None or self.grep.search(as_text(letter.letter.value or b"")) is not None)
        )


def as_text(value: bytes) -> str:
    r"""Return bytes as text; what is no UTF-8 is written as `\xff`."""
    return value.decode("utf-8", "backslashreplace")


def escaped(text: str) -> str:
    """Return text on one line that steers no terminal: what cannot be printed is written as an escape."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def parse_place(text: str) -> Place:
    """Return the place that `17-204` names.

    Raises:
        ValueError: it is no such name.
    """
    if not (found := _PLACE.fullmatch(text)):
        raise ValueError(f"{text!r} names no dead letter: expected <partition>-<offset>, as in 0-17; `list` shows them")
    return Place(int(found[1]), int(found[2]))


def parse_offsets(text: str) -> Offsets:
    """Return the offsets of `17`, `17..20`, `17..` or `..20`.

    Raises:
        ValueError: it is none of these.
    """
    if not (found := _OFFSETS.fullmatch(text)) or text == "..":
        raise ValueError(f"expected an offset or a range such as 17, 17..20, 17.. or ..20, not {text!r}")
    if found[1]:
        return Offsets(int(found[1]), int(found[1]))
    return Offsets(int(found[2]) if found[2] else None, int(found[3]) if found[3] else None)


def parse_moment(text: str, now_ms: int) -> int:
    """Return epoch milliseconds for RFC 3339 (UTC if it has no offset), or for a duration such as `2h`: so long before now.

    Raises:
        ValueError: it is neither.
    """
    try:
        return now_ms - parse_duration(text)
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"expected a time such as 2026-01-31T08:00:00Z or a duration such as 2h, not {text!r}") from error
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def parse_pattern(text: str) -> re.Pattern[str]:
    """Return a regular expression.

    Raises:
        ValueError: it is none.
    """
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from error


def _within(offset: int, wanted: Offsets) -> bool:
    return (wanted.first is None or offset >= wanted.first) and (wanted.last is None or offset <= wanted.last)


def _names(key: bytes) -> tuple[str, str]:
    """A key as it is and as `list` shows it."""
    return as_text(key), escaped(as_text(key))
