import pytest

from tests.unit.worker.backtest.builders import alert, incident, outcome
from worker.alert.backtest import Alert
from worker.backtest.incidents import Incident
from worker.backtest.scoring import Labels, Score, matches, score

GRACE_MS = 60_000


@pytest.mark.parametrize(
    ("one", "is_match"),
    [
        (alert(100), True),
        (alert(200), True),
        (alert(260), True),
        (alert(99.999), False),
        (alert(260.001), False),
        (alert(50, until_s=150), False),
        (alert(150, key="entity:globex"), False),
        (alert(150, rule="film-only"), True),
    ],
)
def test_an_alert_matches_if_it_fires_within_the_incident_or_its_grace(one: Alert, is_match: bool) -> None:
    """From the start to the end and the grace, both included; one that was firing before does not count."""
    assert matches(one, incident(100, 200), GRACE_MS) is is_match


def test_an_incident_may_name_its_rule() -> None:
    """Then no other rule's alert is for it."""
    named = incident(100, 200, rule="bad-press")
    assert matches(alert(150), named, 0)
    assert not matches(alert(150, rule="film-only"), named, 0)


def scored(alerts: list[Alert], incidents: list[Incident], days: float = 1) -> Score:
    """The score of all rules, with a minute's grace."""
    return score(outcome(*alerts, days=days), Labels(tuple(incidents), GRACE_MS)).total


def test_precision_is_of_alerts_and_recall_of_incidents() -> None:
    """Two alerts for one incident are both right; one incident is detected, another missed; a third alert is false."""
    found = scored([alert(110, 120), alert(150, 160), alert(5_000)], [incident(100, 200), incident(900, 950)])
    assert (found.fired, found.resolved, found.open) == (3, 2, 1)
    assert (found.matched, found.precision) == (2, 2 / 3)
    assert (found.incidents, found.detected, found.recall) == (2, 1, 0.5)


def test_one_alert_may_detect_several_incidents() -> None:
    """It counts once for precision, and for each of them for recall."""
    found = scored([alert(150)], [incident(100, 200), incident(140, 300)])
    assert (found.matched, found.precision, found.detected, found.recall) == (1, 1.0, 2, 1.0)


def test_delay_is_from_the_start_to_the_first_firing_that_matches() -> None:
    """Median and 90th percentile by nearest rank, over the incidents detected."""
    starts = range(0, 10_000, 1_000)
    alerts = [alert(start + 10 * (number + 1)) for number, start in enumerate(starts)]
    found = scored([*alerts, alert(90)], [incident(start, start + 500) for start in starts] + [incident(50_000, 50_001)])
    assert (found.delay_median_ms, found.delay_p90_ms) == (55_000, 90_000)
    assert scored([], [incident(0, 1)]).delay_median_ms is None


def test_rates_are_per_day_of_event_time_and_key() -> None:
    """Three false alarms on four keys in half a day: six alerts a day, 1.5 a key and day."""
    found = scored([alert(1), alert(2), alert(3)], [], days=0.5)
    assert (found.alerts_per_day, found.false_per_key_day) == (6, 1.5)
    assert (found.precision, found.recall) == (0, None)


def test_a_rule_is_held_to_the_incidents_that_it_could_see() -> None:
    """`film-only` covers one key of four: only incidents there are its own, and only that key is counted."""
    film, acme = incident(100, 200, key="topic:film"), incident(100, 200)
    named = incident(1_000, 1_100, key="topic:film", rule="bad-press")
    alerts = [alert(110, key="topic:film", rule="film-only"), alert(5_000, key="topic:film", rule="film-only"), alert(120)]
    found = score(outcome(*alerts), Labels((film, acme, named)))
    own, other = found.rules["film-only"], found.rules["bad-press"]
    assert (own.fired, own.matched, own.incidents, own.recall, own.false_per_key_day) == (2, 1, 1, 1.0, 1.0)
    assert (other.fired, other.matched, other.incidents, other.detected) == (1, 1, 3, 1)
    assert (found.total.fired, found.total.incidents, found.total.detected) == (3, 3, 2)
    assert found.false_alarms == (alerts[1],)
    assert found.missed == (named,)


def test_incidents_outside_the_input_are_left_out() -> None:
    """What the input does not reach can be neither found nor missed; to touch it is enough."""
    before, after = incident(-500, -61), incident(86_401, 90_000)
    edge, late = incident(-500, -60), incident(86_400, 90_000)
    found = score(outcome(), Labels((before, edge, late, after), GRACE_MS))
    assert (found.outside, found.missed, found.total.incidents) == ((before, after), (edge, late), 2)


def test_without_labels_nothing_is_claimed() -> None:
    """Only what can be counted."""
    found = score(outcome(alert(1)), None)
    assert (found.total.fired, found.total.alerts_per_day) == (1, 1)
    assert (found.total.precision, found.total.recall, found.total.false_per_key_day, found.false_alarms) == (
        None,
        None,
        None,
        (),
    )


def test_no_signals_give_no_rates() -> None:
    """A figure that would divide by nothing is None."""
    found = score(outcome(signals=0, keys={}, first_ms=None, last_ms=None), Labels((incident(0, 1),)))
    assert (found.total.alerts_per_day, found.total.false_per_key_day, found.total.recall) == (None, None, None)
    assert len(found.outside) == 1
