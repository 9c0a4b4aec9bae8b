"""Pictures of a report: whether probabilities mean what they say, and what accuracy costs. The one module that draws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.evaluation.figures import SetFigures
from training.evaluation.report import Report
from training.files import atomic_path

RELIABILITY_FILE, VARIANTS_FILE = "reliability.svg", "variants.svg"
_BLUE, _GREY = "#2c5f8a", "#b8bec6"
_COLUMNS, _INCH = 4, 2.6


def draw(report: Report, folder: Path) -> list[Path]:
    """Write both pictures to `folder` and return their paths."""
    first = next(iter(report.variants.values()))
    pictures = {RELIABILITY_FILE: reliability(first.sets), VARIANTS_FILE: variants(report)}
    for name, figure in pictures.items():
        with atomic_path(folder / name) as unfinished:
            figure.savefig(unfinished, bbox_inches="tight", metadata={"Date": None})
    return [folder / name for name in pictures]


def reliability(sets: Mapping[str, SetFigures]) -> Figure:
    """Return one reliability diagram a set: accuracy over confidence, with the share of texts at each below it."""
    columns = min(_COLUMNS, len(sets))
    rows = math.ceil(len(sets) / columns)
    figure = Figure(figsize=(columns * _INCH, rows * _INCH), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for place, (name, found) in zip(axes.flat, sets.items(), strict=False):
        _diagram(place, name, found)
    for empty in axes.flat[len(sets) :]:
        empty.set_axis_off()
    figure.supxlabel("confidence")
    figure.supylabel("accuracy")
    return figure


def variants(report: Report) -> Figure:
    """Return accuracy at home over speed, each variant a disc whose area is its size."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    for name, measured in report.variants.items():
        home = next(iter(measured.sets.values())).overall
        speed, size = measured.stability.texts_per_s, measured.stability.size_mb
        spread = [[home.macro_f1 - home.macro_f1_ci95.low], [home.macro_f1_ci95.high - home.macro_f1]]
        axes.errorbar([speed], [home.macro_f1], yerr=spread, color=_GREY, linewidth=1)
        axes.scatter([speed], [home.macro_f1], s=20 + 4 * size, color=_BLUE, alpha=0.7)
        label = f"{name}, {size:,.0f} MB" if size else name
        axes.annotate(label, (speed, home.macro_f1), xytext=(6, 6), textcoords="offset points", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("texts a second on this machine")
    axes.set_ylabel("macro-F1 at home")
    axes.margins(0.2)
    return figure


def _diagram(axes: Axes, name: str, found: SetFigures) -> None:
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1)
    points = found.reliability
    whole = max(sum(point.rows for point in points), 1)
    axes.bar([p.confidence for p in points], [p.rows / whole for p in points], width=0.06, color=_GREY, alpha=0.5)
    axes.plot([p.confidence for p in points], [p.accuracy for p in points], marker="o", markersize=3, color=_BLUE)
    error = found.overall.ece
    axes.set_title(name if error is None else f"{name}: ECE {error:.3f}", fontsize=8)
    axes.set_xlim(0.3, 1.0)
    axes.set_ylim(0.0, 1.0)
