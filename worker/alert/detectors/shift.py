"""A lasting fall of the mean score against the key's own past."""

from math import sqrt

import msgspec

from worker.alert.detectors.reading import Reading, Verdict, View
from worker.alert.parameters import ShiftDetector
from worker.alert.windows import Tally

_THOUSAND, _MILLION = 1_000, 1_000_000
_PRIOR_VARIANCE = 0.25
"""Of one message's score, before much is known: that of scores spread between -0.87 and 0.87."""
_PRIOR_WEIGHT = 10.0
_CLIP = 3.0
"""A bucket further from the mean than that, in standard deviations, counts no more than this: the past shall not learn from
what the alert is about as fast as from what is usual."""


class ShiftMemory(msgspec.Struct, frozen=True, array_like=True, tag="shift", gc=False):
    """The past, forgotten by halves: messages, their scores and squares, and how much bucket means vary beyond that.

    `spread` is the mean square of the standardised bucket means, 1 where messages are independent; `fall` is Page's sum.
    `at_ms` is the end of the last bucket that held messages.
    """

    messages: float = 0.0
    score: float = 0.0
    square: float = 0.0
    buckets: float = 0.0
    spread: float = 0.0
    fall: float = 0.0
    at_ms: int | None = None


def judge(parameters: ShiftDetector, memory: ShiftMemory, view: View) -> tuple[ShiftMemory, Reading]:
    """Judge the newest bucket and take it into the memory.

    One-sided CUSUM: the sum of standardised falls of the bucket's mean below the past mean, each less `drift`, never below 0;
    too much when it passes `threshold`, well again below half of that. The standard deviation is that of the scores over
    the square root of their number, widened by how much bucket means have varied beyond it, as they do where messages answer
    each other, and by how little is known of the past yet. The past takes a bucket in after it was judged, and not beyond
    `_CLIP` standard deviations.

    E. S. Page (1954), Continuous Inspection Schemes, Biometrika 41(1/2), 100-115; self-starting as in D. M. Hawkins (1987),
    Self-Starting Cusum Charts for Location and Scale, The Statistician 36(4), 299-315. Where nothing changes, the time between
    false alarms is about (exp(2kb) - 2kb - 1) / (2kk) buckets with b = h + 1.166 (D. Siegmund, Sequential Analysis, 1985):
    141,000, more than a year of five-minute buckets, for a drift k of 0.5 and a threshold h of 10.
    """
    warm = memory.messages >= parameters.warm_up
    if not view.newest.messages:  # not aged: how often a silent key is looked at must make no difference, not even of rounding
        return memory, _reading(parameters, memory, warm, view.window)
    past = _aged(memory, parameters, view.at_ms)
    deviation = _deviation(past, view.newest)
    fall = min(max(0.0, past.fall - deviation - parameters.drift), 2 * parameters.threshold) if warm else 0.0
    known = _learnt(past, view.newest, deviation, fall)
    return known, _reading(parameters, known, warm, view.window)


def mean_of(memory: ShiftMemory) -> float:
    """Return the past mean score, drawn towards 0 while little is known."""
    return memory.score / (memory.messages + _PRIOR_WEIGHT)


def _aged(memory: ShiftMemory, parameters: ShiftDetector, at_ms: int) -> ShiftMemory:
    gone_ms = parameters.bucket if memory.at_ms is None else at_ms - memory.at_ms
    keep = 0.5 ** (gone_ms / parameters.half_life)
    return ShiftMemory(
        keep * memory.messages,
        keep * memory.score,
        keep * memory.square,
        keep * memory.buckets,
        keep * memory.spread,
        memory.fall,
        at_ms,
    )


def _variance(memory: ShiftMemory) -> float:
    weight = memory.messages + _PRIOR_WEIGHT
    mean = mean_of(memory)
    return max((memory.square + _PRIOR_WEIGHT * _PRIOR_VARIANCE) / weight - mean * mean, 0.01)


def _deviation(memory: ShiftMemory, bucket: Tally) -> float:
    """Return by how many standard deviations the bucket's mean lies above the past mean."""
    mean = bucket.score / _THOUSAND / bucket.messages
    widened = max(1.0, (memory.spread + _PRIOR_WEIGHT) / (memory.buckets + _PRIOR_WEIGHT))
    error = 1 / bucket.messages + 1 / (memory.messages + _PRIOR_WEIGHT)
    return (mean - mean_of(memory)) / sqrt(_variance(memory) * error * widened)


def _learnt(memory: ShiftMemory, bucket: Tally, deviation: float, fall: float) -> ShiftMemory:
    share = min(1.0, _CLIP / abs(deviation)) if deviation else 1.0
    widened = max(1.0, (memory.spread + _PRIOR_WEIGHT) / (memory.buckets + _PRIOR_WEIGHT))
    return ShiftMemory(
        memory.messages + share * bucket.messages,
        memory.score + share * bucket.score / _THOUSAND,
        memory.square + share * bucket.square / _MILLION,
        memory.buckets + 1,
        memory.spread + min(abs(deviation), _CLIP) ** 2 * widened,
        fall,
        memory.at_ms,
    )


def _reading(parameters: ShiftDetector, memory: ShiftMemory, warm: bool, window: Tally) -> Reading:
    verdict: Verdict = "hold"
    if not warm or window.messages < parameters.min_messages:
        verdict = "no_data"
    elif memory.fall >= parameters.threshold:
        verdict = "breach"
    elif memory.fall < parameters.threshold / 2:
        verdict = "clear"
    return Reading(verdict, memory.fall, parameters.threshold, mean_of(memory))
