import pytest

from tests.benchmarks.suite.simulation import lose_one


def test_what_waits_is_the_share_of_the_lost_one_until_it_is_missed() -> None:
    """2,500 a second for 15 s, worked off at what three have to spare: 3 x 5,000 - 10,000; drawn, so about."""
    loss = lose_one(10_000, 4, 5_000)
    assert loss.most_waiting == pytest.approx(2_500 * 15 + 1_000, rel=0.03)
    assert loss.caught_up_s == pytest.approx(15 + 2_500 * 15 / 5_000, rel=0.03)


def test_where_there_is_no_room_nobody_catches_up() -> None:
    """Two that can do as much as comes work for ever at what waited."""
    assert lose_one(10_000, 3, 5_000).caught_up_s is None


def test_more_workers_catch_up_sooner() -> None:
    """The share of each is smaller."""
    few, many = (lose_one(rate, workers, 5_000) for rate, workers in ((10_000, 4), (100_000, 40)))
    assert few.caught_up_s is not None
    assert many.caught_up_s is not None
    assert 15 < many.caught_up_s < few.caught_up_s


def test_one_worker_has_nobody_to_take_over() -> None:
    """That is for its successor."""
    with pytest.raises(ValueError, match="nobody takes over"):
        lose_one(100, 1, 5_000)
