"""The share of negative messages in the window, when it is too high beyond chance."""

from math import sqrt
from typing import NamedTuple

from worker.alert.detectors.reading import Reading, Verdict, View
from worker.alert.parameters import ShareDetector
from worker.alert.windows import Tally


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


def judge(parameters: ShareDetector, view: View) -> Reading:
    """Judge the share of negative messages in a window, and in the shorter ones within it, if the rule has such.

    It is too much when its lower confidence bound reaches `threshold` on any span with messages enough; the statistic is the
    largest of these bounds. A shorter span is looked at more often than a longer one before as much time has passed, so it has
    to be surer: by the penalty 2 ln(window / span) on the squared quantile, the span's share of the looks is paid for, and none
    drowns out the others. L. Dümbgen and V. G. Spokoiny (2001), Multiscale Testing of Qualitative Hypotheses, Annals of
    Statistics 29(1), 124-152, for that penalty; J. Glaz, J. Naus and S. Wallenstein (2001), Scan Statistics, Springer.

    It is well again when the share itself lies below `resolve_below`, on the shortest span with messages enough: what came last
    counts. The bound must not serve for that: it falls when messages become fewer, whatever they say, and an alert would
    resolve for want of data.
    """
    judged = [
        _Judged(span_ms, tally, wilson_lower_bound(tally.negatives, tally.messages, z))
        for (span_ms, z), tally in zip(parameters.quantiles, view.spans or (view.window,), strict=True)
        if tally.messages >= parameters.min_messages
    ]
    if not judged:
        bound = wilson_lower_bound(view.window.negatives, view.window.messages, parameters.z)
        return Reading("no_data", bound, parameters.threshold)
    loudest, newest = max(judged, key=lambda one: one.bound), judged[-1].tally
    verdict: Verdict = "hold"
    if loudest.bound >= parameters.threshold:
        verdict = "breach"
    elif newest.negatives < parameters.resolve_below * newest.messages:
        verdict = "clear"
    return Reading(verdict, loudest.bound, parameters.threshold, span_ms=loudest.span_ms)


class _Judged(NamedTuple):
    """A span with messages enough, its figures, and the lower bound of its share."""

    span_ms: int
    tally: Tally
    bound: float
