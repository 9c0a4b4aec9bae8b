"""A dead letter as a value: which headers are the record's own, which are ours, and what is sent when it is tried again. Pure.

Headers of a dead letter, in this order, so that whoever wrote the record cannot speak for us:

1. the record's own, byte for byte, whatever their names;
2. `tidings.attempt` and `tidings.replayed_from`, where the record was itself a replay;
3. from the last `tidings.reason` on, what `codec.dead_letter` added.

A replay sends 1, and 2 anew. So no number of attempts piles headers up, and a producer's own `tidings.something` stays. One
thing cannot be told apart: a producer's headers that end in exactly the two of 2, well-formed, are taken for a replay's.
"""

import re

import msgspec

from worker.messages import Headers, Origin, OutRecord, Record

_REASON = "tidings.reason"
_MARK = ("tidings.attempt", "tidings.replayed_from")
_ATTEMPT = re.compile(rb"[1-9][0-9]{0,8}")
_NUMBER = re.compile(r"-?[0-9]{1,19}")


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the dead-letter topic, understood.

    `letter` is the record as it lies there, `headers` the refused record's own headers, `timestamp_ms` the refused record's
    time, None where it had none. `attempt` counts from 1. `origin` is None for a record that no worker of ours put there.
    """

    letter: Record
    reason: str
    detail: str
    origin: Origin | None
    timestamp_ms: int | None
    headers: Headers
    attempt: int
    replayed_from: str | None

    @property
    def id(self) -> str:
        """The name to call it by: partition and offset in the dead-letter topic."""
        return f"{self.letter.partition}-{self.letter.offset}"


def read_letter(letter: Record) -> DeadLetter:
    """Return what a record of the dead-letter topic says; takes any record, also one that is not ours."""
    start = max((at for at, (name, _) in enumerate(letter.headers) if name == _REASON), default=len(letter.headers))
    added = {name.removeprefix("tidings."): (value or b"").decode("utf-8", "replace") for name, value in letter.headers[start:]}
    headers, attempt, replayed_from = _unmarked(letter.headers[:start])
    timestamp_ms = _number(added.get("timestamp_ms", ""))
    return DeadLetter(
        letter=letter,
        reason=added.get("reason", ""),
        detail=added.get("detail", ""),
        origin=_origin(added),
        timestamp_ms=timestamp_ms if timestamp_ms is not None and timestamp_ms >= 0 else None,
        headers=headers,
        attempt=attempt,
        replayed_from=replayed_from,
    )


def sent_again(letter: DeadLetter, topic: str) -> OutRecord:
    """Return the record to produce to `topic`: key, value, time and headers as they were, and the mark of another attempt.

    A record without a time, or of the first millisecond of 1970, gets the time of sending: librdkafka cannot send that one.
    """
    mark = (str(letter.attempt + 1), f"{letter.letter.topic}-{letter.id}")
    headers = (*letter.headers, *((name, value.encode()) for name, value in zip(_MARK, mark, strict=True)))
    return OutRecord(topic, letter.letter.key, letter.letter.value, headers, letter.timestamp_ms or None)


def _unmarked(headers: Headers) -> tuple[Headers, int, str | None]:
    """Take the mark of a replay off the end, if there is one: the record's own headers, the attempt, and of what."""
    if tuple(name for name, _ in headers[-2:]) == _MARK:
        attempt, replayed_from = headers[-2][1] or b"", headers[-1][1] or b""
        if _ATTEMPT.fullmatch(attempt) and int(attempt) > 1:
            return headers[:-2], int(attempt), replayed_from.decode("utf-8", "backslashreplace")
    return headers, 1, None


def _origin(added: dict[str, str]) -> Origin | None:
    partition, offset = _number(added.get("partition", "")), _number(added.get("offset", ""))
    topic = added.get("topic")
    if not topic or partition is None or offset is None or partition < 0 or offset < 0:
        return None
    return Origin(topic, partition, offset)


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None
