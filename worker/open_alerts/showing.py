"""What a person or a program sees of alerts and silences. Nothing in them can steer the terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worker.dead_letters.filters import escaped
from worker.messages import AlertEvent, Silence

_COLOURS = {"firing": "red bold", "stale": "yellow", "resolved": "green", "acknowledged": "cyan"}


def as_json(value: AlertEvent | Silence) -> str:
    """Return one line."""
    return msgspec.json.encode(value).decode()


def alerts_table(events: Sequence[AlertEvent]) -> Table:
    """Return one row for each open alert."""
    table = _table("id", "state", "began (UTC)", "severity", "key", "rule", "quiet by", "acknowledged by")
    for event in events:
        acknowledged = event.acknowledgement.author if event.acknowledgement else ""
        cells = (event.severity, event.alert_key, event.rule, ", ".join(event.suppressed_by), acknowledged)
        table.add_row(_plain(event.alert_id), _coloured(event.state), _plain(moment(event.started_at_ms)), *map(_plain, cells))
    return table


def history_table(events: Sequence[AlertEvent]) -> Table:
    """Return one row for each event."""
    table = _table("at (UTC)", "change", "reason", "key", "rule", "alert", "quiet by")
    for event in events:
        cells = (event.reason, event.alert_key, event.rule, event.alert_id, ", ".join(event.suppressed_by))
        table.add_row(_plain(moment(event.at_ms)), _coloured(event.change or event.state), *map(_plain, cells))
    return table


def silences_table(silences: Sequence[Silence]) -> Table:
    """Return one row for each silence."""
    table = _table("id", "from (UTC)", "until (UTC)", "matchers", "author", "comment")
    for silence in silences:
        begins = moment(silence.starts_at_ms) if silence.starts_at_ms else "at once"
        cells = (silence.id, begins, moment(silence.ends_at_ms), ", ".join(silence.matchers), silence.author, silence.comment)
        table.add_row(*map(_plain, cells))
    return table


def whole(event: AlertEvent, history: Sequence[AlertEvent]) -> RenderableType:
    """Return everything about an alert: where it stands, why, the messages that weighed most, what has become of it so far."""
    parts: list[RenderableType] = [_grid(_facts(event)), Text("")]
    if event.evidence.samples:
        parts += [Text("messages that weighed most", "bold"), *(_sample(sample) for sample in event.evidence.samples), Text("")]
    return Group(*parts, Text("history", "bold"), history_table(history))


def moment(at_ms: int) -> str:
    """Return a time in words, UTC."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _facts(event: AlertEvent) -> dict[str, str]:
    evidence, taken = event.evidence, event.acknowledgement
    baseline = f", usual {evidence.baseline:.3f}" if evidence.baseline is not None else ""
    facts = {
        "alert": event.alert_id,
        "state": f"{event.state} ({event.reason})",
        "key": event.alert_key,
        "rule": f"{event.rule} ({event.severity}), version {event.rule_version}",
        "labels": ", ".join(f"{name}={value}" for name, value in sorted(event.labels.items())),
        "began": f"{moment(event.started_at_ms)} UTC",
        "last change": f"{moment(event.at_ms)} UTC",
        "window": f"{moment(evidence.window_start_ms)} to {moment(evidence.window_end_ms)} UTC",
        "evidence": f"{evidence.negatives} of {evidence.messages} negative; {evidence.detector} {evidence.statistic:.3f}"
        f" against {evidence.threshold:.3f}{baseline}",
        "quiet by": ", ".join(event.suppressed_by),
        "acknowledged": f"by {taken.author} at {moment(taken.at_ms)} UTC: {taken.comment}" if taken else "",
        "link": event.link or "",
    }
    return {name: fact for name, fact in facts.items() if fact}


def _sample(sample: Any) -> Text:
    where = f"{sample.origin.topic}-{sample.origin.partition}-{sample.origin.offset}"
    similar = "" if sample.similarity is None else f"  similar by {sample.similarity:.2f}"
    return Text(f"  {sample.score:+.3f}{similar}  {escaped(where)}  {escaped(sample.excerpt)}", "dim")


def _grid(facts: dict[str, str]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for name, fact in facts.items():
        grid.add_row(Text(name, "bold"), _plain(fact))
    return grid


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _plain(text: str) -> Text:
    return Text(escaped(text))


def _coloured(word: str) -> Text:
    return Text(word, _COLOURS.get(word, "dim"))
