"""The benchmark's scoring, by hand on small cases, and against the scores that the benchmark publishes."""

from functools import cache
from math import exp

import pytest

from tests.benchmarks.nab import data
from tests.benchmarks.nab.data import Series
from tests.benchmarks.nab.scoring import NOTHING, Profile, Score, normalised, probation, scaled_sigmoid, score

STANDARD = Profile(1.0, 0.11, 1.0)
POINTS = 1_000
WINDOWS = ((400, 499), (700, 799))
BEST = 2 / (1 + exp(-5)) - 1
real = pytest.mark.skipif(not data.PRESENT, reason=data.MISSING)


@pytest.mark.parametrize(
    ("position", "worth"),
    [(-1.0, 0.98661), (-0.5, 0.84828), (0.0, 0.0), (1.0, -0.98661), (2.99, -1.0), (3.0, -1.0), (50.0, -1.0)],
)
def test_sigmoid_has_its_published_values(position: float, worth: float) -> None:
    """Those named in the benchmark's own code, and -1 from three widths on."""
    assert scaled_sigmoid(position) == pytest.approx(worth, abs=1e-5)


@pytest.mark.parametrize(("points", "expected"), [(0, 0), (6, 0), (7, 1), (1_000, 150), (5_000, 750), (15_902, 750)])
def test_probation_is_15_percent_of_at_most_5000(points: int, expected: int) -> None:
    """750 points at the most."""
    assert probation(points) == expected


@pytest.mark.parametrize(
    ("detections", "expected"),
    [
        ([], Score(-2, 2, 0, 0)),
        ([400, 700], Score(2, 2, 2, 0)),
        ([400, 401, 499, 700], Score(2, 2, 2, 0)),
        ([450, 700], Score(1 + scaled_sigmoid(-0.5) / BEST, 2, 2, 0)),
        ([499, 700], Score(1 + scaled_sigmoid(-0.01) / BEST, 2, 2, 0)),
        ([400], Score(0, 2, 1, 0)),
        ([399, 400, 700], Score(2 - 0.11, 2, 2, 1)),
        ([400, 500, 700], Score(2 + 0.11 * scaled_sigmoid(1 / 99), 2, 2, 1)),
        ([400, 598, 700, 999], Score(2 + 0.11 * (scaled_sigmoid(1) + scaled_sigmoid(200 / 99)), 2, 2, 2)),
        ([0, 149], Score(-2, 2, 0, 0)),
        ([150], Score(-2 - 0.11, 2, 0, 1)),
    ],
)
def test_score_of_small_cases(detections: list[int], expected: Score) -> None:
    """A window is worth its earliest detection; each false alarm costs, little shortly behind a window; probation is free."""
    assert score(detections, POINTS, WINDOWS, STANDARD) == pytest.approx(expected)


def test_order_of_detections_does_not_matter() -> None:
    """Nor does it matter what kind of collection they come in."""
    assert score({700, 450, 20, 998}, POINTS, WINDOWS, STANDARD) == score([998, 20, 450, 700], POINTS, WINDOWS, STANDARD)


def test_far_behind_a_window_a_false_alarm_costs_in_full() -> None:
    """Three widths of the last window before it, and before the first window too."""
    for index in (200, 400 + 99 * 4 + 50):
        assert score([index], POINTS, ((400, 499),), STANDARD).points == pytest.approx(-1 - 0.11)


@pytest.mark.parametrize(("windows", "asked"), [(((100, 149),), 0), (((100, 150),), 1)])
def test_windows_within_the_probation_are_not_asked_for(windows: tuple[tuple[int, int], ...], asked: int) -> None:
    """One that reaches out of it is."""
    assert score([], POINTS, windows, STANDARD) == Score(-asked, asked, 0, 0)


def test_profile_weighs() -> None:
    """What a false alarm and a miss cost is the profile's."""
    assert score([200], POINTS, WINDOWS, Profile(1.0, 0.22, 2.0)).points == pytest.approx(-4 - 0.22)
    assert score([400], POINTS, WINDOWS, Profile(0.5, 0.22, 2.0)).points == pytest.approx(0.5 - 2)


@pytest.mark.parametrize(
    ("points", "miss", "percent"), [(4, 1.0, 100), (-4, 1.0, 0), (0, 1.0, 50), (-8, 2.0, 0), (4, 2.0, 100), (-5, 1.0, -12.5)]
)
def test_normalised_runs_from_nothing_to_all(points: float, miss: float, percent: float) -> None:
    """100 for everything at its first point, 0 for no detection at all; false alarms alone are worse than that."""
    total = Score(points, 4, 0, 0)
    assert normalised(NOTHING.plus(total), Profile(1.0, 0.11, miss)) == pytest.approx(percent)


@cache
def _series() -> list[Series]:
    return data.read_series()


@real
def test_data_are_what_the_benchmark_describes() -> None:
    """Ten series of five-minute counts, 158,631 points and 33 windows in all, each within its series."""
    assert [len(_series()), sum(len(one.counts) for one in _series())] == [10, 158_631]
    assert sum(len(one.windows) for one in _series()) == 33
    for one in _series():
        assert all(later - now == 300_000 for now, later in zip(one.starts_ms, one.starts_ms[1:], strict=False))
        assert all(0 < first < last < len(one.counts) for first, last in one.windows)


@real
@pytest.mark.parametrize("detector", ["contextOSE", "windowedGaussian"])
@pytest.mark.parametrize("profile", ["standard", "reward_low_FP_rate", "reward_low_FN_rate"])
def test_published_scores_are_reproduced(detector: str, profile: str) -> None:
    """From a published detector's own output, at its published threshold, its published score on every series."""
    weights, output, published = data.read_profiles()[profile], data.read_output(detector), data.read_published()
    for one in _series():
        expected = published[detector, profile, one.name]
        found = [index for index, value in enumerate(output[one.name]) if value >= expected.threshold]
        assert score(found, len(one.counts), one.windows, weights).points == pytest.approx(expected.score, abs=1e-6), one.name
