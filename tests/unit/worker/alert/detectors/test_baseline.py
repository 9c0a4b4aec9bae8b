import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.alert.detectors.count_streams import A_DAY, BUCKET_MS, DAY_MS, after, bursty, fold, with_burst
from worker.alert.detectors.baseline import RARITY_RANGE, BaselineParameters, CountBaseline, expectation, skip, step

USUAL = BaselineParameters()
HOUR_MS = 3_600_000


def test_state_is_small_and_stays_so() -> None:
    """A key costs less than 1.5 kB however long it has been seen."""
    sizes = [len(msgspec.msgpack.encode(state)) for state, _ in fold(bursty(20, 10, swing=0.5))]
    assert max(sizes) == sizes[-1] < 1_000


def test_replay_gives_the_same_and_so_does_a_stored_state() -> None:
    """A state that went to the store and back half way is as good as one that did not."""
    counts = bursty(20, 6, swing=0.5)
    whole = list(fold(counts))
    half = msgspec.msgpack.decode(msgspec.msgpack.encode(after(counts[:700])), type=CountBaseline)
    assert list(fold(counts[700:], half, start_ms=700 * BUCKET_MS)) == whole[700:]
    assert list(fold(counts)) == whole


def test_nothing_looks_ahead() -> None:
    """What is yet to come does not change what was said."""
    counts = bursty(20, 4)
    assert list(fold([*counts[:900], 10_000]))[:900] == list(fold(counts))[:900]


def test_level_is_learnt() -> None:
    """Counts that do not vary are expected as they are."""
    assert expectation(USUAL, after([40] * A_DAY * 3), 0) == pytest.approx(40, rel=0.01)


def test_time_of_day_is_learnt() -> None:
    """By night and by day something else is usual, the more so the longer it has been seen."""
    counts = bursty(50, 40, burst=0.05, swing=0.8)
    early, late = after(counts[: 3 * A_DAY]), after(counts)
    swings = [expectation(USUAL, state, 18 * HOUR_MS) / expectation(USUAL, state, 6 * HOUR_MS) for state in (early, late)]
    assert 1.2 < swings[0] < swings[1]
    assert 2.0 < swings[1] < 9.0


def test_what_was_extraordinary_is_learnt_little() -> None:
    """An hour of a hundred times the usual moves what is usual by less than a tenth; unlimited it would treble it."""
    counts = bursty(20, 14)
    burst = with_burst(counts, len(counts) - 12, 12, 100)
    usual = expectation(USUAL, after(counts), 0)
    assert expectation(USUAL, after(burst), 0) < 1.1 * usual
    unlimited = msgspec.structs.replace(USUAL, cap=1e9)
    assert expectation(unlimited, after(burst, unlimited), 0) > 1.4 * usual


def test_a_burst_hides_no_second_one() -> None:
    """The same burst, a day and a half later, is still rarer than anything in a month."""
    counts = bursty(20, 24)
    first, second = 20 * A_DAY, 21 * A_DAY + 150
    readings = [reading for _, reading in fold(with_burst(with_burst(counts, first, 6, 30), second, 6, 30))]
    assert max(reading.statistic for reading in readings[first : first + 6]) > 2
    assert max(reading.statistic for reading in readings[second : second + 6]) > 1.5


def test_what_stays_becomes_usual() -> None:
    """A level five times as high is extraordinary at first, common within three days."""
    counts = [*bursty(20, 20), *bursty(100, 6, seed=2)]
    rarities = [reading.statistic for _, reading in fold(counts)]
    assert max(rarities[20 * A_DAY : 21 * A_DAY]) > 1.5
    assert max(rarities[23 * A_DAY :]) < 1


