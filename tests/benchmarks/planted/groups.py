"""Which keys there are: their arrivals, rates, tempers, sources and shares, by group; all from one seed."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tests.benchmarks.nab import data
from tests.benchmarks.planted import arrivals
from tests.benchmarks.planted.arrivals import BURSTY, CALM, Arrivals
from tests.benchmarks.planted.planting import Key
from tests.benchmarks.planted.streams import Stream, stream
from tests.benchmarks.planted.texts import Pool

_PEACES = (0.1, 0.2, 0.3)
_AIRLINES = ("Delta", "Southwest", "United")
_COPIES = 4
"""Keys made of one airline's arrivals, with texts and incidents of their own."""


class Purpose(NamedTuple):
    """Seeds, texts and stretches to choose parameters by, or to report on; never the same."""

    name: str
    seed: int
    half: int
    first_day: int
    """Of the Twitter series."""


CHOOSING = Purpose("choosing", 1, 0, 0)
REPORTED = Purpose("reported", 2, 1, 26)


class Group(NamedTuple):
    """Keys of one kind, on one partition."""

    name: str
    kind: str
    keys: int
    days: int
    per_minute: float = 0.0


GROUPS = (
    Group("made 100/min", "made", 2, 5, 100),
    Group("made 20/min", "made", 4, 8, 20),
    Group("twitter", "twitter", 10, 21),
    Group("made 5/min", "made", 12, 14, 5),
    Group("made 1/min", "made", 20, 14, 1),
    Group("made 0.2/min", "made", 24, 14, 0.2),
    Group("airline", "airline", len(_AIRLINES) * _COPIES, 7),
)
"""The largest first, so that no processor waits for it at the end."""


def streams(group: Group, purpose: Purpose, pools: Sequence[Pool], share: float = 1.0) -> list[Stream]:
    """Return the group's keys, or the first `share` of them; a key is the same whatever others there are."""
    come = _arrivals(group, purpose)
    return [_key(group, purpose, pools, (number, come)) for number in range(max(1, round(group.keys * share)))]


def _key(
    group: Group, purpose: Purpose, pools: Sequence[Pool], numbered: tuple[int, Callable[[np.random.Generator, int], Arrivals]]
) -> Stream:
    number, come = numbered
    rng = np.random.default_rng([purpose.seed, *group.name.encode(), number])
    came = come(rng, number)
    peace = _PEACES[number % len(_PEACES)]
    key = Key(f"entity:{group.name.replace(' ', '-').replace('/', '-')}-{number}", came.usual, peace)
    return stream(rng, key, came, pools[number // len(_PEACES) % len(pools)])


def _arrivals(group: Group, purpose: Purpose) -> Callable[[np.random.Generator, int], Arrivals]:
    if group.kind == "twitter":
        series = data.read_series()
        return lambda rng, number: arrivals.twitter(rng, series[number], purpose.first_day, group.days)
    if group.kind == "airline":
        return lambda rng, number: arrivals.airline(rng, _AIRLINES[number % len(_AIRLINES)])
    return lambda rng, number: arrivals.made(rng, group.per_minute, group.days, (CALM, BURSTY)[number % 2])
