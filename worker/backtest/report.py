"""A backtest's result as tables for people, or as one JSON object."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from worker.alert.backtest import Alert, Outcome
from worker.alert.late import LateSignals
from worker.backtest.comparing import Comparison, Pair
from worker.backtest.incidents import Incident
from worker.backtest.moments import duration, moment
from worker.backtest.running import Faults, Ran
from worker.backtest.scoring import DAY_MS, Score, Scores

_SHOWN_FAULTS = 5
_NONE = "-"
_MANY_LATE = 0.01


class Side(NamedTuple):
    """One rule file: its name, what it came to, and how that is scored."""

    name: str
    outcome: Outcome
    scores: Scores


class Report(NamedTuple):
    """All there is to tell: the input's name, the run, one side or two, what differs, and whether there were labels."""

    input: str
    ran: Ran
    sides: tuple[Side, ...]
    comparison: Comparison | None
    labelled: bool


class _Row(NamedTuple):
    """A figure: its name, how it is written, and whether it takes labels."""

    name: str
    write: Callable[[Score], str]
    labelled: bool = False


_ROWS = (
    _Row("fired", lambda score: f"{score.fired:,}"),
    _Row("resolved", lambda score: f"{score.resolved:,}"),
    _Row("open", lambda score: f"{score.open:,}"),
    _Row("stale", lambda score: f"{score.silences:,}"),
    _Row("a day", lambda score: _number(score.alerts_per_day)),
    _Row("precision", lambda score: _share(score.precision, score.matched, score.fired), labelled=True),
    _Row("recall", lambda score: _share(score.recall, score.detected, score.incidents), labelled=True),
    _Row("delay median", lambda score: _span(score.delay_median_ms), labelled=True),
    _Row("90 %", lambda score: _span(score.delay_p90_ms), labelled=True),
    _Row("false/key/day", lambda score: _number(score.false_per_key_day), labelled=True),
)


def show(report: Report, console: Console, limit: int) -> None:
    """Print it; of each list of alerts or incidents the first `limit`."""
    this = report.sides[0]
    for line in _heading(report):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(_score_table(report))
    if report.comparison is not None:
        _show_comparison(report, report.comparison, console, limit)
    else:
        alerts = this.outcome.alerts
        false = set(map(id, this.scores.false_alarms)) if report.labelled else None
        _listed(console, "alerts", [_alert_line(alert, false) for alert in alerts], limit)
    _listed(console, "missed incidents", [_incident_line(one) for one in this.scores.missed], limit)


def as_json(report: Report) -> dict[str, Any]:
    """Return it as plain values: times in epoch milliseconds, durations in milliseconds."""
    this, faults = report.sides[0], report.ran.faults
    found: dict[str, Any] = {
        "input": report.input,
        "interrupted": report.ran.interrupted,
        "signals": this.outcome.signals,
        "keys": len(this.outcome.keys),
        "first_ms": this.outcome.first_ms,
        "last_ms": this.outcome.last_ms,
        "bad": {"count": faults.count, "first": [fault._asdict() for fault in faults.named]},
        **_side(this, labelled=report.labelled),
    }
    if report.comparison is not None:
        found["other"] = _side(report.sides[1], labelled=report.labelled)
        found["comparison"] = _compared(report.comparison)
    return found


def _side(side: Side, *, labelled: bool) -> dict[str, Any]:
    scores, outcome = side.scores, side.outcome
    found: dict[str, Any] = {
        "rules": side.name,
        "late": _late_figures(outcome.late),
        "score": msgspec.to_builtins(scores.total),
        "by_rule": msgspec.to_builtins(scores.rules),
        "alerts": [_alert(alert) for alert in outcome.alerts],
    }
    if labelled:
        false = set(map(id, scores.false_alarms))
        for alert, told in zip(outcome.alerts, found["alerts"], strict=True):
            told["matched"] = id(alert) not in false
        found["missed"] = msgspec.to_builtins(scores.missed)
        found["outside"] = len(scores.outside)
    return found


