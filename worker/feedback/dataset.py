"""People's answers as rows to learn from. Pure: records in, rows out."""

from collections.abc import Iterable

import msgspec

from worker.codec import decode_feedback
from worker.errors import DecodeError
from worker.messages import Feedback, Record

SOURCE = "feedback"


class Rows(msgspec.Struct, frozen=True):
    """The answers that count, by message and annotator, how many were replaced by a later one, and how many cannot be read."""

    answers: list[Feedback]
    replaced: int
    unreadable: int


def rows_of(records: Iterable[Record]) -> Rows:
    """Take each annotator's last word on each message, in the order in which the messages were first answered."""
    last: dict[tuple[str, str], Feedback] = {}
    unreadable = replaced = 0
    for record in records:
        try:
            said = decode_feedback(record.value)
        except DecodeError:
            unreadable += 1
            continue
        before = last.get((said.id, said.annotator))
        replaced += before is not None
        if before is None or said.at >= before.at:
            last[said.id, said.annotator] = said
    return Rows(list(last.values()), replaced, unreadable)


def row(said: Feedback) -> bytes:
    """Return one line of JSONL that `tidings data prepare` reads.

    What several people say of one message is of one group, so that no split tears it apart.
    """
    return msgspec.json.encode({**msgspec.to_builtins(said), "group": said.id, "source": SOURCE}) + b"\n"
