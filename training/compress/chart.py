"""The sweep for people: a table that fits a terminal, and one plot of accuracy, latency and size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from rich.table import Table

from training.compress.sweep import Point

_AREA_PER_MB = 6.0
_VERDICTS = {True: "yes", False: "no", None: "own"}


def table(points: Sequence[Point], texts: int) -> Table:
    """Return one row a variant; `flips` and `by batch` are labels, of `texts`, that differ from float32, and by neighbours."""
    shown = Table(title=f"Variants on {texts:,} texts, compared with {points[0].name}", padding=0)
    shown.add_column("variant", no_wrap=True)
    for column in ("macro-F1", "ECE", "flips", "max diff", "by batch", "speed-up", "texts/s", "MB", "gate"):
        shown.add_column(column, justify="right", no_wrap=True)
    for point in points:
        shown.add_row(*_cells(point))
    return shown


def plot(points: Sequence[Point], path: Path) -> None:
    """Draw macro-F1 over speed-up, the area of a point its size in MB; the file's ending says the format."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for point in points:
        own = point.passes is None
        colour, area = "tab:green" if own else "tab:blue", _AREA_PER_MB * point.size_mb + 12
        axes.scatter(point.speedup, point.macro_f1, s=area, alpha=0.6, color=colour)
        axes.annotate(
            f"{point.name}, {point.size_mb:.3g} MB",
            (point.speedup, point.macro_f1),
            textcoords="offset points",
            xytext=(8, 6),
            fontsize=8,
        )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    axes.set_xlabel(f"times as quick as {points[0].name} on this machine")
    axes.set_ylabel("macro-F1 on the test split")
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(path, dpi=144)


def _cells(point: Point) -> tuple[str, ...]:
    return (
        point.name,
        f"{point.macro_f1:.3f}",
        f"{point.ece:.3f}",
        f"{point.label_flips:,}",
        f"{point.max_probability_difference:.1e}",
        f"{point.batch_dependence:,}",
        f"{point.speedup:.2f}",
        f"{point.texts_per_s:,.0f}",
        f"{point.size_mb:.1f}",
        _VERDICTS[point.passes],
    )
