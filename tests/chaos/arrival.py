"""What of the plan the input topics really hold. Pure.

The worker answers for what Kafka gave it, no more and no less. An idempotent producer can lose its place when every broker
is restarted: seen here with librdkafka 2.16.0 and Kafka 4.3.1, single records twice in the log after `kafka_restarted`. So the
reference of a run is what comes of the very input that the run had.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.chaos.plan import Plan, Planned
from worker.messages import Headers, Record

Identity = tuple[bytes | None, bytes | None, Headers]


@dataclass(frozen=True)
class Arrival:
    """The plan as it arrived, and the ids of what arrived more than once, or not at all."""

    plan: Plan
    doubled: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def as_planned(self) -> bool:
        """Whether every message arrived once."""
        return not self.doubled and not self.missing


def arrival(plan: Plan, inputs: Sequence[Record]) -> Arrival:
    """Hold the records of the input topics against the plan.

    Raises:
        ValueError: a record is none of the plan's.
    """
    times = Counter((record.key, record.value, record.headers) for record in inputs)
    planned = (*plan.messages, *plan.closing)
    if strangers := times.keys() - {_identity(message) for message in planned}:
        raise ValueError(f"{len(strangers)} records on the input topics are not of the plan, {min(map(repr, strangers)):.200}")
    actual = replace(plan, messages=tuple(_as_arrived(plan.messages, times)), closing=tuple(_as_arrived(plan.closing, times)))
    doubled = tuple(message.id for message in planned if times[_identity(message)] > 1)
    return Arrival(actual, doubled, tuple(message.id for message in planned if not times[_identity(message)]))


def _identity(message: Planned) -> Identity:
    return message.key, message.value, message.headers


def _as_arrived(messages: Sequence[Planned], times: Counter[Identity]) -> Iterator[Planned]:
    for message in messages:
        yield from [message] * times[_identity(message)]
