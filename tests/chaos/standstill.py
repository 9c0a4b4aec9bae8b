"""Where a run stands that does not come to its end: asked of Kafka at that moment, for afterwards nobody can tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

import confluent_kafka as ck
from confluent_kafka import IsolationLevel, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from tests.chaos.observe import TopicNames, relay_positions
from tests.chaos.stage import PARTITIONS

_TIMEOUT_S = 10.0


def standstill(bootstrap: str, names: TopicNames) -> list[str]:
    """Return what holds a run up, one line each: partitions not read to their end, transactions left open, groups and members.

    What Kafka does not tell is a line too; nothing is raised.
    """
    return [line for look in (_unread, _open_transactions, _groups) for line in _patiently(look, bootstrap, names)]


def _patiently(look: Callable[[str, TopicNames], Iterator[str]], bootstrap: str, names: TopicNames) -> list[str]:
    """Ask again for a while: a broker that is not yet the coordinator, say, will be."""
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            return list(look(bootstrap, names))
        except (KafkaException, OSError, TimeoutError) as error:
            if time.monotonic() > deadline:
                return [f"{look.__name__.strip('_').replace('_', ' ')}: {error}"]
            time.sleep(0.5)


def _unread(bootstrap: str, names: TopicNames) -> Iterator[str]:
    """What a group has not committed, of what a reader of committed records may see."""
    read_by = {**dict.fromkeys(names.inputs.values(), f"{names.run}-score"), names.signals: f"{names.run}-alert"}
    for topic, group in read_by.items():
        ends = _ends(bootstrap, [topic], IsolationLevel.READ_COMMITTED)
        at = relay_positions(bootstrap, group, topic, PARTITIONS)
        left = {number: end for (_, number), end in ends.items() if max(0, at.get(number, 0)) < end}
        if left:
            told = ", ".join(f"{number} at {at.get(number, 0)} of {end}" for number, end in sorted(left.items()))
            yield f"{topic}, read by {group}: partition {told}"


def _open_transactions(bootstrap: str, names: TopicNames) -> Iterator[str]:
    """Partitions of which a reader of committed records does not see the end."""
    stable = _ends(bootstrap, names.all, IsolationLevel.READ_COMMITTED)
    ends = _ends(bootstrap, names.all, IsolationLevel.READ_UNCOMMITTED)
    held = [
        f"{topic}[{number}] at {stable[topic, number]} of {end}"
        for (topic, number), end in sorted(ends.items())
        if stable.get((topic, number), end) < end
    ]
    if held:
        yield f"held up by an open transaction: {', '.join(held)}"


def _groups(bootstrap: str, names: TopicNames) -> Iterator[str]:
    admin = _admin(bootstrap)
    asked = admin.describe_consumer_groups([f"{names.run}-score", f"{names.run}-alert"], request_timeout=_TIMEOUT_S)
    for name, future in asked.items():
        group = future.result(_TIMEOUT_S)
        members = [
            f"{member.client_id} {len(member.assignment.topic_partitions) if member.assignment else 0}"
            for member in group.members
        ]
        yield f"group {name}: {group.state.name.lower()}, partitions by member: {', '.join(members) or 'no members'}"


def _ends(bootstrap: str, topics: Iterable[str], isolation: IsolationLevel) -> dict[tuple[str, int], int]:
    admin = _admin(bootstrap)
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    wanted = {ck.TopicPartition(topic, number): latest for topic in topics for number in range(PARTITIONS)}
    asked: dict[Any, Future[Any]] = admin.list_offsets(wanted, isolation_level=isolation, request_timeout=_TIMEOUT_S)
    return {(place.topic, place.partition): future.result(_TIMEOUT_S).offset for place, future in asked.items()}


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
