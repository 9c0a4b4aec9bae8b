"""The share of negative messages in the window, when it is too high beyond chance."""

from math import sqrt

from worker.alert.detectors.reading import Reading, Verdict, View
from worker.alert.parameters import ShareDetector


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
    """Judge the share of negative messages in a window.

    It is too much when its lower confidence bound reaches `threshold`, and well again when the share itself lies below
    `resolve_below`. The bound must not serve for the latter: it falls when messages become fewer, whatever they say, and
    an alert would resolve for want of data.
    """
    window = view.window
    bound = wilson_lower_bound(window.negatives, window.messages, parameters.z)
    return Reading(_verdict(window.messages, window.negatives, bound, parameters), bound, parameters.threshold)


def _verdict(messages: int, negatives: int, bound: float, parameters: ShareDetector) -> Verdict:
    if messages < parameters.min_messages:
        return "no_data"
    if bound >= parameters.threshold:
        return "breach"
    return "clear" if negatives < parameters.resolve_below * messages else "hold"
