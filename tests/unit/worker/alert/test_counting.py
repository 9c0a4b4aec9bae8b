from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from tests.unit.worker.alert.builders import event
from worker.alert.counting import AlertCounts
from worker.alert.late import LateSignals
from worker.alert.partition import Effects
from worker.messages import AlertEvent
from worker.ports import StoredEvent


def effects(*events: AlertEvent, **fields: Any) -> Effects:
    """What a run did that brought these events."""
    stored = tuple(StoredEvent(7, number, one) for number, one in enumerate(events))
    return Effects(8, 0, {}, {}, stored, fields.pop("late", LateSignals()), **fields)


def test_signals_and_what_was_late_add_up() -> None:
    """Over all runs; how far behind in seconds, all together."""
    counts = AlertCounts()
    counts.take(3, effects(late=LateSignals(2, behind_ms=900, total_ms=1_500)))
    counts.take(4, effects(late=LateSignals(1, behind_ms=500, total_ms=500), not_open=2))
    counts.take(0, effects(not_open=1))
    assert counts == AlertCounts(signals=7, late=3, late_s=2.0, not_open=3)


@pytest.mark.parametrize(
    ("change", "counter"),
    [
        *(("firing", "fired"), ("stale", "stale"), ("resolved", "resolved"), ("acknowledged", "acknowledged")),
        *(("suppressed", "suppressed"), ("unsuppressed", "unsuppressed")),
    ],
)
def test_each_change_of_an_alert_has_a_counter_and_a_word(change: Any, counter: str) -> None:
    """Named in the log by the same word as in the metrics."""
    counts = AlertCounts()
    with capture_logs() as lines:
        counts.take(0, effects(event(change=change), event(change=change)))
    assert counts == AlertCounts(**{counter: 2})
    assert [line["event"] for line in lines] == [f"alert {counter}"] * 2


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        ({"change": "firing"}, "warning"),
        ({"change": "stale"}, "warning"),
        ({"change": "resolved", "state": "resolved"}, "info"),
        ({"change": "acknowledged"}, "info"),
        ({"change": "firing", "suppressed_by": ("silence:s",)}, "info"),
        ({"state": "firing"}, "warning"),
        ({"state": "resolved"}, "info"),
    ],
)
def test_what_wants_somebody_is_said_louder(fields: dict[str, Any], level: str) -> None:
    """A firing or stale alert that nobody asked to keep quiet; where the change is not told, the state tells it."""
    with capture_logs() as lines:
        AlertCounts().take(0, effects(event(**fields)))
    assert [line["log_level"] for line in lines] == [level]


def test_a_line_says_what_happened_to_whom() -> None:
    """Under names to search for; a share to three places."""
    evidence = replace(event().evidence, messages=3, negatives=2, negative_share=2 / 3)
    with capture_logs() as lines:
        AlertCounts().take(0, effects(event(suppressed_by=("silence:s",), change="suppressed", evidence=evidence)))
    assert lines == [
        {
            "event": "alert suppressed",
            "log_level": "info",
            "severity": "warning",
            "suppressed_by": ["silence:s"],
            "rule": "bad-press",
            "key": "entity:acme",
            "alert_id": "a60000",
            "reason": "threshold_passed",
            "share": 0.667,
            "messages": 3,
        }
    ]


def test_events_that_were_told_before_are_not_told_again() -> None:
    """Those on record already are only put back."""
    counts = AlertCounts()
    with capture_logs() as lines:
        counts.take(0, effects(event(1), event(2), event(3, change="resolved"), restored=2))
    assert (counts.fired, counts.resolved) == (0, 1)
    assert [line["alert_id"] for line in lines] == ["a3"]


def test_an_acknowledgement_of_nothing_is_said() -> None:
    """With how many there were; none is no line."""
    with capture_logs() as lines:
        AlertCounts().take(1, effects(not_open=2))
        AlertCounts().take(1, effects())
    assert lines == [{"event": "acknowledgement of an alert that is not open", "count": 2, "log_level": "warning"}]
