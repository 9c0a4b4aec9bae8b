import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.backoff import back_off_s


@pytest.mark.parametrize(("attempt", "longest_s"), [(1, 0.1), (2, 0.2), (5, 1.6), (7, 5.0), (1_000_000, 5.0)])
def test_back_off_doubles_up_to_its_limit(attempt: int, longest_s: float) -> None:
    """However often it failed, in the range of a float."""
    assert back_off_s(attempt, 5.0, 1.0) == pytest.approx(longest_s)


@pytest.mark.parametrize(("attempt", "longest_s"), [(1, 1.0), (3, 4.0), (9, 15.0)])
def test_the_first_pause_is_the_callers(attempt: int, longest_s: float) -> None:
    """Some neighbours take a second to come up."""
    assert back_off_s(attempt, 15.0, 1.0, first_s=1.0) == pytest.approx(longest_s)


@given(st.integers(1, 100), st.floats(0, 60), st.floats(0, 1), st.floats(0.01, 10))
def test_jitter_is_full_and_the_limit_holds(attempt: int, max_s: float, jitter: float, first_s: float) -> None:
    """Anything from nothing to the whole pause, so that workers that failed together do not come back together."""
    longest_s = back_off_s(attempt, max_s, 1.0, first_s)
    assert 0 <= back_off_s(attempt, max_s, jitter, first_s) == longest_s * jitter <= longest_s <= max_s
