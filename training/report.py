"""An evaluation on a terminal: one table of sources, one of labels."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from training.data import LABELS
from training.evaluate import Comparison, Evaluation
from training.metrics import ClassScores, Interval


def show(evaluation: Evaluation, console: Console) -> None:
    """Print the evaluation's figures."""
    console.print(sources_table(evaluation))
    console.print(labels_table(evaluation.overall))


def sources_table(evaluation: Evaluation) -> Table:
    """Return macro-F1 with its interval below it, VADER's and the lead, overall and per source; it fits 80 columns."""
    table = Table(title=f"{evaluation.model} on {evaluation.data}: macro-F1 with 95 % intervals", show_lines=True, padding=0)
    table.add_column("source", no_wrap=True)
    for column in ("rows", "macro-F1", "VADER", "lead", "accuracy", "ECE"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, part in evaluation.parts.items():
        table.add_row(name, *_cells(part))
    return table


def labels_table(part: Comparison) -> Table:
    """Return precision, recall, F1 and the confusion matrix, one row a true label."""
    table = Table(title="By label, over all texts", padding=0)
    table.add_column("label")
    for column in ("precision", "recall", "F1", "rows", *(f"said\n{label}" for label in LABELS)):
        table.add_column(column, justify="right")
    for label, said in zip(LABELS, part.model.confusion, strict=True):
        table.add_row(label, *_scores(part.model.per_class, label), *(f"{count:,}" for count in said))
    return table


def _cells(part: Comparison) -> tuple[str, ...]:
    ece = "" if part.model.ece is None else f"{part.model.ece:.3f}"
    return (
        f"{part.rows:,}",
        _with_interval(part.model.macro_f1, part.model.macro_f1_ci95),
        _with_interval(part.vader.macro_f1, part.vader.macro_f1_ci95),
        _with_interval(part.lead, part.lead_ci95),
        f"{part.model.accuracy:.3f}",
        ece,
    )


def _scores(scores: Mapping[str, ClassScores], label: str) -> tuple[str, ...]:
    of = scores[label]
    return f"{of.precision:.3f}", f"{of.recall:.3f}", f"{of.f1:.3f}", f"{of.support:,}"


def _with_interval(value: float, ci95: Interval) -> str:
    return f"{value:.3f}\n{ci95.low:.3f}..{ci95.high:.3f}"
