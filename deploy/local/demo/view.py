"""The live view of a run for a terminal, drawn with rich from a `Stage`. Nothing here keeps state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.local.demo.alerts import SeenAlert
from deploy.local.demo.board import Tally
from deploy.local.demo.stage import PartLine, Stage

WIDTH = 110
TALL = 44
_BARS = "▁▂▃▄▅▆▇█"
_BAD_SHARE = 0.5
_UNEASY_SHARE = 0.4
_FEW = 10
_EVENTS_SHOWN = 2
_SAMPLES_SHOWN = 3
_LETTERS_SHOWN = 7
_ORDER_NOTE = "The texts and their ratings are people's; the order, and with it the time, is arranged."


def render(stage: Stage, height: int = TALL) -> RenderableType:
    """Return the whole view; a terminal of fewer than TALL lines sees less of each alert."""
    return Group(_head(stage), _figures(stage), _keys(stage), _alerts(stage, tall=height >= TALL), _foot(stage))


def _head(stage: Stage) -> RenderableType:
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(ratio=1)
    bar.add_column(justify="right")
    bar.add_row(ProgressBar(total=stage.total, completed=stage.sent), f"{stage.sent:,} of {stage.total:,} sent")
    title = Text.assemble(("Tidings", "bold"), "  text in on Kafka, predictions out, an alert when a topic turns bad")
    return Panel(Group(bar, Text(_words(stage), style="cyan")), title=title, title_align="left", width=WIDTH, box=box.ROUNDED)


def _words(stage: Stage) -> str:
    return stage.words if stage.held_back_s < 1 else f"{stage.words}  (waited {stage.held_back_s:.0f} s for the worker)"


def _figures(stage: Stage) -> RenderableType:
    ledger = stage.ledger
    lost = ("waiting for", len(ledger.lost)) if stage.sent < stage.total else ("lost", len(ledger.lost))
    cells = [
        ("messages/s", f"{stage.board.rate_per_s(stage.now_s):.0f}"),
        ("latency p50", _ms(ledger.recent_latency_ms(50))),
        ("latency p99", _ms(ledger.recent_latency_ms(99))),
        ("predictions", f"{ledger.predictions:,}"),
        (lost[0], str(lost[1])),
        ("doubled", str(ledger.duplicates + stage.alerts.duplicates)),
        ("dead letters", f"{ledger.dead_letters} of {ledger.malformed}"),
    ]
    table = Table.grid(expand=True, padding=(0, 1))
    for _ in cells:
        table.add_column(justify="center", ratio=1)
    table.add_row(*(Text(value, style="bold") for _, value in cells))
    table.add_row(*(Text(name, style="dim") for name, _ in cells))
    return Panel(table, width=WIDTH, box=box.ROUNDED)


def _ms(milliseconds: float) -> str:
    return "-" if math.isnan(milliseconds) else f"{milliseconds:,.0f} ms"


def _keys(stage: Stage) -> RenderableType:
    table = Table(box=None, expand=True, padding=(0, 1), header_style="dim")
    minutes = len(next(iter(stage.board.series.values())).tallies)
    table.add_column("watched")
    table.add_column("messages", justify="right")
    table.add_column("negative, last 5 min", justify="right")
    table.add_column(f"the same over {minutes} min of event time", no_wrap=True)
    table.add_column("alert")
    for key, series in stage.board.series.items():
        state = Text("FIRING", style="bold red") if stage.firing(key) else Text("ok", style="green")
        share = _share(series.recent(stage.board.minute))
        past = [series.recent(minute) for minute in range(stage.board.minute + 1)]
        table.add_row(key, str(series.all.messages), share, spark(past), state)
    return Panel(table, title="sentiment", title_align="left", width=WIDTH, box=box.ROUNDED)


def _share(tally: Tally) -> Text:
    return Text("-", style="dim") if tally.share is None else Text(f"{tally.share:.0%}", style=_style(tally))


def _style(tally: Tally) -> str:
    """A colour, or grey where there are too few messages to say anything."""
    if tally.messages < _FEW:
        return "dim"
    if tally.negatives >= _BAD_SHARE * tally.messages:
        return "red"
    return "yellow" if tally.negatives >= _UNEASY_SHARE * tally.messages else "green"


def spark(tallies: Iterable[Tally]) -> Text:
    """Return one bar for each tally: its height is the negative share, a dot stands for no messages."""
    text = Text()
    for tally in tallies:
        if tally.share is None:
            text.append("·", style="dim")
        else:
            text.append(_BARS[min(int(tally.share * len(_BARS)), len(_BARS) - 1)], style=_style(tally))
    return text


def _alerts(stage: Stage, *, tall: bool) -> RenderableType:
    shown = stage.alerts.events[-_EVENTS_SHOWN if tall else -1 :]
    lines: list[RenderableType] = [line for event in shown for line in _event(event)]
    body = Group(*lines) if lines else Text("none yet", style="dim")
    return Panel(body, title="alerts, from sentiment.alerts", title_align="left", width=WIDTH, box=box.ROUNDED)


def _event(event: SeenAlert) -> list[RenderableType]:
    style = "bold red" if event.state == "firing" else "bold green"
    head = Text.assemble((event.state.upper(), style), f"  {event.key}  ", (f"{event.rule}, {event.severity}", "dim"))
    return [head, Text("  " + figures_of(event)), *(_sample(sample) for sample in event.evidence["samples"][:_SAMPLES_SHOWN])]


def figures_of(event: SeenAlert) -> str:
    """Return the evidence's figures in one line: the window, the share, the statistic and what it was held to."""
    evidence = event.evidence
    window = f"{_clock(evidence['window_start_ms'])} to {_clock(evidence['window_end_ms'])} UTC"
    share = f"{evidence['negatives']} of {evidence['messages']} negative ({evidence['negative_share']:.0%})"
    sign = "≥" if evidence["statistic"] >= evidence["threshold"] else "<"
    bound = f"lower bound {evidence['statistic']:.2f} {sign} {evidence['threshold']:.2f}"
    return f"{window}  {share}, {bound}  ({event.reason.replace('_', ' ')})"


def _clock(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%H:%M:%S")


def _sample(sample: Mapping[str, Any]) -> Text:
    text = Text(f"    {sample['score']:+.2f}  “{' '.join(sample['excerpt'].split())}”", style="italic", no_wrap=True)
    text.truncate(WIDTH - 4, overflow="ellipsis")
    return text


def _foot(stage: Stage) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 2))
    table.add_column(ratio=6)
    table.add_column(ratio=5)
    letters = map(Text, stage.letters[-_LETTERS_SHOWN:])
    table.add_row(Group(*map(_part, stage.parts)), Group(Text("dead letters, and the worker's reason", style="dim"), *letters))
    return Panel(table, subtitle=_ORDER_NOTE, subtitle_align="left", width=WIDTH, box=box.ROUNDED)


def _part(part: PartLine) -> Text:
    caveat = ("  stand-in", "yellow") if part.note else ""
    return Text.assemble((f"{part.name:<7} ", "dim"), part.software, caveat)
