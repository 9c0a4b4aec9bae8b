from tests.unit.worker.alert.builders import rules
from tests.unit.worker.backtest.builders import TWO_RULES, alert, outcome
from worker.backtest.comparing import compare


def test_alerts_that_meet_in_time_are_the_same_alert() -> None:
    """Of one key and rule; the shift says by how much later the other file fires."""
    this, later = alert(100, 200), alert(130, 300)
    found = compare(outcome(this), outcome(later))
    assert (found.both, found.only_this, found.only_other) == ([(this, later)], [], [])
    assert found.both[0].shift_ms == 30_000
    assert compare(outcome(later), outcome(this)).both[0].shift_ms == -30_000


def test_another_end_is_told_however_alike_the_beginning() -> None:
    """An alert of nine days is not one of seven hours."""
    cases = [(200, 200, True), (None, None, True), (200, 900, False), (200, None, False), (None, 900, False)]
    for this, other, alike in cases:
        (pair,) = compare(outcome(alert(100, this)), outcome(alert(100, other))).both
        assert (pair.shift_ms, pair.is_ended_alike) == (0, alike)


def test_others_stand_alone() -> None:
    """Another key, another rule, another time."""
    this = [alert(100, 200), alert(100, 200, key="topic:film"), alert(500, 600)]
    other = [alert(100, 200, key="entity:globex"), alert(100, 200, key="topic:film", rule="film-only"), alert(601, 700)]
    found = compare(outcome(*this), outcome(*other))
    assert (found.only_this, found.only_other, found.both) == (this, other, [])


def test_each_alert_has_one_partner() -> None:
    """One long alert is paired with the first of two that it covers."""
    long, first, second = alert(100, 900), alert(200, 300), alert(400, 500)
    found = compare(outcome(long), outcome(first, second))
    assert (found.both, found.only_other) == ([(long, first)], [second])


def test_an_open_alert_lasts_to_the_end() -> None:
    """And it meets what comes later."""
    assert len(compare(outcome(alert(100)), outcome(alert(50_000, 50_001))).both) == 1


def test_the_time_of_a_breach_counts() -> None:
    """A longer `for` fires later, of the same breach, although the first alert was over by then."""
    slow = alert(300, 400, started_at_ms=alert(150).fired_at_ms)
    assert len(compare(outcome(alert(160, 200)), outcome(slow)).both) == 1


def test_it_names_the_rules_that_differ() -> None:
    """Added, removed, changed."""
    text = TWO_RULES.replace("film-only", "film").replace("  - name: bad-press\n", "  - name: bad-press\n    for: 1m\n")
    found = compare(outcome(), outcome(rules=rules(text)))
    assert (found.removed, found.added, found.changed) == (["film-only"], ["film"], ["bad-press"])
