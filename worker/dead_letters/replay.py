"""Sending dead letters again.

A record goes back to the partition that it came from: whatever partitioner its producer used, records of one key stay together
and in their order among themselves. (Behind what came meanwhile, which cannot be helped. Where the topic has got fewer
partitions, or it is another topic, the key decides.)
"""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from worker.dead_letters.letter import DeadLetter, sent_again
from worker.errors import SettingsError
from worker.messages import OutRecord
from worker.settings import KafkaSettings


class Sender(Protocol):
    """What replaying needs; `adapters.kafka.Resender` has it."""

    delivered: int
    failed: int
    failures: dict[str, str]

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has, 0 if it is not there."""
        ...

    def send(self, name: str, record: OutRecord, partition: int | None) -> None:
        """Queue a record."""
        ...

    def refuse(self, name: str, why: str) -> None:
        """Count a record that was not sent as failed."""
        ...

    def flush(self) -> None:
        """Wait until it is known of every record whether it arrived."""
        ...


class Destination(msgspec.Struct, frozen=True):
    """Where replays go: to `to`, else to the topic of each letter if that is among the `inputs`."""

    to: str | None
    inputs: frozenset[str]


class Outcome(msgspec.Struct, frozen=True):
    """What became of a replay. `failures` names some of those that failed; `last` is the last letter that was dealt with.

    Of the `unknown` it is not known whether they arrived, for nobody waited any longer.
    """

    delivered: int
    failed: int
    failures: dict[str, str]
    last: str | None
    interrupted: bool
    unknown: int = 0


def destination(kafka: KafkaSettings, to: str | None) -> Destination:
    """Return where replays go.

    Raises:
        SettingsError: back to the dead letters is no place to send them.
    """
    if to == kafka.topics.dead_letters:
        raise SettingsError(f"--to {to}: that is the dead-letter topic itself")
    return Destination(to, frozenset(kafka.input_topics))


def replay(letters: Iterable[DeadLetter], to: Destination, sender: Sender) -> Outcome:
    """Send the letters again; on Ctrl-C stop, and wait for what was sent so far, so that the counts are right.

    A further Ctrl-C ends that waiting too, and what was not heard of is counted as unknown.

    Raises:
        RetryableError: the cluster did not answer.
    """
    last: str | None = None
    handled, interrupted = 0, False
    try:
        for letter in letters:
            _send(letter, to, sender)
            last, handled = letter.id, handled + 1
    except KeyboardInterrupt:
        interrupted = True
    try:
        sender.flush()
    except KeyboardInterrupt:
        interrupted = True
    unknown = max(0, handled - sender.delivered - sender.failed)
    return Outcome(sender.delivered, sender.failed, sender.failures, last, interrupted, unknown)


def _send(letter: DeadLetter, to: Destination, sender: Sender) -> None:
    topic = _topic(letter, to)
    if topic is None:
        came_from = letter.origin.topic if letter.origin else "nowhere that is known"
        return sender.refuse(letter.id, f"came from {came_from}, no input topic of these settings; --to TOPIC sends it")
    partitions = sender.partitions(topic)
    if partitions == 0:
        return sender.refuse(letter.id, f"there is no topic {topic}")
    return sender.send(letter.id, sent_again(letter, topic), _partition(letter, to, partitions))


def _topic(letter: DeadLetter, to: Destination) -> str | None:
    if to.to is not None:
        return to.to
    return letter.origin.topic if letter.origin and letter.origin.topic in to.inputs else None


def _partition(letter: DeadLetter, to: Destination, partitions: int) -> int | None:
    origin = letter.origin
    kept = origin is not None and (to.to is None or to.to == origin.topic) and origin.partition < partitions
    return origin.partition if kept and origin else None
