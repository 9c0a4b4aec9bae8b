import pytest

from worker.score.breaker import Phase
from worker.score.intake import Brake, HandLimits, Hold, InHand, hold, is_behind

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


FULL, HALF, LITTLE = InHand(100, 0), InHand(50, 0), InHand(10, 0)


def looks(brake: Brake, *looked: tuple[float, InHand, Phase, bool]) -> list[tuple[str | None, Hold | None, bool]]:
    """Look at so many moments; return for each what to do, why nothing is taken, and whether partitions are paused."""
    return [
        (brake.look(in_hand, phase, now_s, rewinding=rewinding), brake.why, brake.is_paused)
        for now_s, in_hand, phase, rewinding in looked
    ]


def test_a_hold_that_is_soon_over_pauses_nothing() -> None:
    """However often: each begins anew."""
    full, little = (False, "too_many_messages"), (False, None)
    moments = [(0.0, FULL), (0.9, HALF), (0.95, LITTLE), (1.0, FULL), (1.9, FULL), (2.5, LITTLE)]
    found = looks(Brake(LIMITS), *((now_s, in_hand, "closed", False) for now_s, in_hand in moments))
    assert [(paused, why) for _, why, paused in found] == [full, full, little, full, full, little]
    assert {done for done, _, _ in found} == {None}


def test_a_hold_that_lasts_pauses_once() -> None:
    """And resumes once."""
    moments = [(5.0, FULL), (6.0, FULL), (7.0, HALF), (8.0, LITTLE), (9.0, LITTLE)]
    found = looks(Brake(LIMITS), *((now_s, in_hand, "closed", False) for now_s, in_hand in moments))
    assert [(done, paused) for done, _, paused in found] == [
        (None, False),
        ("pause", True),
        (None, True),
        ("resume", False),
        (None, False),
    ]


@pytest.mark.parametrize(("phase", "rewinding", "why"), [("open", False, "model_away"), ("closed", True, "rewinding")])
def test_what_takes_its_time_pauses_at_once(phase: Phase, rewinding: bool, why: Hold) -> None:
    """And stays so if the reason changes meanwhile."""
    found = looks(Brake(LIMITS), (0.0, LITTLE, phase, rewinding), (0.1, FULL, "closed", False), (0.2, LITTLE, "closed", False))
    assert found == [("pause", why, True), (None, "too_many_messages", True), ("resume", None, False)]


def test_what_a_rebalance_brought_is_paused_too() -> None:
    """Only where anything is paused; and after all were resumed, a hold begins anew."""
    brake = Brake(LIMITS)
    brake.renew()
    assert looks(brake, (0.0, LITTLE, "closed", False), (0.0, FULL, "closed", False))[1] == (None, "too_many_messages", False)
    assert looks(brake, (1.0, FULL, "closed", False)) == [("pause", "too_many_messages", True)]
    brake.renew()
    assert looks(brake, (1.1, FULL, "closed", False), (1.2, FULL, "closed", False)) == [
        ("pause", "too_many_messages", True),
        (None, "too_many_messages", True),
    ]
    brake.release()
    assert (brake.why, brake.is_paused) == (None, False)
    assert looks(brake, (9.0, FULL, "closed", False)) == [(None, "too_many_messages", False)]
