"""A picture of each series: counts, what was usual, alerts, labelled windows."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.benchmarks.nab.data import Series
from tests.benchmarks.nab.detecting import Look
from tests.benchmarks.nab.scoring import probation

mpl.use("Agg")
_DAY_MS = 86_400_000
"""What matplotlib counts dates in."""


def draw(series: Series, looks: Sequence[Look], folder: Path) -> Path:
    """Write `nab-<series>.png`: windows red, probation grey, alerts as triangles, green in a window, black outside."""
    figure = Figure(figsize=(16, 6), layout="constrained")
    counts, rarity = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    times = [start / _DAY_MS for start in series.starts_ms]
    counts.plot(times, series.counts, color="0.6", linewidth=0.4, label="messages in 5 minutes")
    counts.plot(times, [found.reading.figures.observed for found in looks], color="C0", linewidth=0.6, label="smoothed")
    counts.plot(times, [found.reading.figures.expected for found in looks], color="C1", linewidth=0.8, label="usual")
    _alerts(counts, series, looks, times)
    counts.set_yscale("symlog", linthresh=1)
    counts.legend(loc="upper right")
    counts.set_title(series.name)
    rarity.plot(times, [found.reading.statistic for found in looks], linewidth=0.5)
    rarity.axhline(looks[0].reading.threshold, color="black", linewidth=0.8)
    rarity.xaxis_date()
    rarity.set_ylabel("log10 of days")
    for axes in (counts, rarity):
        _mark(axes, series, times)
    path = folder / f"nab-{series.name}.png"
    figure.savefig(path, dpi=80)
    return path


def _alerts(axes: Axes, series: Series, looks: Sequence[Look], times: Sequence[float]) -> None:
    for index in (index for index, found in enumerate(looks) if found.fires):
        inside = any(first <= index <= last for first, last in series.windows)
        axes.plot(times[index], max(series.counts[index], 1), "v", color="green" if inside else "black")


def _mark(axes: Axes, series: Series, times: Sequence[float]) -> None:
    axes.axvspan(times[0], times[probation(len(times))], color="0.9")
    for first, last in series.windows:
        axes.axvspan(times[first], times[last], color="red", alpha=0.15)