def _compared(comparison: Comparison) -> dict[str, Any]:
    return {
        "rules": {"removed": comparison.removed, "added": comparison.added, "changed": comparison.changed},
        "only_this": [alert.fired.alert_id for alert in comparison.only_this],
        "only_other": [alert.fired.alert_id for alert in comparison.only_other],
        "both": [
            {
                "this": pair.this.fired.alert_id,
                "other": pair.other.fired.alert_id,
                "shift_ms": pair.shift_ms,
                "resolved_at_ms": {"this": pair.this.resolved_at_ms, "other": pair.other.resolved_at_ms},
            }
            for pair in comparison.both
        ],
    }


def _alert(alert: Alert) -> dict[str, Any]:
    fired = alert.fired
    return {
        "alert_id": fired.alert_id,
        "alert_key": fired.alert_key,
        "rule": fired.rule,
        "severity": fired.severity,
        "started_at_ms": fired.started_at_ms,
        "fired_at_ms": fired.at_ms,
        "resolved_at_ms": alert.resolved_at_ms,
        "silences": alert.silences,
        "evidence": msgspec.to_builtins(fired.evidence),
    }


def _heading(report: Report) -> Iterable[str]:
    outcome, ran = report.sides[0].outcome, report.ran
    if ran.interrupted:
        yield "[yellow]broken off: this is what was found so far[/yellow]"
    told = f"{escape(report.input)}: {outcome.signals:,} signals on {_many(len(outcome.keys), 'key')}"
    if outcome.first_ms is not None and outcome.last_ms is not None:
        span_ms = outcome.last_ms - outcome.first_ms
        told += f", {moment(outcome.first_ms)} to {moment(outcome.last_ms)} ({span_ms / DAY_MS:.1f} days)"
    yield told
    yield from _bad(ran.faults)
    for side in report.sides:
        yield from _late(side)
    if outside := report.sides[0].scores.outside:
        yield f"[yellow]{_many(len(outside), 'incident')} outside the input left out[/yellow]"


def _bad(faults: Faults) -> Iterable[str]:
    if not faults.count:
        return
    yield f"[red]{faults.count:,} could not be read:[/red]"
    for fault in faults.named[:_SHOWN_FAULTS]:
        yield f"  {escape(fault.place)}: {escape(fault.reason)}"
    if faults.count > _SHOWN_FAULTS:
        yield f"  and {faults.count - _SHOWN_FAULTS:,} more; --json names the first {len(faults.named)}"


