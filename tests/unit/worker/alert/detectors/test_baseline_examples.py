"""The baseline's figures, worked out beside it on hours as buckets; `test_baseline` has what it is for."""

from math import log, log10

import msgspec
import pytest

from worker.alert.detectors.baseline import (
    BaselineParameters,
    CountBaseline,
    CountReading,
    ScaleState,
    expectation,
    settling,
    skip,
    step,
)

HOUR_MS = 3_600_000
PARAMETERS = BaselineParameters(
    bucket_ms=HOUR_MS,
    scales_ms=(HOUR_MS, 2 * HOUR_MS),
    half_life_ms=24 * HOUR_MS,
    season_half_life_ms=24 * HOUR_MS,
    tail_half_life_ms=100 * HOUR_MS,
    pull_ms=2 * HOUR_MS,
    grain=4.0,
    cap=3.0,
)
KEEP = 0.5 ** (1 / 24)
TAIL_RATE = 1 - 0.5**0.01
PRIOR_PASSES = 0.05 * 24


def only(slot: int, value: float) -> tuple[float, ...]:
    """A figure for one hour of the day, nothing for the others."""
    return tuple(value if hour == slot else 0.0 for hour in range(24))


def past(buckets: int = 10, bars: tuple[float, float] = (1.0, 1.5)) -> CountBaseline:
    """At five in the morning: a level of 20.5 / 2.05 = 10, and at that hour (4 + 2) / (1 + 2) = 2 times as many."""
    scales = (ScaleState(7.0, 9.0, bars[0], 0.5, 1.0), ScaleState(10.0, 10.0, bars[1], 3.0, 2.0))
    return CountBaseline(29 * HOUR_MS, buckets, 20.0, 1.05, only(5, 4.0), only(5, 1.0), scales)


def figures(scales: tuple[ScaleState, ...]) -> list[float]:
    """All of them, to be compared with some tolerance."""
    return [figure for scale in scales for figure in msgspec.structs.astuple(scale)]


def test_first_bucket() -> None:
    """The level alone is learnt: (3 + 1/2) / 2; each scale begins there, with the tail that is assumed of everybody."""
    state, reading = step(PARAMETERS, CountBaseline(), 5 * HOUR_MS, 3)
    assert (state.at_ms, state.buckets, state.level_sum, state.level_weight) == (6 * HOUR_MS, 1, 3.0, 1.0)
    assert figures(state.scales) == pytest.approx([1.75, 1.75, 0.8, 0.5 * PRIOR_PASSES, PRIOR_PASSES] * 2)
    assert reading == CountReading(-2.0, 3, 1.75, 1.0, HOUR_MS)
    assert sum(state.slot_weights) == 0
    second, _ = step(PARAMETERS, state, 6 * HOUR_MS, 7)
    assert (second.level_sum, second.level_weight) == pytest.approx((KEEP * 3 + 7, KEEP + 1))


@pytest.mark.parametrize(("buckets", "is_settling"), [(0, True), (3, True), (4, False)])
def test_four_hours_settle_it(buckets: int, is_settling: bool) -> None:
    """Before that nothing is judged."""
    assert settling(PARAMETERS, past(buckets)) is is_settling
    assert (step(PARAMETERS, past(buckets), 29 * HOUR_MS, 10_000)[1].statistic == -2.0) is is_settling


def test_reading() -> None:
    """80 where 20 were expected: on the shorter scale (80 + 4) / (20 + 4), on the longer (45 + 2) / (15 + 2), less rare.

    A tail that begins at 1 with a slope of 1/2, and 24 chances a day on two scales.
    """
    _, reading = step(PARAMETERS, past(), 29 * HOUR_MS, 80)
    rarity = -log10(0.05) + (log(3.5) - 1) / 0.5 / log(10) - log10(2 * 24)
    assert reading == pytest.approx(CountReading(rarity, 80, 20, 3.5, HOUR_MS))


