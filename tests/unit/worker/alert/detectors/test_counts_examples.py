"""Verdicts on counts at the edges of what the rule says; `test_counts` has what they are for."""

import pytest

from tests.unit.worker.alert.builders import detector_of
from tests.unit.worker.alert.detectors.test_baseline_examples import HOUR_MS, PARAMETERS, past
from worker.alert.detectors import Reading, Verdict, View
from worker.alert.detectors.baseline import BaselineParameters, CountBaseline, ScaleState, step
from worker.alert.detectors.counts import VolumeParameters, judge, surge, volume
from worker.alert.parameters import SurgeDetector, VolumeDetector
from worker.alert.windows import Tally

DAY_MS = 24 * HOUR_MS
AT_MS = 29 * HOUR_MS
KINDS = "bucket: 5m, window: 1h, once_in: 2d, resolve_share: 0.2, min_ratio: 1.2"
VOLUME = detector_of(f"rules: [{{name: v, detector: {{type: volume, {KINDS}}}}}]", VolumeDetector)
SURGE = detector_of(f"rules: [{{name: s, detector: {{type: surge, {KINDS}, min_messages: 10}}}}]", SurgeDetector)


def told(once_in_days: float = 1, resolve_share: float = 0.3, min_ratio: float = 1.5) -> VolumeParameters:
    """What the detector is told."""
    return VolumeParameters(PARAMETERS, round(once_in_days * DAY_MS), resolve_share, min_ratio)


@pytest.mark.parametrize(
    ("parameters", "verdict", "threshold"),
    [
        (told(1), "breach", 0.0),
        (told(10**9), "breach", 9.0),
        (told(10**10), "clear", 10.0),
        (told(10**10, resolve_share=0.1), "hold", 10.0),
    ],
)
def test_what_could_not_be_rarer(parameters: VolumeParameters, verdict: Verdict, threshold: float) -> None:
    """A statistic of 9: too much where that is asked for, well where even `resolve_share` of what is asked for is more."""
    known, reading = judge(parameters, past(), AT_MS, 10**8)
    assert (reading.verdict, reading.statistic) == (verdict, 9.0)
    assert reading.threshold == pytest.approx(threshold)
    assert (known, reading.figures) == step(PARAMETERS, past(), AT_MS, 10**8)


@pytest.mark.parametrize(("resolve_share", "verdict"), [(0.01, "hold"), (0.011, "clear")])
def test_what_could_not_be_more_common(resolve_share: float, verdict: Verdict) -> None:
    """A statistic of -2: once in the hundredth part of a day."""
    _, reading = judge(told(1, resolve_share), past(bars=(9.0, 9.0)), AT_MS, 0)
    assert (reading.verdict, reading.statistic) == (verdict, -2.0)


def test_rare_is_not_enough() -> None:
    """It must be so many times the usual, too."""
    _, figures = step(PARAMETERS, past(), AT_MS, 80)
    assert judge(told(0.5, min_ratio=figures.ratio), past(), AT_MS, 80)[1].verdict == "breach"
    assert judge(told(0.5, min_ratio=figures.ratio + 1e-6), past(), AT_MS, 80)[1].verdict == "hold"


@pytest.mark.parametrize(("buckets", "verdict"), [(2, "no_data"), (3, "clear")])
def test_nothing_is_said_before_the_past_has_settled(buckets: int, verdict: Verdict) -> None:
    """Four hours, with the one that is judged."""
    assert judge(told(), past(buckets), AT_MS, 80)[1].verdict == verdict


@pytest.mark.parametrize("messages", [9, 10])
def test_volume_counts_messages_and_surge_negatives(messages: int) -> None:
    """In the newest bucket, which ends at the boundary; surge says nothing of a window with too few messages."""
    view = View(AT_MS, Tally(messages, 9), Tally(800, 700))
    same = VolumeParameters(BaselineParameters(bucket_ms=300_000), 2 * DAY_MS, 0.2, 1.2)
    counted = volume(VOLUME, past_of_minutes(), view), judge(same, past_of_minutes(), AT_MS - 300_000, 800)
    negative = surge(SURGE, past_of_minutes(), view), judge(same, past_of_minutes(), AT_MS - 300_000, 700)
    for ((known, reading), (expected, found)), says_nothing in ((counted, False), (negative, messages < 10)):
        assert found.verdict == "breach"
        assert known == expected
        verdict: Verdict = "no_data" if says_nothing else "breach"
        assert reading == Reading(verdict, found.statistic, found.threshold, found.figures.expected)


@pytest.mark.parametrize(
    ("count", "verdict"),
    [(16, "clear"), (20, "hold"), (33, "hold"), (40, "breach")],
)
def test_what_a_rule_says_of_ratio_and_resolution_counts(count: int, verdict: Verdict) -> None:
    """On a key that hardly varies from 20 a bucket: too much at 1.2 times that, well at what comes every tenth hour."""
    steady = (ScaleState(20.0, 20.0, 0.01, 0.02, 1.0),) * 3
    known = CountBaseline(AT_MS - 300_000, 10_000, 2_000.0, 99.0, (0.0,) * 24, (0.0,) * 24, steady)
    view = View(AT_MS, Tally(400, 300), Tally(count, count))
    assert volume(VOLUME, known, view)[1].verdict == verdict
    assert surge(SURGE, known, view)[1].verdict == verdict


def past_of_minutes() -> CountBaseline:
    """A key that has been silent for four days of five minutes."""
    state = CountBaseline()
    for index in range(-60, 0):
        state, _ = step(BaselineParameters(), state, AT_MS - 300_000 + index * 300_000, 0)
    return state
