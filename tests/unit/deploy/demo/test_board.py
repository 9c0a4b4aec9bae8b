"""The board counts predictions by key and minute of event time."""

from typing import Any

import pytest

from deploy.local.demo.board import Board, Tally, keys_of, total
from tests.unit.deploy.demo.builders import KEYS, START_MS


def a_body(minute: float = 0.0, label: str = "negative", **fields: object) -> dict[str, Any]:
    """A decoded prediction on film."""
    stamp = START_MS + int(minute * 60_000)
    return {"entities": [], "topics": ["film"], "label": label, "event_time_ms": stamp, **fields}


@pytest.fixture
def board() -> Board:
    """Forty minutes, three keys."""
    return Board(KEYS, START_MS, 40)


def test_keys() -> None:
    """Each entity and each topic of a prediction is an alert key."""
    assert keys_of({"entities": ["America"], "topics": ["film"]}) == ["entity:America", "topic:film"]


def test_counts_by_minute(board: Board) -> None:
    """A message counts in the minute of its event time."""
    for minute, label in ((0.0, "negative"), (0.9, "positive"), (3.5, "neutral")):
        board.prediction(a_body(minute, label), 1.0)
    tallies = board.series["topic:film"].tallies
    assert (tallies[0], tallies[3]) == (Tally(2, 1), Tally(1, 0))
    assert board.minute == 3


def test_all_keys_of_a_message(board: Board) -> None:
    """A message counts for every watched key it names, and for no other."""
    board.prediction(a_body(entities=["America", "nobody"]), 1.0)
    assert [board.series[key].all.messages for key in KEYS] == [1, 0, 1]


@pytest.mark.parametrize(("minute", "place"), [(-3, 0), (99, 39)])
def test_outside_the_story(board: Board, minute: float, place: int) -> None:
    """Event times outside of the story count at its ends."""
    board.prediction(a_body(minute), 1.0)
    assert board.series["topic:film"].tallies[place].messages == 1
    assert 0 <= board.minute < 40


def test_recent_is_five_minutes(board: Board) -> None:
    """The recent share looks back five minutes, the present one included."""
    for minute in range(10):
        board.prediction(a_body(minute), 1.0)
    assert board.series["topic:film"].recent(9).messages == 5
    assert board.series["topic:film"].recent(1).messages == 2


def test_rate_forgets(board: Board) -> None:
    """The pace is that of the last five seconds."""
    for at_s in (0.0, 6.0, 7.0):
        board.prediction(a_body(), at_s)
    assert board.rate_per_s(10.0) == pytest.approx(2 / 5)


def test_share_of_nothing() -> None:
    """No messages have no share, which is not zero."""
    assert total([]).share is None
    assert total([Tally(3, 1), Tally(1, 1)]).share == 0.5