def test_reading_of_the_longer_scale() -> None:
    """It is told when it is the rarer one: half as many looks, a slope of 3/2."""
    _, reading = step(PARAMETERS, past(bars=(9.0, 0.5)), 29 * HOUR_MS, 80)
    rarity = -log10(0.05) + (log(47 / 17) - 0.5) / 1.5 / log(10) - log10(2 * 24 * 0.5)
    assert reading == pytest.approx(CountReading(rarity, 45, 15, 47 / 17, 2 * HOUR_MS))


@pytest.mark.parametrize(
    ("count", "cap", "learnt", "of_the_hour"), [(50, 3.0, 50, 5.0), (80, 3.0, 72, 7.2), (500, 10.0, 240, 10.0)]
)
def test_level_and_hour_learn_up_to_a_limit(count: int, cap: float, learnt: float, of_the_hour: float) -> None:
    """`cap` times what was expected with the grain; the hour takes ten times the level at most, and halves in a day."""
    state, _ = step(msgspec.structs.replace(PARAMETERS, cap=cap), past(), 29 * HOUR_MS, count)
    assert (state.at_ms, state.buckets) == (30 * HOUR_MS, 11)
    assert (state.level_sum, state.level_weight) == pytest.approx((KEEP * 20 + learnt / 2, KEEP * 1.05 + 1))
    assert state.slot_sums == pytest.approx(only(5, 2 + of_the_hour))
    assert state.slot_weights == pytest.approx(only(5, 1.5))


@pytest.mark.parametrize(("buckets", "pace"), [(10, 1 / 14), (10_000, 2 * TAIL_RATE)])
def test_the_bar_follows_what_the_key_shows(buckets: int, pace: float) -> None:
    """Up by 19 steps where it is passed, down by one where not, so that one in twenty passes it; fast at first."""
    state, _ = step(PARAMETERS, past(buckets), 29 * HOUR_MS, 80)
    keep = 1 - TAIL_RATE / 0.05
    assert figures(state.scales) == pytest.approx(
        [
            *(80, 20, 1 + pace * 0.5 * 19, keep * 0.5 + log(3.5) - 1, keep + 1),
            *(45, 15, 1.5 - pace * 1.5, 3, 2),
        ]
    )


def test_an_alarm_is_learnt_little() -> None:
    """An excess of more than three slopes is learnt as three, and with a weight that is less the larger it was."""
    state, _ = step(PARAMETERS, past(), 29 * HOUR_MS, 100_000)
    weight = 3 * 0.5 / (log(100_004 / 24) - 1)
    keep = 1 - weight * TAIL_RATE / 0.05
    assert figures(state.scales[:1])[3:] == pytest.approx([keep * 0.5 + weight * 1.5, keep + weight])


def test_a_tail_that_forgets_fast_keeps_half() -> None:
    """However fast: what passed before counts for half at least."""
    fast = msgspec.structs.replace(PARAMETERS, tail_half_life_ms=10 * HOUR_MS)
    state, _ = step(fast, past(), 29 * HOUR_MS, 80)
    assert figures(state.scales[:1])[3:] == pytest.approx([0.25 + log(3.5) - 1, 1.5])


def test_a_tail_is_never_too_steep_nor_a_bar_below_nothing() -> None:
    """A key that hardly varies has a slope of 0.02 all the same."""
    flat = msgspec.structs.replace(past(), scales=(ScaleState(20.0, 20.0, 0.001, 0.0, 1.0), *past().scales[1:]))
    state, reading = step(PARAMETERS, flat, 29 * HOUR_MS, 21)
    assert reading.statistic == pytest.approx(-log10(0.05) + (log(25 / 24) - 0.001) / 0.02 / log(10) - log10(48))
    low, _ = step(PARAMETERS, flat, 29 * HOUR_MS, 20)
    assert low.scales[0].bar == 0.0
    assert state.scales[0].bar == pytest.approx(0.001 + 0.02 * 19 / 14)


def test_what_is_usual_at_an_hour() -> None:
    """Twice the level at five, the level itself at an hour of which nothing is known."""
    assert expectation(PARAMETERS, past(), 29 * HOUR_MS) == pytest.approx(20.0)
    assert expectation(PARAMETERS, past(), 30 * HOUR_MS) == pytest.approx(10.0)


