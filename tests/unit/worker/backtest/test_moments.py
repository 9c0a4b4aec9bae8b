from datetime import UTC, datetime, timedelta, timezone

import pytest

from worker.backtest.moments import duration, epoch_ms, moment


def test_a_time_without_an_offset_is_utc() -> None:
    """And one with an offset is what it says."""
    naive = datetime(1970, 1, 1, 1)  # noqa: DTZ001 - as a file may have it
    assert epoch_ms(naive) == epoch_ms(naive.replace(tzinfo=UTC)) == 3_600_000
    assert epoch_ms(naive.replace(tzinfo=timezone(timedelta(hours=1)))) == 0
    assert epoch_ms(5) == 5


@pytest.mark.parametrize("when", [-1, 10**18, datetime(1969, 12, 31, tzinfo=UTC)])
def test_times_lie_in_the_years_1970_to_9999(when: int | datetime) -> None:
    """Others cannot be written."""
    with pytest.raises(ValueError, match="1970 to 9999"):
        epoch_ms(when)


@pytest.mark.parametrize(
    ("span_ms", "text"),
    [(0, "0s"), (999, "999ms"), (61_000, "1m1s"), (5_400_000, "1h30m"), (90_061_000, "1d1h"), (-30_000, "-30s")],
)
def test_durations_have_two_units(span_ms: int, text: str) -> None:
    """The two largest."""
    assert duration(span_ms) == text


def test_moments_are_rfc_3339() -> None:
    """To the second, unless there is more."""
    assert (moment(1_000), moment(1_001)) == ("1970-01-01T00:00:01Z", "1970-01-01T00:00:01.001Z")
