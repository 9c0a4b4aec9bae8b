"""The airline week: what is an incident by people's labels."""

import numpy as np

from tests.benchmarks import airline
from tests.benchmarks.airline import Week
from tests.benchmarks.planted.arrivals import A_DAY, BUCKET_MS


def _week(at: int, buckets: int, messages: int, negatives: int) -> Week:
    """Four messages an hour, one of them negative, but for a stretch."""
    every, gloomy = np.zeros(7 * A_DAY, dtype=np.int64), np.zeros(7 * A_DAY, dtype=np.int64)
    every[::3], gloomy[::12] = 1, 1
    every[at : at + buckets] = messages
    gloomy[at : at + buckets] = negatives
    return Week("Acme", every, gloomy)


def test_a_quiet_week_has_no_incident() -> None:
    """One negative an hour is usual."""
    assert list(airline.incidents(_week(600, 12, 1, 0))) == []


def test_many_negatives_in_an_hour_are_an_incident_of_count() -> None:
    """From the begin of the first hour that has enough to the end of the last."""
    (incident,) = [found for kind, found in airline.incidents(_week(600, 12, 4, 2)) if kind == "count"]
    assert incident.alert_key == "entity:acme"
    assert airline.start_ms() + (600 - 12) * BUCKET_MS < incident.start_ms < airline.start_ms() + 600 * BUCKET_MS
    assert airline.start_ms() + 612 * BUCKET_MS <= incident.end_ms <= airline.start_ms() + 624 * BUCKET_MS


def test_a_larger_share_is_an_incident_of_share_and_not_of_count() -> None:
    """Of 36 messages in three hours 24 negative, never 12 in an hour."""
    week = _week(600, 36, 1, 0)
    week.negatives[600:636] = [1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1] * 3
    assert {kind for kind, _ in airline.incidents(week)} == {"share"}
