"""Whether the parameters would hold elsewhere: chosen without the series that they are scored on, and moved about. Pure."""

import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import combinations
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from tests.benchmarks.nab.data import Series
from tests.benchmarks.nab.detecting import Choice, detect
from tests.benchmarks.nab.scoring import NOTHING, Profile, Score, normalised, score

_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
Scores = Mapping[str, Score]
"""By the name of the series."""

RANGES: dict[str, tuple[float, ...]] = {
    "once_in_ms": tuple(days * _DAY_MS for days in (1, 2, 3, 4, 5, 7, 10)),
    "min_ratio": (1.0, 1.25, 1.5, 2.0, 2.5),
    "resolve_share": (0.1, 0.2, 0.3, 0.5, 0.8),
    "keep_firing_ms": tuple(hours * _HOUR_MS for hours in (1, 2, 3, 6, 9, 12, 18)),
    "half_life_ms": tuple(days * _DAY_MS for days in (2, 4, 7, 10, 14)),
    "season_half_life_ms": tuple(days * _DAY_MS for days in (4, 7, 14, 21, 28)),
    "tail_half_life_ms": tuple(days * _DAY_MS for days in (7, 10, 14, 21, 28)),
    "pull_ms": tuple(hours * _HOUR_MS for hours in (1, 2, 4, 8, 16)),
    "grain": (1.0, 2.0, 3.0, 5.0, 8.0),
    "cap": (2.0, 3.0, 5.0, 10.0),
    "short_ratio": (1.5, 2.0, 3.0, 4.0, 6.0),
    "long_ratio": (1.5, 2.0, 3.0, 4.0, 6.0),
}
"""From what a choice is drawn: wide, and with no regard to what turned out to be good."""


def chosen(values: Mapping[str, float], start: Choice | None = None) -> Choice:
    """Return `start`, the shipped choice unless given, with these values.

    `short_ratio` and `long_ratio` are those of the middle scale to the shortest, and of the longest to it.
    """
    start = start or Choice()
    volume = _with(start.volume, values)
    baseline = _with(volume.baseline, values)
    short, middle, long = baseline.scales_ms
    scales = (
        round(middle / values.get("short_ratio", middle / short)),
        middle,
        round(middle * values.get("long_ratio", long / middle)),
    )
    baseline = replace(baseline, scales_ms=scales)
    return Choice(replace(volume, baseline=baseline), round(values.get("keep_firing_ms", start.keep_firing_ms)))


T = TypeVar("T", bound=msgspec.Struct)


def _with(part: T, values: Mapping[str, float]) -> T:
    known = {name: values[name] for name in part.__struct_fields__ if name in values}
    return replace(part, **{name: round(value) if name.endswith("_ms") else value for name, value in known.items()})


def drawn(count: int, seed: int) -> list[dict[str, float]]:
    """Return so many choices at random from `RANGES`."""
    rng = random.Random(seed)
    return [{name: rng.choice(values) for name, values in RANGES.items()} for _ in range(count)]


def moved(share: float) -> Iterator[tuple[str, float, dict[str, float]]]:
    """Yield each parameter's name, factor and values with that parameter alone moved down and up by `share`."""
    usual = shipped()
    for name in RANGES:
        for factor in (1 - share, 1 + share):
            yield name, factor, {name: usual[name] * factor}


def shipped() -> dict[str, float]:
    """Return the values that the detector has when nobody says otherwise."""
    choice = Choice()
    volume, baseline = choice.volume, choice.volume.baseline
    found = {**msgspec.structs.asdict(baseline), **msgspec.structs.asdict(volume), "keep_firing_ms": choice.keep_firing_ms}
    return {
        **{name: found[name] for name in RANGES if name in found},
        "short_ratio": baseline.scales_ms[1] / baseline.scales_ms[0],
        "long_ratio": baseline.scales_ms[2] / baseline.scales_ms[1],
    }


def evaluate(series: Sequence[Series], choice: Choice, profile: Profile) -> Scores:
    """Score one choice on every series."""
    return judged(series, {one.name: detect(one, choice) for one in series}, profile)


def judged(series: Iterable[Series], detections: Mapping[str, Collection[int]], profile: Profile) -> Scores:
    """Score the detections on every series."""
    return {one.name: score(detections[one.name], len(one.counts), one.windows, profile) for one in series}


def total(scores: Scores, names: Iterable[str] | None = None) -> Score:
    """Add up the scores of the named series, of all unless given."""
    return reduce(Score.plus, (scores[name] for name in (scores if names is None else names)), NOTHING)


def held_out(tried: Sequence[Scores], hidden: Iterable[str], profile: Profile) -> Score:
    """Return what the choice that is best on the other series scores on the `hidden` ones."""
    hidden = frozenset(hidden)
    seen = sorted(tried[0].keys() - hidden)
    best = max(tried, key=lambda scores: normalised(total(scores, seen), profile))
    return total(best, sorted(hidden))


def one_left_out(tried: Sequence[Scores], profile: Profile) -> float:
    """Return the score when each series is judged by the choice that was best on the nine others."""
    return normalised(reduce(Score.plus, (held_out(tried, [name], profile) for name in tried[0]), NOTHING), profile)


def half_left_out(tried: Sequence[Scores], profile: Profile) -> list[float]:
    """Return, for every way to choose half of the series, the score on it of the choice that was best on the other half."""
    halves = combinations(sorted(tried[0]), len(tried[0]) // 2)
    return [normalised(held_out(tried, half, profile), profile) for half in halves]
