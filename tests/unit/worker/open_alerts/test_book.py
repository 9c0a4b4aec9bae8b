from typing import Any

import pytest

from tests.unit.worker.open_alerts.builders import FILM, P0, P1, SONG, TAKEN, book, shelf
from worker.errors import SelectionError
from worker.messages import Silence
from worker.open_alerts.book import Wanted


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [SONG, FILM, TAKEN]),
        ({"states": frozenset({"firing"})}, [FILM, TAKEN]),
        ({"states": frozenset({"firing", "stale"})}, [SONG, FILM, TAKEN]),
        ({"matchers": ("topic=film",)}, [FILM, TAKEN]),
        ({"matchers": ("topic=film", "severity=critical")}, [FILM]),
        ({"silenced": True}, [SONG]),
        ({"silenced": False}, [FILM, TAKEN]),
        ({"acknowledged": True}, [TAKEN]),
        ({"acknowledged": False, "silenced": False}, [FILM]),
    ],
)
def test_alerts_that_are_meant(wanted: dict[str, Any], found: list[object]) -> None:
    """The newest first, of all partitions; what is not asked does not count."""
    assert [entry.event for entry in book(shelf()).alerts(Wanted(**wanted))] == found


def test_an_alert_by_the_beginning_of_its_id() -> None:
    """With the partition that holds it; what is none, or several, is said."""
    assert book(shelf()).alert("f1") == (P0, FILM)
    with pytest.raises(SelectionError, match="2 open alerts"):
        book(shelf()).alert("f")
    with pytest.raises(SelectionError, match="there is no open alert x"):
        book(shelf()).alert("x")


def test_silences_of_all_partitions() -> None:
    """Each once, those that end first at the front; and which partitions know of one."""
    one, two = Silence("b", ("a=b",), 10, "kim", "c"), Silence("a", ("a=b",), 20, "kim", "c")
    held = shelf()
    for partition, silence in ((P0, one), (P1, one), (P1, two)):
        held.suppressions[partition].take(silence, 0)
    assert book(held).silences() == [one, two]
    assert (book(held).silenced_in("b"), book(held).silenced_in("a")) == ({P0, P1}, {P1})
