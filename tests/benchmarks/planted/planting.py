"""The incidents: how strong, how long, when, and which of them a detector must find. Pure.

An incident multiplies the usual rate by `multiple`, and of its messages a share `share` is, in the eyes of people, negative;
the model errs on them as it does. Half of them begin at once, half swell up over a quarter of their time.

Which are detectable follows from what was planted alone, never from what came out, by one rule for each detector: enough
evidence, and a change that someone would want to be woken for. In expected figures over the incident's time:

- all: 30 messages beyond the usual; for `share` and `shift` 30 messages; for `surge` 30 negatives beyond the usual;
- `volume`: at least 4 times the messages, for 15 minutes or longer;
- `surge`: at least 4 times the negatives, for 15 minutes or longer;
- `share`: at least three in four are negative, and at most 35 % are in peace;
- `shift`: the share rises by 0.4 or more, for 30 minutes or longer.

An incident of three messages, or one that doubles a chatty key's rate for ten minutes, is planted and told of, but not asked
for.
"""

from typing import NamedTuple

import numpy as np

from tests.benchmarks.planted.arrivals import BUCKET_MS, DAY_MS, MINUTE_MS, START_MS, Rates

EVIDENCE = 30
_HOUR_MS = 60 * MINUTE_MS
DURATIONS_MS = (10 * MINUTE_MS, 30 * MINUTE_MS, 2 * _HOUR_MS, 6 * _HOUR_MS)
_FIRST_MS = (DAY_MS // 2, 2 * DAY_MS)
"""The first incident begins between these: some keys are hardly known by then."""
_GAP_MS = (DAY_MS, 5 * DAY_MS // 2)
"""From the begin of one to that of the next."""


class Strength(NamedTuple):
    """How many times as many messages, and which share of them is negative; None: the same as ever."""

    name: str
    multiple: float
    share: float | None


STRENGTHS = (
    Strength("outage", 8.0, 0.9),
    Strength("storm", 4.0, 0.8),
    Strength("souring", 1.5, 0.8),
    Strength("turn", 1.0, 0.9),
    Strength("flood", 10.0, None),
    Strength("swell", 5.0, None),
    Strength("mild", 2.0, 0.5),
)


class Planted(NamedTuple):
    """One incident; `usual` is the number of messages that would have come in its time, `peace` the negative share of those."""

    alert_key: str
    strength: Strength
    start_ms: int
    end_ms: int
    ramped: bool
    usual: float
    peace: float

    @property
    def share(self) -> float:
        """The share of negative messages in it."""
        return self.peace if self.strength.share is None else self.strength.share

    @property
    def messages(self) -> float:
        """How many messages are to be expected in it; a ramp takes an eighth of what it adds."""
        return self.usual * (1 + (self.strength.multiple - 1) * (7 / 8 if self.ramped else 1))

    @property
    def grown(self) -> float:
        """How many times as many negatives there are as usual."""
        return self.messages * self.share / (self.usual * self.peace)

    def detectable_by(self, detector: str) -> bool:
        """Tell whether the detector must find it; see the module's docstring."""
        minutes, multiple = (self.end_ms - self.start_ms) / MINUTE_MS, self.strength.multiple
        match detector:
            case "volume":
                return multiple >= 4 and minutes >= 15 and self.messages - self.usual >= EVIDENCE
            case "surge":
                more = self.messages * self.share - self.usual * self.peace
                return self.grown >= 4 and minutes >= 15 and more >= EVIDENCE
            case "share":
                return self.share >= 0.75 and self.peace <= 0.35 and self.messages >= EVIDENCE
            case "shift":
                return self.share - self.peace >= 0.4 and minutes >= 30 and self.messages >= EVIDENCE
        return False


class Key(NamedTuple):
    """A key to plant in: what is usual on it, and in peace which share is negative."""

    name: str
    usual: Rates
    peace: float


def plant(rng: np.random.Generator, key: Key) -> list[Planted]:
    """Return incidents of every strength and length at random times, the first from half a day on, apart from each other."""
    found, at_ms = list[Planted](), int(rng.integers(*_FIRST_MS))
    end_ms = len(key.usual) * BUCKET_MS
    while at_ms + DURATIONS_MS[-1] + _HOUR_MS < end_ms:
        strength = STRENGTHS[int(rng.integers(len(STRENGTHS)))]
        duration_ms = DURATIONS_MS[int(rng.integers(len(DURATIONS_MS)))]
        span = (START_MS + at_ms, START_MS + at_ms + duration_ms)
        usual = expected(key.usual, *span)
        found.append(Planted(key.name, strength, *span, bool(rng.integers(2)), usual, key.peace))
        at_ms += int(rng.integers(*_GAP_MS))
    return found


def expected(usual: Rates, start_ms: int, end_ms: int) -> float:
    """Return how many messages usually come in `[start_ms, end_ms)`."""
    sums = np.concatenate([[0.0], np.cumsum(usual)])
    begin, end = np.interp([(start_ms - START_MS) / BUCKET_MS, (end_ms - START_MS) / BUCKET_MS], np.arange(len(sums)), sums)
    return float(end - begin)
