"""The alert book tells the events of the topic from those of Redis, and one that came full circle from one that did not."""

import pytest

from deploy.local.demo.alerts import AlertBook, SeenAlert
from tests.unit.deploy.demo.builders import an_alert


def booked(*bodies: bytes) -> AlertBook:
    """A book with these events, in both places."""
    book = AlertBook()
    for body in bodies:
        book.on_topic(body)
    book.in_redis(list(bodies))
    return book


def test_parse() -> None:
    """The event's data lies in the CloudEvents envelope."""
    event = SeenAlert.parse(an_alert("firing"))
    assert (event.state, event.key, event.evidence["messages"]) == ("firing", "topic:film", 40)


def test_full_circle() -> None:
    """An alert that fired and then resolved has come full circle, and nothing is open."""
    book = booked(an_alert("firing"), an_alert("resolved"))
    assert book.came_full_circle == {"topic:film"}
    assert (book.count("firing"), book.count("resolved"), book.open) == (1, 1, [])


@pytest.mark.parametrize(
    "bodies",
    [
        [an_alert("firing")],
        [an_alert("resolved")],
        [an_alert("resolved"), an_alert("firing")],
        [an_alert("firing", alert="a1"), an_alert("resolved", alert="a2")],
    ],
    ids=["still firing", "never fired", "the wrong order", "another alert"],
)
def test_no_full_circle(bodies: list[bytes]) -> None:
    """Anything else has not."""
    assert not booked(*bodies).came_full_circle


def test_open_until_resolved() -> None:
    """A firing alert is open."""
    assert [event.alert_id for event in booked(an_alert("firing")).open] == ["a1"]


def test_duplicates_in_either_place() -> None:
    """The same event twice is one too many, on the topic as in Redis; it is shown once."""
    book = booked(an_alert(), an_alert())
    assert book.duplicates == 2
    assert book.count("firing") == 1


def test_redis_is_read_anew() -> None:
    """Reading the same streams again is no duplicate."""
    book = booked(an_alert())
    book.in_redis([an_alert()])
    assert book.duplicates == 0


def test_differences() -> None:
    """An event that is in one place only is a difference, whichever place."""
    book = booked(an_alert("firing"))
    book.on_topic(an_alert("resolved"))
    assert book.differences == ["a1-resolved"]
    book.in_redis([])
    assert book.differences == ["a1-firing", "a1-resolved"]
