import pytest

from tests.unit.worker.alert.builders import detector_of, rules, signal
from tests.unit.worker.alert.test_decide import feed
from worker.alert.detectors import Reading, Verdict, View
from worker.alert.detectors.single import judge
from worker.alert.parameters import SingleDetector
from worker.alert.windows import Tally

RULE = """
rules:
  - name: severe
    detector: {type: single, window: 60s, bucket: 1s, threshold: 0.9}
"""
PARAMETERS = detector_of(RULE, SingleDetector)


@pytest.mark.parametrize(
    ("newest", "window", "verdict"),
    [(900_000, 900_000, "breach"), (899_999, 950_000, "hold"), (0, 900_000, "hold"), (0, 899_999, "clear"), (0, 0, "clear")],
)
def test_verdicts(newest: int, window: int, verdict: Verdict) -> None:
    """Severe in the newest bucket, severe earlier in the window, or not at all; an empty window is well."""
    found = judge(PARAMETERS, View(0, Tally(1, worst=window), Tally(1, worst=newest)))
    assert found == Reading(verdict, window / 1_000_000, 0.9)


def test_one_alert_however_many_severe_messages_come() -> None:
    """The window is the rate limit: it begins anew with each severe message, and ends the alert when it has passed."""
    severe = [signal(at_s, negative=0.97) for at_s in (1, 2, 30, 59)]
    mild = [signal(at_s, negative=0.5) for at_s in (60, 90, 118, 119, 120, 121)]
    _, events = feed(rules(RULE), [*severe, *mild])
    assert [(event.state, event.at_ms) for event in events] == [("firing", 2_000), ("resolved", 120_000)]
    assert events[0].evidence.samples[0].message_id == "negative-1"


def test_it_is_over_even_if_nothing_more_is_said_of_the_key() -> None:
    """The watermark moves with the other keys' signals, and the key's timer with it."""
    state, (fired,) = feed(rules(RULE), [signal(1, negative=0.97), signal(2, "positive")])
    _, (resolved,) = feed(rules(RULE), [signal(500, "positive")], state, 2_000)
    assert (resolved.alert_id, resolved.at_ms) == (fired.alert_id, 62_000)
