"""Which keys are drawn, and the second pass over the input that it takes: the first need not keep what it saw of every key."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from worker.backtest import running
from worker.backtest.incidents import Incident
from worker.backtest.inputs import EXTRA, Input
from worker.backtest.report import Report
from worker.backtest.running import Plan
from worker.backtest.trace import Trace, bin_width
from worker.errors import SelectionError, SettingsError


class Drawing(NamedTuple):
    """Where to draw, which keys (none: the most eventful), and how many of them at most."""

    path: Path
    keys: Sequence[str] = ()
    max_keys: int = 6


def require_matplotlib() -> None:
    """Find out before the work rather than after it.

    Raises:
        SettingsError: matplotlib is not there.
    """
    try:
        import worker.backtest.plot  # noqa: F401, PLC0415 - of an extra, and slow to load
    except ImportError as error:
        raise SettingsError(f"--plot takes matplotlib: {EXTRA}") from error


def draw(source: Input, plan: Plan, report: Report, incidents: Sequence[Incident], drawing: Drawing) -> None:
    """Draw what the report tells of.

    Raises:
        SelectionError: there is nothing to draw, or it cannot be written.
    """
    from worker.backtest import plot  # noqa: PLC0415 - of an extra, and slow to load

    keys = eventful(report, incidents, drawing)
    if not keys:
        raise SelectionError(f"{drawing.path}: nothing to draw, the input has no signals")
    outcome = report.sides[0].outcome
    trace = Trace(bin_width(outcome))
    running.trace(source, plan, frozenset(keys), trace)
    sides = [plot.Side(side.name, side.outcome, frozenset(map(id, side.scores.false_alarms))) for side in report.sides]
    plot.draw(plot.Picture(keys, sides, incidents, trace), drawing.path)


def eventful(report: Report, incidents: Sequence[Incident], drawing: Drawing) -> list[str]:
    """Return the keys to draw: those asked for; else those with most alerts and incidents, then with most signals.

    Raises:
        SelectionError: a key that was asked for has no signals.
    """
    signals = report.sides[0].outcome.keys
    if missing := [key for key in drawing.keys if key not in signals]:
        raise SelectionError(f"--keys {', '.join(missing)}: the input has no signals on that")
    events = Counter(alert.alert_key for side in report.sides for alert in side.outcome.alerts)
    events.update(incident.alert_key for incident in incidents)
    ranked = sorted(signals, key=lambda key: (-events[key], -signals[key], key))
    return list(dict.fromkeys(drawing.keys)) or ranked[: drawing.max_keys]
