import pytest

from worker.backtest.incidents import Incident, parse_incidents
from worker.errors import SettingsError


def test_times_are_rfc_3339_or_epoch_milliseconds() -> None:
    """In order of start, whatever the file's; empty lines mean nothing."""
    body = b"""{"alert_key": "topic:x", "start": 1772359200000, "end": "2026-03-01T11:00:00+01:00", "rule": "r", "name": "n"}

{"alert_key": "entity:a", "start": "1970-01-01T00:00:01Z", "end": "1970-01-01T00:00:01"}
"""
    second = Incident(alert_key="topic:x", start_ms=1_772_359_200_000, end_ms=1_772_359_200_000, rule="r", name="n")
    assert parse_incidents(body, "f") == (Incident(alert_key="entity:a", start_ms=1_000, end_ms=1_000), second)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "truncated"),
        (b"\xff", "malformed|invalid"),
        (b'{"alert_key": "a", "start": 2, "end": 1}', "`end` lies before `start`"),
        (b'{"alert_key": "a", "start": 1}', "`end`"),
        (b'{"alert_key": "", "start": 1, "end": 2}', "alert_key"),
        (b'{"alert_key": "a", "start": 1, "end": 99999999999999999}', "1970 to 9999"),
        (b'{"alert_key": "a", "start": 1, "end": 2, "rul": "x"}', "rul"),
    ],
)
def test_faults_are_named_with_their_line(line: bytes, why: str) -> None:
    """All of them: a label that is read wrong spoils every figure."""
    with pytest.raises(SettingsError, match=rf"(?s)f:2: .*({why}).*\nf:3: "):
        parse_incidents(b'{"alert_key": "a", "start": 1, "end": 2}\n' + line + b"\n[]", "f")
