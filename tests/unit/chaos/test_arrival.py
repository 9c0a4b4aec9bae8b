from dataclasses import replace

import pytest

from tests.chaos.arrival import arrival
from tests.chaos.plan import Plan, Planned
from worker.messages import Record


def message(name: str) -> Planned:
    """A planned message."""
    return Planned(name, "news", None, name.encode(), (("h", b"1"),), 0, 0, 0.0, "prediction")


PLAN = Plan((message("a"), message("b"), message("c")), (message("end"),), "", "", 15.0, 10_000)


def records(names: str) -> list[Record]:
    """What the input topics hold, by names."""
    return [Record("news", 0, at, None, name.encode(), 5, (("h", b"1"),)) for at, name in enumerate(names.split())]


@pytest.mark.parametrize(
    ("held", "actual", "doubled", "missing"),
    [
        ("c a b end", "a b c end", (), ()),
        ("a b b c end", "a b b c end", ("b",), ()),
        ("a c end end end", "a c end end end", ("end",), ("b",)),
        ("", "", (), ("a", "b", "c", "end")),
    ],
)
def test_the_plan_as_it_arrived(held: str, actual: str, doubled: tuple[str, ...], missing: tuple[str, ...]) -> None:
    """In the plan's order, as often as the topics hold it; what is not as planned is named."""
    found = arrival(PLAN, records(held))
    assert [planned.id for planned in (*found.plan.messages, *found.plan.closing)] == actual.split()
    assert (found.doubled, found.missing, found.as_planned) == (doubled, missing, not doubled and not missing)


def test_a_stranger_is_no_arrival() -> None:
    """A record that nobody planned means that something else writes there."""
    with pytest.raises(ValueError, match="not of the plan"):
        arrival(PLAN, [replace_value(record) for record in records("a")])


def replace_value(record: Record) -> Record:
    """The record with another value."""
    return Record(*record.topic_partition, record.offset, record.key, b"else", record.timestamp_ms, record.headers)


def test_headers_tell_messages_apart() -> None:
    """Two bad messages may have the same body."""
    twins = replace(PLAN, messages=(message("a"), replace(message("a"), id="a2", headers=())))
    found = arrival(twins, records("a end"))
    assert found.missing == ("a2",)
