"""Which detector judges, and with whose memory; the other modules here have what each of them says."""

import pytest

from tests.unit.worker.alert.builders import RULE, detector_of
from worker.alert.detectors import Memory, Reading, ShareMemory, ShiftMemory, View, counts, judge, share, shift, single
from worker.alert.detectors.baseline import BaselineParameters, CountBaseline, step
from worker.alert.parameters import Detector, ShareDetector, ShiftDetector, SingleDetector, SurgeDetector, VolumeDetector
from worker.alert.windows import Tally

SHARE = detector_of(RULE, ShareDetector)
RISE = "{type: share, bucket: 5m, window: 1h, threshold: 0.2, rise: 0.1}"
RISING = detector_of(f"rules: [{{name: rise, detector: {RISE}}}]", ShareDetector)
MOOD = "{type: shift, threshold: 2, drift: 0.1, half_life: 1d, warm_up: 3, window: 1h, bucket: 5m}"
SHIFT = detector_of(f"rules: [{{name: mood, detector: {MOOD}}}]", ShiftDetector)
SURGE = detector_of("rules: [{name: s, detector: {type: surge, bucket: 5m, window: 1h}}]", SurgeDetector)
VOLUME = detector_of("rules: [{name: v, detector: {type: volume, bucket: 5m, window: 1h}}]", VolumeDetector)
VIEW = View(600_000, Tally(40, 30, -9_000, 9_000_000, 990_000), Tally(12, 9, -6_000, 5_000_000, 980_000))
MOODS = ShiftMemory(90.0, 30.0, 40.0, 20.0, 19.0, 1.0, 300_000)
SHARES = ShareMemory(90.0, 30.0, 300_000)
COUNTS, _ = step(BaselineParameters(), CountBaseline(), 0, 7)


@pytest.mark.parametrize(
    ("detector", "memory", "expected"),
    [
        (RISING, SHARES, share.judge(RISING, SHARES, VIEW)),
        (RISING, None, share.judge(RISING, ShareMemory(), VIEW)),
        (RISING, MOODS, share.judge(RISING, ShareMemory(), VIEW)),
        (SHIFT, MOODS, shift.judge(SHIFT, MOODS, VIEW)),
        (SHIFT, None, shift.judge(SHIFT, ShiftMemory(), VIEW)),
        (SHIFT, COUNTS, shift.judge(SHIFT, ShiftMemory(), VIEW)),
        (SURGE, COUNTS, counts.surge(SURGE, COUNTS, VIEW)),
        (SURGE, None, counts.surge(SURGE, CountBaseline(), VIEW)),
        (SURGE, MOODS, counts.surge(SURGE, CountBaseline(), VIEW)),
        (VOLUME, COUNTS, counts.volume(VOLUME, COUNTS, VIEW)),
        (VOLUME, None, counts.volume(VOLUME, CountBaseline(), VIEW)),
        (VOLUME, MOODS, counts.volume(VOLUME, CountBaseline(), VIEW)),
    ],
)
def test_a_detector_goes_on_from_its_own_memory(detector: Detector, memory: Memory, expected: tuple[Memory, Reading]) -> None:
    """And begins afresh where there is none, or another kind's."""
    assert judge(detector, memory, VIEW) == expected


def test_a_detector_without_memory_carries_none_on() -> None:
    """Whatever a detector before it has left behind."""
    found = detector_of("rules: [{name: one, detector: {type: single, window: 1h, bucket: 5m}}]", SingleDetector)
    assert judge(found, MOODS, VIEW) == (None, single.judge(found, VIEW))
    assert judge(SHARE, COUNTS, VIEW) == (None, share.judge(SHARE, ShareMemory(), VIEW)[1])
