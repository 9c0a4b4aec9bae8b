from dataclasses import dataclass

import pytest

from worker.migration.steps import Found, Role, Topic, steps

WEEK = {"retention.ms": 604_800_000}


def topic(role: Role = "own", partitions: int = 6) -> Topic:
    """A topic that should have these partitions, kept for a week."""
    return Topic("t", role, partitions, WEEK)


def found(partitions: int = 6, **config: str) -> Found:
    """One that is as it should be, but for this."""
    settings = {"cleanup.policy": "delete", "retention.ms": "604800000"}
    return Found(partitions, settings | {name.replace("_", "."): value for name, value in config.items()})


@dataclass(frozen=True)
class Case:
    """A topic as it is, and what is done about it, as an own, a keyed and an input topic."""

    name: str
    found: Found
    own: str
    keyed: str
    of_producers: str


CASES = [
    Case("as it should be", found(), "nothing", "nothing", "nothing"),
    Case("missing", Found(0), "create", "create", "create"),
    Case("more partitions", found(12), "nothing", "nothing", "nothing"),
    Case("fewer partitions", found(3), "grow", "tell", "nothing"),
    Case("kept too short", found(retention_ms="1000"), "set", "set", "tell"),
    Case("kept longer", found(retention_ms="999999999999"), "nothing", "nothing", "nothing"),
    Case("kept for ever", found(retention_ms="-1"), "nothing", "nothing", "nothing"),
    Case("compacted", found(cleanup_policy="compact"), "set", "set", "tell"),
    Case("forbidden", Found(6, None, ("write",)), "tell", "tell", "tell"),
    Case("settings not to be seen", Found(6, None), "tell", "tell", "tell"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_is_shortened_shrunk_or_moved(case: Case) -> None:
    """What can be changed without harm is; keys stay where their state is, and producers' topics are theirs."""
    roles: list[tuple[Role, str]] = [("own", case.own), ("keyed", case.keyed), ("input", case.of_producers)]
    for role, expected in roles:
        assert [step.do for step in steps(topic(role), case.found)] == [expected], role


def test_steps_say_what_is_set() -> None:
    """With the setting, what it becomes, and what it was."""
    (step,) = steps(topic(), found(retention_ms="1000"))
    assert (step.setting, step.value) == ("retention.ms", "604800000")
    assert "is 1000" in step.detail
