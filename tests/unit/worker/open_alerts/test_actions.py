import pytest

from tests.unit.worker.open_alerts.builders import FILM, P0, P1, TOPIC, InMemoryShelf, book, shelf
from worker.errors import RetryableError, SelectionError
from worker.messages import Acknowledge, Acknowledgement, Expire, Silence
from worker.open_alerts.actions import Desk

SILENCE = Silence("s", ("topic=film",), 10, "kim", "premiere")


class Clock:
    """Time passes while one sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.now_s += seconds

    def monotonic(self) -> float:
        """Tell it."""
        return self.now_s


def desk(held: InMemoryShelf, clock: Clock | None = None) -> Desk:
    """A desk over a shelf, that waits for two seconds."""
    clock = clock or Clock()
    return Desk(held, book(held), TOPIC, 2.0, clock.sleep, clock.monotonic)


def ack(held: InMemoryShelf, clock: Clock | None = None) -> Acknowledgement | None:
    """Have the film's alert acknowledged."""
    said = Acknowledge(FILM.alert_key, FILM.alert_id, "lee", "on it", 9)
    return desk(held, clock).acknowledge(book(held).alert(FILM.alert_id), said).acknowledgement


def test_an_acknowledgement_goes_where_the_alert_is() -> None:
    """Into that partition alone, and the answer is the event that says so."""
    held = shelf()
    assert ack(held) == Acknowledgement("lee", "on it", 9)
    assert held.transactions == [[(P0, Acknowledge(FILM.alert_key, FILM.alert_id, "lee", "on it", 9))]]


def test_a_silence_goes_everywhere_at_once_and_ends_everywhere() -> None:
    """In one transaction each."""
    held = shelf()
    desk(held).silence(SILENCE)
    desk(held).expire("s")
    assert held.transactions == [[(P0, SILENCE), (P1, SILENCE)], [(P0, Expire("s")), (P1, Expire("s"))]]
    with pytest.raises(SelectionError, match="no silence s"):
        desk(held).expire("s")
    assert len(held.transactions) == 2


def test_without_an_alert_role_it_says_so() -> None:
    """After the time that it was told to wait, and no earlier; what is written stays written."""
    held, clock = shelf(), Clock()
    held.is_idle = True
    with pytest.raises(RetryableError, match=r"silence is written, but no alert role.*tidings work"):
        desk(held, clock).silence(SILENCE)
    assert 2.0 <= clock.now_s < 2.2
    with pytest.raises(RetryableError, match="acknowledgement is written"):
        ack(held)
    assert len(held.transactions) == 2


def test_an_alert_that_ended_meanwhile() -> None:
    """Is not waited for."""
    held, clock = shelf(), Clock()
    entry = book(held).alert(FILM.alert_id)
    held.alerts[P0] = []
    with pytest.raises(SelectionError, match="ended before"):
        desk(held, clock).acknowledge(entry, Acknowledge(FILM.alert_key, FILM.alert_id, "lee", "on it", 9))
    assert clock.now_s == 0
