"""A task's figures on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from training.metrics import Interval
from training.tasks.counts import TaskFigures


def show(found: TaskFigures, title: str, console: Console) -> None:
    """Print the figures of each label, and those over all below them."""
    table = Table(title=title)
    table.add_column("label")
    for column in ("precision", "recall", "F1", "there"):
        table.add_column(column, justify="right")
    for label, one in found.per_label.items():
        table.add_row(label, f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}", f"{one.support:,}")
    console.print(table)
    console.print(
        f"micro-F1 {_with_interval(found.micro_f1, found.micro_f1_ci95)}, "
        f"macro-F1 {_with_interval(found.macro_f1, found.macro_f1_ci95)}, "
        f"{found.exact:.1%} of {found.rows:,} texts without a fault"
    )


def _with_interval(value: float, ci95: Interval) -> str:
    return f"{value:.3f} ({ci95.low:.3f}..{ci95.high:.3f})"
