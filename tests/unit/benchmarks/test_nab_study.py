"""Choosing on some series and scoring on others; and that the detector keeps the score that is claimed for it."""

import pytest

from tests.benchmarks.nab import data, study
from tests.benchmarks.nab.detecting import Choice, detect, look
from tests.benchmarks.nab.scoring import Profile, Score, normalised
from tests.unit.worker.alert.detectors.count_streams import BUCKET_MS, bursty, with_burst

STANDARD = Profile(1.0, 0.11, 1.0)
HOUR_MS = 3_600_000


def _key(counts: list[int]) -> data.Series:
    return data.Series("key", tuple(index * BUCKET_MS for index in range(len(counts))), tuple(counts), ((2_880, 3_200),))


def _tried(*points: dict[str, float]) -> list[study.Scores]:
    return [{name: Score(value, 1, 0, 0) for name, value in one.items()} for one in points]


def test_held_out_series_have_no_say() -> None:
    """The choice that is best on the others is taken, however good another one is on the hidden series."""
    tried = _tried({"a": 1.0, "b": -1.0, "c": -1.0}, {"a": -1.0, "b": 0.5, "c": 0.5})
    assert study.held_out(tried, ["a"], STANDARD).points == -1.0
    assert study.held_out(tried, ["b", "c"], STANDARD).points == -2.0


def test_one_and_half_left_out_go_through_all() -> None:
    """Each series is hidden once, and each half of them."""
    tried = _tried({"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}, {"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0})
    assert study.one_left_out(tried, STANDARD) == 100
    assert study.half_left_out(tried, STANDARD) == [100] * 6


def test_choices_are_drawn_within_their_ranges_and_again_the_same() -> None:
    """A seed says all."""
    drawn = study.drawn(50, 3)
    assert drawn == study.drawn(50, 3) != study.drawn(50, 4)
    assert all(values[name] in study.RANGES[name] for values in drawn for name in values)
    assert all(values.keys() == study.RANGES.keys() for values in drawn)


def test_shipped_values_are_the_shipped_choice() -> None:
    """Unmoved they change nothing; each of them, moved, changes the choice and nothing but itself."""
    assert study.chosen(study.shipped()) == Choice()
    moved = list(study.moved(0.25))
    assert len(moved) == 2 * len(study.RANGES)
    choices = [study.chosen(values) for _, _, values in moved]
    assert len(set(choices)) == len(moved)
    assert Choice() not in choices


def test_detections_are_alerts_not_buckets() -> None:
    """A burst of two hours is one detection, at once; another within `keep_firing_ms` after all was well is the same alert."""
    counts = bursty(20, 20)
    key = _key(with_burst(with_burst(counts, 3_000, 24, 20), 3_300, 12, 20))
    short, long = (
        [index for index in detect(key, Choice(keep_firing_ms=keep)) if index >= 3_000] for keep in (0, 48 * HOUR_MS)
    )
    assert short[0] == long[0] < 3_003
    assert [index for index in short if 3_300 <= index < 3_303]
    assert not [index for index in long if 3_003 <= index < 3_312]
    assert [found.fires for found in look(key, Choice())].count(True) == len(detect(key, Choice()))


@pytest.mark.skipif(not data.PRESENT, reason=data.MISSING)
def test_score_is_above_every_published_detector() -> None:
    """On each profile, with the shipped parameters, by the benchmark's own scoring."""
    series, published = data.read_series(), data.read_published()
    detections = {one.name: detect(one, Choice()) for one in series}
    for name, profile in data.read_profiles().items():
        own = study.total(study.judged(series, detections, profile))
        rivals = {detector for detector, _, _ in published}
        best = max(sum(found.score for key, found in published.items() if key[:2] == (rival, name)) for rival in rivals)
        assert normalised(own, profile) > normalised(Score(best, own.windows, 0, 0), profile)
