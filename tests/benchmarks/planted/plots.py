"""The picture of the planted incidents: recall and delay against false alarms."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.benchmarks.planted import hindsight, naive
from tests.benchmarks.planted.curves import Curve
from tests.benchmarks.planted.measuring import figures
from tests.benchmarks.planted.report import DETECTORS, FALSE_ALARMS, RECALL, Results

mpl.use("Agg")
_LEAST = 0.003
"""Where no false alarm is drawn: the axis is logarithmic."""


def draw(curves: Mapping[str, Curve], found: Results, path: Path) -> Path:
    """Write the picture: one curve a detector, dotted for naive ones, a dot where the rules stand; what is asked is grey.

    A dashed line is what hindsight finds with what the detector counts.
    """
    figure = Figure(figsize=(13, 6), layout="constrained")
    recall, delay = figure.subplots(1, 2)
    for name, curve in curves.items():
        colour = f"C{(*DETECTORS, *naive.STEPS).index(name)}"
        false = [max(_LEAST, of.false_alarms_per_day) for _, of in curve]
        style = {"color": colour, "linestyle": "-" if name in DETECTORS else ":"}
        recall.plot(false, [of.recall for _, of in curve], label=name, **style)
        delays = [(at, of.median_delay_s / 60) for at, (_, of) in zip(false, curve, strict=True) if of.median_delay_s]
        delay.plot([at for at, _ in delays], [minutes for _, minutes in delays], **style)
        _dot(recall, delay, found, name, colour)
    for name, detector in hindsight.NAMES.items():
        recall.axhline(
            figures(found[name]).recall or 0.0, color=f"C{DETECTORS.index(detector)}", linestyle="--", linewidth=0.8, label=name
        )
    recall.axhspan(RECALL, 1.0, color="0.9")
    recall.set_ylabel("recall of detectable incidents")
    recall.legend()
    delay.set_ylabel("median delay of those found, minutes")
    for axes in (recall, delay):
        axes.axvspan(_LEAST, FALSE_ALARMS, color="0.93", zorder=0)
        axes.set_xscale("log")
        axes.set_xlabel("false alarms a key and day")
    figure.savefig(path, dpi=90)
    return path


def _dot(recall: Axes, delay: Axes, found: Results, name: str, colour: str) -> None:
    these = figures(found[name])
    at = max(_LEAST, these.false_alarms_per_day)
    recall.plot(at, these.recall or 0.0, "o", color=colour)
    if these.median_delay_s:
        delay.plot(at, these.median_delay_s / 60, "o", color=colour)
