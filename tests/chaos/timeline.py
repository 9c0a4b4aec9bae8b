"""The timeline of a run as a picture: how far the input was, what was broken when, and what the workers' memory did."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tests.chaos.record import FaultDone, RunRecord, Sample

FAMILIES = ("workers", "commit points", "Kafka", "network", "Redis", "Triton", "clock", "input", "other")
_COLOURS = dict(
    zip(
        FAMILIES,
        ("#4477aa", "#66ccee", "#ee6677", "#bbbbbb", "#aa3377", "#228833", "#ccbb44", "#ee8866", "#777777"),
        strict=True,
    )
)
_SHORTEST_SHARE = 0.003
"""Of the whole time, what the shortest span takes: a kill lasts no time, and must be seen all the same."""
_SENT, _PREDICTED, _ALERTS = "#999999", "#4477aa", "#aa3377"


def family(kind: str) -> str:
    """Return which of FAMILIES a kind of fault belongs to."""
    if kind.startswith("point:"):
        return "commit points"
    if kind.endswith(("_cut", "_latency")):
        return "network"
    beginnings = {
        "Kafka": ("broker", "controller", "kafka", "leader", "disk"),
        "workers": ("score_", "alert_", "worker_"),
        "Redis": ("redis",),
        "Triton": ("triton", "model"),
        "clock": ("clock",),
        "input": ("burst", "poison"),
    }
    return next((name for name, begins in beginnings.items() if kind.startswith(begins)), "other")


def restarts(samples: Sequence[Sample]) -> list[float]:
    """Return when another process was first seen in a place, in seconds."""
    places: dict[str, list[Sample]] = {}
    for sample in samples:
        places.setdefault(sample.process, []).append(sample)
    return sorted(new.at_s for place in places.values() for old, new in pairwise(place) if old.pid != new.pid)


def draw(run: RunRecord, file: Path) -> None:
    """Draw the run into a PNG file.

    Raises:
        OSError: the file cannot be written.
    """
    rows = 0.16 * (len(_kinds(run.faults)) + 2)
    figure = Figure(figsize=(14, 7.5 + rows), layout="constrained")
    FigureCanvasAgg(figure)
    through, lag, faults, memory = figure.subplots(4, 1, sharex=True, height_ratios=(2.7, 1.6, rows, 2.4))
    _draw_progress(through, run)
    _draw_lag(lag, run)
    _draw_faults(faults, run)
    _draw_memory(memory, run.samples)
    memory.set_xlabel("seconds since the first message")
    memory.set_xlim(0, _end_s(run))
    for axes in (through, lag, memory):
        axes.grid(visible=True, color="#eeeeee")
        axes.set_ylim(bottom=0)
    for axes in (through, lag, faults, memory):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110)


def _end_s(run: RunRecord) -> float:
    ends = [point.at_s for point in run.progress] + [fault.end_s for fault in run.faults]
    return max(ends, default=1.0) or 1.0


def _draw_progress(axes: Axes, run: RunRecord) -> None:
    times = [point.at_s for point in run.progress]
    axes.plot(times, [point.sent for point in run.progress], color=_SENT, linewidth=3, label="sent")
    axes.plot(times, [point.predicted for point in run.progress], color=_PREDICTED, linewidth=1.4, label="with an outcome")
    axes.set_ylabel("messages")
    injected = sum(fault.counts for fault in run.faults)
    told = "green" if run.verdict.green else "red"
    axes.set_title(f"seed {run.seed}: {injected} faults in {run.minutes:g} minutes, verifier {told}", loc="left")
    if any(point.alerts for point in run.progress):
        right = axes.twinx()
        right.plot(times, [point.alerts for point in run.progress], color=_ALERTS, linewidth=1.2, label="alert events (right)")
        right.set_ylabel("alert events")
        right.set_ylim(bottom=0)
        right.spines["top"].set_visible(False)
        axes.plot([], [], color=_ALERTS, label="alert events (right)")
    axes.legend(loc="upper left", frameon=False)


def _draw_lag(axes: Axes, run: RunRecord) -> None:
    times = [point.at_s for point in run.progress]
    lag = [point.sent - point.predicted for point in run.progress]
    axes.fill_between(times, lag, color=_PREDICTED, alpha=0.35, linewidth=0.8)
    axes.set_ylabel("without an\noutcome yet")


def _draw_faults(axes: Axes, run: RunRecord) -> None:
    """A row for each kind, those of a family in one colour; hollow where a fault was not injected or had no effect."""
    kinds = _kinds(run.faults)
    rows = {kind: row for row, kind in enumerate(reversed([*kinds, ""]))}
    shortest = _end_s(run) * _SHORTEST_SHARE
    for fault in run.faults:
        colour = _COLOURS[family(fault.kind)]
        axes.barh(
            rows[fault.kind],
            max(shortest, fault.end_s - fault.start_s),
            left=fault.start_s,
            height=0.8,
            color=colour if fault.counts else "none",
            edgecolor=colour,
            linewidth=0.8,
        )
    axes.plot(restarts(run.samples), [0] * len(restarts(run.samples)), "|", color="black", markersize=9)
    axes.set_yticks([*rows.values()], [kind or "worker restarts" for kind in rows], fontsize=7)
    axes.set_ylim(-0.8, len(rows) - 0.2)
    axes.grid(visible=True, axis="x", color="#eeeeee")
    axes.set_axisbelow(True)


def _kinds(faults: Iterable[FaultDone]) -> list[str]:
    """Return the kinds that came, family by family."""
    return sorted({fault.kind for fault in faults}, key=lambda kind: (FAMILIES.index(family(kind)), kind))


def _draw_memory(axes: Axes, samples: Sequence[Sample]) -> None:
    """A line for each process; it ends where the process did."""
    roles = sorted({sample.role for sample in samples})
    colours = dict(zip(roles, ("#ee8866", "#4477aa", "#228833", "#aa3377", "#777777") * len(roles), strict=False))
    for pid in dict.fromkeys(sample.pid for sample in samples):
        life = [sample for sample in samples if sample.pid == pid]
        memory = [sample.rss_bytes / 2**20 for sample in life]
        axes.plot([sample.at_s for sample in life], memory, color=colours[life[0].role], linewidth=1, marker=".", markersize=2)
    for role in roles:
        axes.plot([], [], color=colours[role], label=role)
    if roles:
        axes.legend(loc="lower right", frameon=False, ncols=len(roles))
    axes.set_ylabel("memory of each\nworker, MiB")
