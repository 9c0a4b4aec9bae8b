"""Predictions that go by the worker's clock: what the verifier allows for, and what it does not."""

from typing import Any

import pytest

from tests.chaos.outcome import Outcome
from tests.chaos.plan import Plan, Planned
from tests.chaos.shifts import FARTHEST_JUMP_S, NEAREST_JUMP_S
from tests.chaos.verify import compare
from worker.codec import encode_prediction
from worker.messages import ModelRef, Origin, Prediction, Probabilities, Record

WRITTEN_MS = 1_800_000_000_000
PLAN = Plan((Planned("m", "news", b"k", b"{}", (), 0, 0, 0.0, "prediction", by_clock=True),), (), "", "", 1, 1)


def outcome(off_s: float, source: Any = "clock") -> Outcome:
    """The message's prediction, written at a moment known to Kafka and timed by a clock that is off by so much."""
    prediction = Prediction(
        id="m",
        label="neutral",
        probabilities=Probabilities(0.1, 0.8, 0.1),
        score=0.0,
        entities=(),
        topics=(),
        kind="news",
        source=None,
        event_time_ms=WRITTEN_MS + int(off_s * 1_000),
        event_time_source=source,
        duplicate_of=None,
        model=ModelRef("sentiment", "1"),
        origin=Origin("news", 0, 0),
    )
    return Outcome([Record("predictions", 0, 0, b"m", encode_prediction(prediction), WRITTEN_MS, ())])


def found(off_s: float, source: Any = "clock") -> tuple[int, int]:
    """How many predictions differ, and how many go by a clock that was off, against a reference that took two seconds."""
    counts = compare(PLAN, outcome(-2), outcome(off_s, source)).counts
    return counts.predictions_differing, counts.by_wrong_clock


@pytest.mark.parametrize("off_s", [-2, 0, -100])
def test_a_clock_that_is_right_need_not_say_the_same_twice(off_s: float) -> None:
    """For a message that waits is written later."""
    assert found(off_s) == (0, 0)


@pytest.mark.parametrize("off_s", [NEAREST_JUMP_S, -NEAREST_JUMP_S, FARTHEST_JUMP_S, -FARTHEST_JUMP_S])
def test_a_clock_that_was_set_off_is_told_and_no_fault(off_s: float) -> None:
    """That is how a jump is seen to have reached the worker's own reckoning."""
    assert found(off_s) == (0, 1)


@pytest.mark.parametrize("off_s", [2 * FARTHEST_JUMP_S, -2 * FARTHEST_JUMP_S])
def test_a_time_that_no_clock_can_have_had_is_a_difference(off_s: float) -> None:
    """Farther off than any clock was set."""
    assert found(off_s) == (1, 0)


def test_another_source_of_the_time_is_a_difference() -> None:
    """Where the clock's is the time to take."""
    assert found(-2, "kafka")[0] == 1


@pytest.mark.parametrize("reference", [outcome(-NEAREST_JUMP_S), outcome(-2, "published_at")])
def test_a_reference_that_does_not_go_by_a_right_clock_proves_nothing(reference: Outcome) -> None:
    """In peace no clock is set off."""
    void = " ".join(compare(PLAN, reference, reference).void)
    assert "by_wrong_clock" in void or "another event time than planned" in void