@pytest.mark.parametrize("burst", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("mean", [0.5, 20, 3_000])
def test_statistic_is_a_return_period(mean: float, burst: float) -> None:
    """Once in ten days means about that on a quiet and a busy, a steady and a bursty key: 15 of 150 days, to a factor of 3."""
    rarities = [reading.statistic for _, reading in fold(bursty(mean, 160, burst=burst))][10 * A_DAY :]
    days = {index // A_DAY for index, rarity in enumerate(rarities) if rarity >= 1}
    assert 5 <= len(days) <= 45
    often = {index // A_DAY for index, rarity in enumerate(rarities) if rarity >= 0}
    assert len(often) >= 60


@given(st.integers(1, 3), st.sampled_from([7, 100]))
def test_scale_makes_no_difference(seed: int, times: int) -> None:
    """A hundred times as many messages, all else the same, are as rare: what counts is the ratio."""
    counts = bursty(1_000, 3, seed=seed, swing=0.5)
    small, large = (fold([factor * count for count in counts]) for factor in (1, times))
    for index, ((_, one), (_, other)) in enumerate(zip(small, large, strict=True)):
        if index > A_DAY:
            assert one.statistic == pytest.approx(other.statistic, abs=0.12)


def test_few_messages_make_no_large_ratio() -> None:
    """Three messages in five minutes, after a week of one an hour, are not worth a word; thirty are."""
    counts = [1 if index % 12 == 0 else 0 for index in range(7 * A_DAY)]
    few, many = ([*counts, messages] for messages in (3, 30))
    assert list(fold(few))[-1][1].ratio < 1.5
    assert list(fold(many))[-1][1].ratio > 3


def test_slow_swell_and_spike_are_seen_on_their_scales() -> None:
    """Five minutes are loudest on the shortest scale, ten hours at double the rate on the longest."""
    counts = bursty(50, 20, burst=0.2, seed=3)
    spike = list(fold(with_burst(counts, len(counts) - 1, 1, 20)))[-1][1]
    swell = list(fold(with_burst(counts, len(counts) - 120, 120, 2.5)))[-1][1]
    assert (spike.scale_ms, swell.scale_ms) == (USUAL.scales_ms[0], USUAL.scales_ms[2])
    assert spike.statistic > 1
    assert swell.statistic > 1
    assert swell.observed / swell.expected == pytest.approx(2.5, rel=0.25)


def test_statistic_claims_no_more_than_a_tail_can_tell() -> None:
    """It is kept within a range, whatever comes."""
    readings = [reading for _, reading in fold([*[10] * 3 * A_DAY, 10**12, *[0] * A_DAY])]
    assert min(reading.statistic for reading in readings) == RARITY_RANGE[0]
    assert max(reading.statistic for reading in readings) == RARITY_RANGE[1]


def test_width_of_buckets_makes_little_difference() -> None:
    """The same messages in buckets of one minute and of five: as many expected, and a burst about as rare."""
    minute = msgspec.structs.replace(USUAL, bucket_ms=60_000)
    minutes = bursty(4, 35, burst=0.3)
    burst = with_burst(minutes, len(minutes) - 60, 60, 20)
    fives = [sum(burst[index : index + 5]) for index in range(0, len(burst), 5)]
    wide, narrow = list(fold(fives)), list(fold(burst, parameters=minute))
    assert expectation(USUAL, wide[-20][0], 0) == pytest.approx(5 * expectation(minute, narrow[-100][0], 0), rel=0.05)
    loudest = [max(reading.statistic for _, reading in readings[-n:]) for readings, n in ((wide, 12), (narrow, 60))]
    assert loudest[0] == pytest.approx(loudest[1], abs=0.5)
    assert min(loudest) > 1.5


def test_silence_is_as_many_empty_buckets() -> None:
    """To skip is to step with no messages, but for what smoothing rounds off."""
    start = after(bursty(30, 8, swing=0.5))
    assert start.at_ms is not None
    *_, (stepped, _) = fold([0] * 500, start, start_ms=start.at_ms)
    skipped = skip(USUAL, start, start.at_ms + 500 * BUCKET_MS)
    for field in ("at_ms", "buckets", "level_sum", "level_weight", "slot_sums", "slot_weights"):
        assert getattr(skipped, field) == pytest.approx(getattr(stepped, field))
    for one, other in zip(skipped.scales, stepped.scales, strict=True):
        assert one.count == pytest.approx(other.count, abs=1e-6)
        assert one.expected == pytest.approx(other.expected, rel=0.1)
        assert (one.excess, one.passes) == (other.excess, other.passes)
        assert one.bar == pytest.approx(other.bar, rel=0.02)


@given(st.integers(1, 5_000), st.integers(1, 5_000))
def test_a_silence_in_two_parts_is_one(first: int, second: int) -> None:
    """How often a silent key is looked at changes nothing that matters."""
    start = after(bursty(30, 2, swing=0.5))
    assert start.at_ms is not None
    middle, end = start.at_ms + first * BUCKET_MS, start.at_ms + (first + second) * BUCKET_MS
    twice, once = skip(USUAL, skip(USUAL, start, middle), end), skip(USUAL, start, end)
    assert twice.level_sum == pytest.approx(once.level_sum)
    assert twice.slot_weights == pytest.approx(once.slot_weights)
    assert [scale.bar for scale in twice.scales] == pytest.approx([scale.bar for scale in once.scales])


def test_a_century_of_silence_is_passed_over_at_once() -> None:
    """Three thousand million buckets of a second: step by step they would take hours."""
    second = msgspec.structs.replace(USUAL, bucket_ms=1_000)
    start = after([3] * 1_000, second)
    state, reading = step(second, start, 36_525 * DAY_MS, 1)
    assert state.at_ms == 36_525 * DAY_MS + 1_000
    assert reading.ratio < 1.5
    assert 1 <= state.level_sum < 7 < start.level_sum


def test_gap_between_buckets_is_silence() -> None:
    """Buckets that nobody names were empty."""
    start = after(bursty(30, 2))
    assert start.at_ms is not None
    later = start.at_ms + 77 * BUCKET_MS
    assert step(USUAL, start, later, 5) == step(USUAL, skip(USUAL, start, later), later, 5)


def test_no_silence_changes_nothing() -> None:
    """Neither does silence before a key was first heard of."""
    start = after([3, 4])
    assert start.at_ms is not None
    assert skip(USUAL, start, start.at_ms) == start
    assert skip(USUAL, CountBaseline(), DAY_MS) == CountBaseline()


@pytest.mark.parametrize("back", [1, BUCKET_MS])
def test_buckets_come_in_order(back: int) -> None:
    """One that has been counted cannot be counted again: better an error than a past that is wrong."""
    start = after([3, 4])
    assert start.at_ms is not None
    with pytest.raises(ValueError, match="comes after one that ends"):
        step(USUAL, start, start.at_ms - back, 1)