def test_a_tail_forgets_with_each_excess() -> None:
    """Of three units of excess in two passes, as much of both."""
    state, _ = step(PARAMETERS, past(bars=(9.0, 0.5)), 29 * HOUR_MS, 80)
    keep = 1 - TAIL_RATE / 0.05
    assert figures(state.scales[1:])[3:] == pytest.approx([keep * 3 + log(47 / 17) - 0.5, keep * 2 + 1])


def test_a_ratio_at_the_bar_does_not_pass_it() -> None:
    """As where a bar has fallen to nothing, and there are just as many messages as usual."""
    scales = (ScaleState(20.0, 20.0, 0.0, 0.5, 1.0),) * 2
    usual = CountBaseline(29 * HOUR_MS, 10, 19.5, 1.0, only(5, 2.0), only(5, 0.0), scales)
    state, reading = step(PARAMETERS, usual, 29 * HOUR_MS, 20)
    assert reading.ratio == 1.0
    assert state.scales == scales


def test_silence_of_thirty_hours() -> None:
    """The hours from five to ten come twice, the others once; level and weights as after as many empty buckets."""
    state = skip(PARAMETERS, past(), 59 * HOUR_MS)
    keep = 0.5 ** (30 / 24)
    assert (state.at_ms, state.buckets) == (59 * HOUR_MS, 40)
    assert (state.level_sum, state.level_weight) == pytest.approx((keep * 20, keep * 1.05 + (1 - keep) / (1 - KEEP)))
    assert state.slot_sums == pytest.approx(only(5, 1.0))
    assert state.slot_weights == pytest.approx([1.75 if hour == 5 else 1.5 if 5 < hour < 11 else 1.0 for hour in range(24)])


def test_a_bucket_out_of_order_is_refused() -> None:
    """With both times, so that somebody can find out how it came."""
    with pytest.raises(ValueError, match=r"^a bucket that starts at 100800000 comes after one that ends at 104400000$"):
        step(PARAMETERS, past(), 28 * HOUR_MS, 1)


def test_silence_over_midnight() -> None:
    """From ten in the evening to three: these five hours are half forgotten, the others not at all."""
    known = CountBaseline(22 * HOUR_MS, 10, 20.0, 1.05, (8.0,) * 24, (2.0,) * 24, past().scales)
    state = skip(PARAMETERS, known, 27 * HOUR_MS)
    assert state.slot_sums == tuple(4.0 if hour in {22, 23, 0, 1, 2} else 8.0 for hour in range(24))
    assert [weight for hour, weight in enumerate(state.slot_weights) if 3 <= hour < 22] == [2.0] * 19


@pytest.mark.parametrize(
    ("buckets", "hours", "fall"),
    [
        (10, 3, log(17 / 14)),
        (10_000, 3, 6 * TAIL_RATE),
        (10, 200, log(1 / (2 * TAIL_RATE) / 14) + 2 * TAIL_RATE * (200 + 14 - 1 / (2 * TAIL_RATE))),
    ],
)
def test_silence_lowers_the_bars(buckets: int, hours: int, fall: float) -> None:
    """By a step of 1 / n slopes at first, then by as much as the tail is forgotten; counts ebb away."""
    state = skip(PARAMETERS, past(buckets, (9.0, 9.0)), (29 + hours) * HOUR_MS)
    usual, kept = expectation(PARAMETERS, state, (29 + hours) * HOUR_MS), 0.5**hours
    assert figures(state.scales) == pytest.approx(
        [
            *(0, usual, 9 - fall * 0.5, 0.5, 1),
            *(10 * kept, 10 * kept + (1 - kept) * usual, 9 - fall * 1.5, 3, 2),
        ]
    )


def test_a_bar_falls_to_nothing_at_the_lowest() -> None:
    """After silence long enough."""
    assert [scale.bar for scale in skip(PARAMETERS, past(), 29_000 * HOUR_MS).scales] == [0.0, 0.0]
