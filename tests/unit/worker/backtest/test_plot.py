from pathlib import Path

import pytest

from tests.unit.worker.alert.builders import rules, signal
from worker.alert.backtest import Backtest
from worker.backtest.incidents import Incident
from worker.backtest.plot import Picture, Side, draw
from worker.backtest.trace import Trace
from worker.errors import SelectionError

RULES = """
rules:
  - name: bad-press
    detector: {type: share, window: 50s, bucket: 10s, threshold: 0.5, min_messages: 4}
  - name: fall
    detector: {type: shift, window: 60s, bucket: 5s, warm_up: 5}
  - name: many
    detector: {type: volume, window: 60s, bucket: 20s}
  - name: climb
    detector: {type: share, window: 50s, bucket: 10s, threshold: 0.2, rise: 0.1, min_messages: 4}
"""
KEYS = ("entity:acme", "topic:x")
INCIDENTS = (Incident(alert_key="entity:acme", start_ms=100_000, end_ms=160_000),)


def picture(*names: str) -> Picture:
    """Two keys under as many rule files as named, alerts on one of them, matched or not."""
    trace = Trace(5_000)
    test = Backtest(rules(RULES), 0, trace.look)
    signals = [signal(at, "negative" if 100 <= at < 160 else "positive", alert_key=KEYS[at % 7 == 0]) for at in range(300)]
    for one in signals:
        trace.count(one)
    test.take(0, signals)
    outcome = test.outcome()
    assert outcome.alerts
    sides = [Side(name, outcome, frozenset(map(id, outcome.alerts[:1]))) for name in names]
    return Picture(KEYS, sides, INCIDENTS, trace)


@pytest.mark.parametrize("names", [("rules.yaml",), ("rules.yaml", "other.yaml")])
def test_it_draws_what_is_to_be_seen(names: tuple[str, ...], tmp_path: Path) -> None:
    """As SVG the words can be read: keys, a lane for each rule and file, incidents, what is usual, the false alarm."""
    draw(picture(*names), tmp_path / "out.svg")
    drawn = (tmp_path / "out.svg").read_text()
    lanes = [
        f"<!-- {rule} ({name}) -->" if len(names) > 1 else f"<!-- {rule} -->"
        for rule in ("bad-press", "fall")
        for name in names
    ]
    words = [
        *(f"<!-- {key} -->" for key in KEYS),
        *lanes,
        "<!-- incidents -->",
        "<!-- usual (fall) -->",
        "<!-- usual (many) -->",
        "<!-- usual (climb) -->",
        "<!-- negative -->",
    ]
    assert [word for word in words if word not in drawn] == []
    assert "<!-- usual (bad-press) -->" not in drawn
    assert "<!-- orange: matches no incident -->" in drawn


def test_it_draws_a_png(tmp_path: Path) -> None:
    """By the ending of its name."""
    draw(picture("rules.yaml"), tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["out.nosuch", "nowhere/out.png"])
def test_what_cannot_be_written_is_told(name: str, tmp_path: Path) -> None:
    """An ending that means nothing, a folder that is not there."""
    with pytest.raises(SelectionError, match="cannot be written"):
        draw(picture("rules.yaml"), tmp_path / name)
