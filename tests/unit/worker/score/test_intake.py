import pytest

from worker.score.breaker import Phase
from worker.score.intake import HandLimits, Hold, InHand, hold, is_behind

LIMITS = HandLimits(messages=100, size=1_000)


@pytest.mark.parametrize(
    ("before", "messages", "size", "phase", "expected"),
    [
        (None, 0, 0, "closed", None),
        (None, 99, 999, "closed", None),
        (None, 100, 0, "closed", "too_many_messages"),
        (None, 0, 1_000, "closed", "too_many_bytes"),
        (None, 100, 1_000, "closed", "too_many_messages"),
        ("too_many_messages", 99, 0, "closed", "too_many_messages"),
        ("too_many_messages", 50, 0, "closed", "too_many_messages"),
        ("too_many_messages", 49, 0, "closed", None),
        ("too_many_bytes", 1, 999, "closed", "too_many_bytes"),
        ("too_many_bytes", 1, 499, "closed", None),
        ("too_many_messages", 49, 999, "closed", "too_many_bytes"),
        (None, 0, 0, "open", "model_away"),
        (None, 100, 0, "half_open", "model_away"),
        ("model_away", 10, 0, "closed", None),
        ("model_away", 60, 0, "closed", "too_many_messages"),
        ("rewinding", 0, 0, "closed", None),
    ],
)
def test_when_to_hold_the_partitions_back(
    before: Hold | None, messages: int, size: int, phase: Phase, expected: Hold | None
) -> None:
    """When full by count or by size, until half is done; and while the model is away, whatever is in hand."""
    assert hold(before, InHand(messages, size), LIMITS, phase) == expected


@pytest.mark.parametrize("limit", [1, 2])
def test_the_smallest_limits_let_one_through(limit: int) -> None:
    """With nothing in hand there is never a reason to wait."""
    limits = HandLimits(limit, limit)
    assert hold("too_many_messages", InHand(0, 0), limits, "closed") is None
    assert hold(None, InHand(limit, 0), limits, "closed") == "too_many_messages"


@pytest.mark.parametrize(
    ("before", "messages", "size", "expected"),
    [
        (False, 99, 999, False),
        (False, 100, 0, True),
        (False, 0, 1_000, True),
        (True, 99, 0, True),
        (True, 25, 0, True),
        (True, 24, 250, True),
        (True, 24, 249, False),
    ],
)
def test_behind_from_when_it_is_full(before: bool, messages: int, size: int, expected: bool) -> None:
    """Until less than a quarter is in hand: holding and going on by turns, with always more to come, is one and the same."""
    assert is_behind(before, InHand(messages, size), LIMITS) == expected
