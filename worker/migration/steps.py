"""What to do about a topic that is not as it should be: a pure decision, told before it is done."""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

Role = Literal["input", "keyed", "own"]
"""`input`: the producers' own; `keyed`: its keys must stay on their partitions; `own`: ours, and any partition will do."""
Do = Literal["nothing", "create", "grow", "set", "tell"]
_NEVER_COMPACTED = "delete"


class Topic(msgspec.Struct, frozen=True):
    """A topic as it should be: `least` are settings that must be that large or larger."""

    name: str
    role: Role
    partitions: int
    least: dict[str, int]


class Found(msgspec.Struct, frozen=True):
    """A topic as it is. `config` is None where the broker does not let us see it, `denied` what we may not do."""

    partitions: int
    config: Mapping[str, str] | None = None
    denied: tuple[str, ...] = ()


class Step(msgspec.Struct, frozen=True):
    """One thing to do about a topic, or to tell: `tell` is for a person, since it cannot be done without harm."""

    topic: str
    do: Do
    detail: str
    setting: str = ""
    value: str = ""


def steps(topic: Topic, found: Found) -> list[Step]:
    """Return what is to be done about a topic; one step `nothing` where it is as it should be."""
    if found.denied:
        return [Step(topic.name, "tell", f"not allowed to {', '.join(found.denied)}: grant it to the worker's principal")]
    if not found.partitions:
        return [Step(topic.name, "create", f"with {topic.partitions} partitions")]
    wanted = [*_partitions(topic, found), *_settings(topic, found)]
    return wanted or [Step(topic.name, "nothing", f"{found.partitions} partitions")]


def _partitions(topic: Topic, found: Found) -> Iterator[Step]:
    """Grow what can grow: a new partition of a keyed topic would take keys away from where their state lies."""
    if found.partitions >= topic.partitions or topic.role == "input":
        return
    grown = f"{found.partitions} partitions, {topic.partitions} are wanted"
    if topic.role == "own":
        yield Step(topic.name, "grow", grown, value=str(topic.partitions))
    else:
        yield Step(
            topic.name,
            "tell",
            f"{grown}: left, since keys would move away from their state; see docs/deployment.md, more partitions",
        )


def _settings(topic: Topic, found: Found) -> Iterator[Step]:
    if found.config is None:
        yield Step(topic.name, "tell", "its settings cannot be seen: grant DescribeConfigs")
        return
    policy = found.config.get("cleanup.policy", _NEVER_COMPACTED)
    if policy != _NEVER_COMPACTED:
        detail = f"cleanup.policy is {policy}, which would drop records that are not read yet"
        yield _change(topic, "cleanup.policy", _NEVER_COMPACTED, detail)
    for name, least in topic.least.items():
        there = int(found.config.get(name, least))
        if 0 <= there < least:
            yield _change(topic, name, str(least), f"{name} is {there}, at least {least} is needed")


def _change(topic: Topic, setting: str, value: str, detail: str) -> Step:
    """Set it, unless the topic is the producers' own."""
    return Step(topic.name, "tell" if topic.role == "input" else "set", detail, setting, value)
