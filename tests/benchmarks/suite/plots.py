"""Pictures of a report, beside it; those whose figures are there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks.suite.book import at


def draw(report: Mapping[str, Any], out: Path) -> list[Path]:
    """Draw what can be drawn; returns the files. Empty where matplotlib is not installed."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra
    except ImportError:
        return []
    mpl.use("Agg")
    drawings = {"peers.png": _peers, "latency.png": _latency, "alerts.png": _alerts}
    return [out / name for name, drawing in drawings.items() if drawing(report, out / name)]


def _bars(rows: Mapping[str, Any], label: str, path: Path) -> bool:
    if not rows:
        return False
    from matplotlib import pyplot as plt  # noqa: PLC0415 - an extra

    drawn, axes = plt.subplots(figsize=(7, 0.6 + 0.45 * len(rows)))
    names, values = list(rows), [figure.value for figure in rows.values()]
    errors = [
        [figure.value - figure.low for figure in rows.values()],
        [figure.high - figure.value for figure in rows.values()],
    ]
    axes.barh(names, values, xerr=errors, color="#4878a8", capsize=3)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    drawn.tight_layout()
    drawn.savefig(path, dpi=120)
    plt.close(drawn)
    return True


def _peers(report: Mapping[str, Any], path: Path) -> bool:
    paths = {name: f"peers.{name}.messages_per_s" for name in report.get("peers") or {}}
    rows = {"tidings": at(report, "tidings.messages_per_s"), **{name: at(report, path) for name, path in paths.items()}}
    return _bars({name: found for name, found in rows.items() if found} if paths else {}, "messages a second", path)


def _alerts(report: Mapping[str, Any], path: Path) -> bool:
    group = (report.get("alerts") or {}).get("signals_per_s", {})
    rows = {f"{int(keys):,} keys": at(report, f"alerts.signals_per_s.{keys}") for keys in group}
    return _bars({name: found for name, found in rows.items() if found}, "signals a second", path)


def _latency(report: Mapping[str, Any], path: Path) -> bool:
    ways = {"exactly-once": report.get("latency"), "at-least-once": report.get("latency_at_least_once")}
    if not any(ways.values()):
        return False
    from matplotlib import pyplot as plt  # noqa: PLC0415 - an extra

    drawn, axes = plt.subplots(figsize=(7, 4))
    for (way, found), style in zip(ways.items(), ("-", "--"), strict=True):
        of = found or {}
        loads = sorted(map(int, of))
        for name, colour in (("p50", "#4878a8"), ("p99", "#d1803a"), ("p999", "#a04848")):
            values = [of[str(load)][name]["value"] for load in loads]
            axes.plot(loads, values, style, color=colour, marker="o", label=f"{name}, {way}")
    axes.set(yscale="log", xlabel="load, per cent of capacity", ylabel="ms to the visible prediction")
    axes.legend(fontsize=8)
    drawn.tight_layout()
    drawn.savefig(path, dpi=120)
    plt.close(drawn)
    return True
