"""The share of negative messages in the window, when it is too high beyond chance."""

from math import sqrt
from typing import NamedTuple

import msgspec

from worker.alert.detectors.reading import Reading, Verdict, View
from worker.alert.parameters import ShareDetector
from worker.alert.windows import Tally

_PRIOR, _PRIOR_WEIGHT = 0.25, 10.0
"""What is usual on a key of which nothing is known, and how many messages that is worth."""
_KNOWN = 100.0
"""Messages from which on a past says what is far from usual."""
_SLOWLY = 0.05
"""What the past takes in of that."""


def wilson_lower_bound(successes: int, trials: int, z: float) -> float:
    """Return the lower end of Wilson's score interval for a share, 0 where there are no trials.

    Unlike the textbook (Wald) bound it holds for few trials and for shares near 0 and 1. `z` is the standard normal quantile of
    the one-sided confidence: 1.645 for 95 %.

    E. B. Wilson (1927), Probable Inference, the Law of Succession, and Statistical Inference, JASA 22(158), 209-212; compared
    with its rivals by Brown, Cai and DasGupta (2001), Interval Estimation for a Binomial Proportion, Statistical Science 16(2).
    """
    if trials == 0:
        return 0.0
    share = successes / trials
    z2 = z * z
    centre = share + z2 / (2 * trials)
    margin = z * sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    return max(0.0, (centre - margin) / (1 + z2 / trials))


class ShareMemory(msgspec.Struct, frozen=True, array_like=True, tag="share", gc=False):
    """The key's past, forgotten by halves: messages, and negative ones among them.

    `at_ms` is the end of the last bucket that held messages.
    """

    messages: float = 0.0
    negatives: float = 0.0
    at_ms: int | None = None


def judge(parameters: ShareDetector, memory: ShareMemory, view: View) -> tuple[ShareMemory | None, Reading]:
    """Judge the share of negative messages in a window, and in the shorter ones within it, if the rule has such.

    It is too much when its lower confidence bound reaches `threshold` on any span with messages enough; the statistic is the
    largest of these bounds. A shorter span is looked at more often than a longer one before as much time has passed, so it has
    to be surer: by the penalty 2 ln(window / span) on the squared quantile, the span's share of the looks is paid for, and none
    drowns out the others. L. Dümbgen and V. G. Spokoiny (2001), Multiscale Testing of Qualitative Hypotheses, Annals of
    Statistics 29(1), 124-152, for that penalty; J. Glaz, J. Naus and S. Wallenstein (2001), Scan Statistics, Springer.

    With `rise` the bound must besides lie so far above what is usual on the key: the share of its past, forgotten by halves and
    drawn towards `_PRIOR` while little is known. Once the key is known, the past takes in no more than `_SLOWLY` of buckets on
    which the bound does lie so high, so that an alarm does not hide the next one, and what stays becomes usual within weeks.
    All is well again when what is held lies below the usual share and as much of `rise` as `resolve_below` is of `threshold`.

    It is well again when the share itself lies below `resolve_below`. The bound must not serve for that: it falls when messages
    become fewer, whatever they say, and an alert would resolve for want of data. Where there are shorter windows it has to
    serve: what has passed is still in the longer ones, and the share of the shortest is mostly chance. There all is well when
    no bound reaches `resolve_below`, and `min_messages` is what stands against want of data.
    """
    plain = _Limits(parameters.threshold, parameters.resolve_below)
    if not parameters.rise:
        return None, _reading(parameters, view, plain, None)
    # Not aged by silence: how often a silent key is looked at must make no difference, not even of rounding.
    past = _aged(memory, parameters, view.at_ms) if view.newest.messages else memory
    usual = usual_of(past)
    above = _Limits(usual + parameters.rise, usual + parameters.rise * plain.well / plain.much)
    reading = _reading(parameters, view, _Limits(*map(max, plain, above)), usual)
    if not view.newest.messages:
        return memory, reading
    is_unusual = past.messages >= _KNOWN and reading.verdict != "no_data" and reading.statistic >= above.much
    return _learnt(past, view.newest, _SLOWLY if is_unusual else 1.0), reading


class _Limits(NamedTuple):
    """From where on it is too much, and below what it is well again."""

    much: float
    well: float


def usual_of(memory: ShareMemory) -> float:
    """Return the negative share of the past, drawn towards `_PRIOR` while little is known."""
    return (memory.negatives + _PRIOR_WEIGHT * _PRIOR) / (memory.messages + _PRIOR_WEIGHT)


def _aged(memory: ShareMemory, parameters: ShareDetector, at_ms: int) -> ShareMemory:
    keep = 1.0 if memory.at_ms is None else 0.5 ** ((at_ms - memory.at_ms) / parameters.half_life)
    return ShareMemory(keep * memory.messages, keep * memory.negatives, at_ms)


def _learnt(memory: ShareMemory, bucket: Tally, weight: float) -> ShareMemory:
    messages, negatives = memory.messages + weight * bucket.messages, memory.negatives + weight * bucket.negatives
    return ShareMemory(messages, negatives, memory.at_ms)


def _reading(parameters: ShareDetector, view: View, limits: _Limits, usual: float | None) -> Reading:
    judged = [
        _Judged(span_ms, tally, wilson_lower_bound(tally.negatives, tally.messages, z))
        for (span_ms, z), tally in zip(parameters.quantiles, view.spans or (view.window,), strict=True)
        if tally.messages >= parameters.min_messages
    ]
    if not judged:
        bound = wilson_lower_bound(view.window.negatives, view.window.messages, parameters.z)
        return Reading("no_data", bound, limits.much, usual)
    loudest = max(judged, key=lambda one: one.bound)
    verdict: Verdict = "hold"
    held = loudest.bound if view.spans[1:] else loudest.tally.negatives / loudest.tally.messages
    if loudest.bound >= limits.much:
        verdict = "breach"
    elif held < limits.well:
        verdict = "clear"
    return Reading(verdict, loudest.bound, limits.much, usual, span_ms=loudest.span_ms)


class _Judged(NamedTuple):
    """A span with messages enough, its figures, and the lower bound of its share."""

    span_ms: int
    tally: Tally
    bound: float
