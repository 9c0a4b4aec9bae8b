"""The dashboards without Grafana: each panel's queries asked of Prometheus, the answers drawn in the panel's place.

`python -m deploy.prometheus.picture http://127.0.0.1:9090 pictures` draws the last hour. What is drawn is what the queries
say; how Grafana would show it is another matter.
"""

import argparse
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.dates as mdates
import numpy as np
import urllib3
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, Formatter, FuncFormatter

from deploy.prometheus.dashboards import documents
from deploy.prometheus.queries import filled_in

_WIDE, _ROW_INCHES, _INCHES = 24, 0.42, 18.0
_UNITS = {"s": "s", "µs": "µs", "bytes": "B", "ops": "/s", "reqps": "/s"}
_POINTS = 240
_MOST_NAMES = 6


class Series(NamedTuple):
    """One line: its name, and its points, seconds since the epoch and finite values."""

    name: str
    times: Sequence[float]
    values: Sequence[float]


Ask = Callable[[str, str], list[Series]]
"""Asked a query and how its lines are called."""


class Range(NamedTuple):
    """From when to when, in seconds since the epoch."""

    start_s: float
    end_s: float


def asking(address: str, over: Range) -> Ask:
    """Return a function that asks this Prometheus over this time; it raises ValueError at what Prometheus refuses."""
    times = {"start": str(over.start_s), "end": str(over.end_s), "step": str(max((over.end_s - over.start_s) / _POINTS, 1))}

    def ask(expression: str, legend: str) -> list[Series]:
        fields = {"query": filled_in(expression), **times}
        told = urllib3.request("GET", f"{address}/api/v1/query_range", fields=fields, timeout=30).json()
        if told["status"] != "success":
            raise ValueError(f"Prometheus refuses {expression}: {told['error']}")
        return [_series(one, legend) for one in told["data"]["result"]]

    return ask


def figure(document: Mapping[str, Any], ask: Ask, about: str) -> Figure:
    """Return a dashboard as a picture; `about` stands below it."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in document["panels"])
    made = Figure(figsize=(_INCHES, rows * _ROW_INCHES + 1))
    made.suptitle(document["title"], fontsize=15, fontweight="bold", y=1 - 0.25 / (rows * _ROW_INCHES + 1))
    made.text(0.5, 0.006, about, ha="center", fontsize=9, color="#666")
    for panel in document["panels"]:
        axes = made.add_axes(_box(panel["gridPos"], rows))
        lines = [line for target in panel["targets"] for line in ask(target["expr"], target["legendFormat"])]
        _draw(axes, panel, [line for line in lines if line.values])
    return made


def _box(place: Mapping[str, int], rows: int) -> tuple[float, float, float, float]:
    """Left, bottom, width and height of a panel, as shares of the picture, with room for its title and its numbers."""
    height, below = 0.97 / rows, place["y"] + place["h"]
    bottom, width = 0.998 - below * height, place["w"] / _WIDE
    return place["x"] / _WIDE + 0.038, bottom, width - 0.048, place["h"] * height - 0.042


def _draw(axes: Axes, panel: Mapping[str, Any], lines: Sequence[Series]) -> None:
    axes.set_title(panel["title"], fontsize=9, loc="left")
    formatter = _formatter(panel["fieldConfig"]["defaults"]["unit"])
    if not lines or panel["type"] == "stat":
        axes.set_axis_off()
        said = formatter(lines[0].values[-1]) if lines else "no data"
        axes.text(0.5, 0.45, said, ha="center", va="center", fontsize=20 if lines else 11, color="#222" if lines else "#999")
        return
    for line in lines:
        axes.plot(np.array(line.times).astype("datetime64[s]"), np.array(line.values), linewidth=1.1, label=line.name)
    highest = max(value for line in lines for value in line.values)
    axes.set_ylim(min(0, *(value for line in lines for value in line.values)), highest * 1.25 if highest > 0 else 1)
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is not None and step["value"] <= highest * 1.25:
            axes.axhline(step["value"], color=step["color"], linewidth=0.8, linestyle="--")
    axes.yaxis.set_major_formatter(formatter)
    axes.xaxis.set_major_formatter(mdates.DateFormatter("%H:%M:%S"))  # type: ignore[no-untyped-call]  # matplotlib has no types here
    axes.tick_params(labelsize=7)
    axes.grid(visible=True, linewidth=0.3)
    axes.legend(
        *(part[:_MOST_NAMES] for part in axes.get_legend_handles_labels()), fontsize=6, loc="upper left", framealpha=0.6
    )


def _formatter(unit: str) -> Formatter:
    if unit == "percentunit":
        return FuncFormatter(lambda value, _place: f"{value:.1%}")
    return EngFormatter(unit=_UNITS.get(unit, ""), places=1, sep=" ")


def _series(one: Mapping[str, Any], legend: str) -> Series:
    labels = one["metric"]
    name = re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), legend)
    if legend == "__auto":
        name = ", ".join(f"{key}={value}" for key, value in labels.items() if key != "__name__")
    points = [(float(at), float(value)) for at, value in one["values"] if math.isfinite(float(value))]
    return Series(name or "value", [at for at, _ in points], [value for _, value in points])


def write(address: str, folder: Path, over: Range) -> Iterator[Path]:
    """Draw every dashboard as it stands in the code into a PNG of its name; gives their paths.

    Raises:
        ValueError: Prometheus refuses a query.
    """
    folder.mkdir(parents=True, exist_ok=True)
    day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(over.end_s))
    about = f"The panels' queries, answered by Prometheus and drawn by matplotlib, not by Grafana; {day}"
    for name, text in documents().items():
        path = folder / f"{Path(name).stem}.png"
        figure(json.loads(text), asking(address, over), about).savefig(path, dpi=80)
        yield path


def main() -> None:
    """Draw and say where."""
    parser = argparse.ArgumentParser(prog="python -m deploy.prometheus.picture", description=__doc__)
    parser.add_argument("address", help="of Prometheus")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=60, help="how far back")
    asked = parser.parse_args()
    now = time.time()
    for path in write(asked.address, asked.folder, Range(now - asked.minutes * 60, now)):
        print(path)  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
