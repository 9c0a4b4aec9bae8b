"""One message that is negative beyond doubt."""

from worker.alert.detectors.reading import Reading, Verdict, View
from worker.alert.parameters import SingleDetector

_MILLION = 1_000_000


def judge(parameters: SingleDetector, view: View) -> Reading:
    """Judge whether a severe message came in the newest bucket.

    The statistic is the model's calibrated probability that the worst message of the window is negative; a rule of one message
    needs no other. As long as the window holds a severe one the alert is not over, so that a key alerts once in that time:
    the window is the rate limit. After it the absence of a severe message is what there is to know, with or without others.
    """
    severe = round(parameters.threshold * _MILLION)
    verdict: Verdict = "clear"
    if view.newest.worst >= severe:
        verdict = "breach"
    elif view.window.worst >= severe:
        verdict = "hold"
    return Reading(verdict, view.window.worst / _MILLION, parameters.threshold)