def _late(side: Side) -> Iterable[str]:
    late = side.outcome.late
    if not late.signals:
        return
    by_rule = ", ".join(f"{rule} {count:,}" for rule, count in sorted(late.rules.items()))
    told = f"{late.signals:,} signals came too late for {escape(side.name)}: {by_rule}"
    behind = [duration(ms) for ms in (late.total_ms // late.signals, late.behind_ms)]
    told += f"; behind the newest by {behind[0]} on average, by {behind[1]} at most"
    if late.signals > _MANY_LATE * side.outcome.signals:
        told += "; sort the input by event time, or raise --allowed-lateness"
    yield f"[yellow]{told}[/yellow]"


def _late_figures(late: LateSignals) -> dict[str, Any]:
    mean_ms = late.total_ms // late.signals if late.signals else 0
    return {"signals": late.signals, "rules": dict(late.rules), "mean_behind_ms": mean_ms, "most_behind_ms": late.behind_ms}


def _score_table(report: Report) -> Table:
    """Lay out a row for each rule and side, and one for all rules of a side."""
    rows = [row for row in _ROWS if report.labelled or not row.labelled]
    table = Table("rule", *(["file"] if report.comparison else []))
    for row in rows:
        table.add_column(row.name, justify="right")
    for name in dict.fromkeys(name for side in report.sides for name in side.scores.rules):
        for side in report.sides:
            if name in side.scores.rules:
                _add_row(table, (name, side.name), side.scores.rules[name], rows)
    table.add_section()
    for side in report.sides:
        _add_row(table, ("all", side.name), side.scores.total, rows)
    return table


def _add_row(table: Table, names: tuple[str, str], score: Score, rows: list[_Row]) -> None:
    shown = names if len(table.columns) > len(rows) + 1 else names[:1]
    table.add_row(*map(escape, shown), *[row.write(score) for row in rows])


def _show_comparison(report: Report, comparison: Comparison, console: Console, limit: int) -> None:
    this, other = report.sides
    for what, names in (("added", comparison.added), ("removed", comparison.removed), ("changed", comparison.changed)):
        if names:
            console.print(f"rules {what} in {other.name}: {', '.join(names)}", highlight=False, markup=False)
    moved = [pair for pair in comparison.both if pair.shift_ms]
    ended = [pair for pair in comparison.both if not pair.is_ended_alike]
    told = f"{len(moved):,} of them at another time, {len(ended):,} with another end"
    console.print(f"{_many(len(comparison.both), 'alert')} in both, {told}", highlight=False)
    for side, alerts in ((this, comparison.only_this), (other, comparison.only_other)):
        false = set(map(id, side.scores.false_alarms)) if report.labelled else None
        _listed(console, f"only with {side.name}", [_alert_line(alert, false) for alert in alerts], limit)
    _listed(console, f"at another time with {other.name}", [_pair_line(pair) for pair in moved], limit)
    _listed(console, f"with another end with {other.name}", [_end_line(pair) for pair in ended], limit)


def _listed(console: Console, title: str, lines: list[str], limit: int) -> None:
    if lines:
        console.print(f"\n{title}: {len(lines):,}", highlight=False, markup=False)
    for line in lines[:limit]:
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    if len(lines) > limit:
        console.print(f"  and {len(lines) - limit:,} more; --limit shows them, --json all", highlight=False)


def _alert_line(alert: Alert, false: set[int] | None) -> str:
    evidence = alert.fired.evidence
    ended = "open" if alert.resolved_at_ms is None else f"for {duration(alert.resolved_at_ms - alert.fired_at_ms)}"
    seen = f"{evidence.negatives} of {evidence.messages} negative, {evidence.statistic:.3g} over {evidence.threshold:.3g}"
    mark = "" if false is None else ", false alarm" if id(alert) in false else ", matched"
    return f"{moment(alert.fired_at_ms)}  {alert.alert_key}  {alert.rule}  {ended}{mark}  ({seen})"


def _incident_line(incident: Incident) -> str:
    name = f"  {incident.name}" if incident.name else ""
    rule = f"  {incident.rule}" if incident.rule else ""
    return f"{moment(incident.start_ms)}  {incident.alert_key}{rule}  for {duration(incident.end_ms - incident.start_ms)}{name}"


def _pair_line(pair: Pair) -> str:
    return f"{_pair_name(pair)}  {_apart(pair.shift_ms)}"


def _end_line(pair: Pair) -> str:
    this_ms, other_ms = pair.this.resolved_at_ms, pair.other.resolved_at_ms
    if other_ms is None:
        return f"{_pair_name(pair)}  does not end"
    return f"{_pair_name(pair)}  " + ("ends" if this_ms is None else _apart(other_ms - this_ms))


def _pair_name(pair: Pair) -> str:
    return f"{moment(pair.this.fired_at_ms)}  {pair.this.alert_key}  {pair.this.rule}"


def _apart(ms: int) -> str:
    return f"{duration(abs(ms))} {'later' if ms > 0 else 'earlier'}"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:,.3g}" if value < 100 else f"{value:,.0f}"


def _share(value: float | None, part: int | None, whole: int | None) -> str:
    return f"{_NONE if value is None else f'{value:.3f}'} ({part} of {whole})"


def _span(value: float | None) -> str:
    return _NONE if value is None else duration(value)
