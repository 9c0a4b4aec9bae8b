"""The report of a run: figures and verdict as JSON, a page for people, and the timeline as a picture."""

import json
import os
import platform
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from tests.chaos.page import page
from tests.chaos.record import FaultDone, Progress, RunRecord, Sample
from tests.chaos.timeline import draw
from tests.chaos.verify import FAULTY

__all__ = ["FaultDone", "Progress", "RunRecord", "Sample", "write_report"]

MATURE_S = 20.0
"""A process younger than that is still warming up: its memory says nothing about growth."""
MAX_GROWTH = 1.5
"""Memory or open files that grew by more than this make the run red."""
_FEWEST = 5


def write_report(folder: Path, run: RunRecord) -> dict[str, Any]:
    """Write report.json, report.html and timeline.png into `folder`; return what report.json holds.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = figures(run)
    draw(run, folder / "timeline.png")
    (folder / "report.html").write_text(page(report, run, folder / "timeline.png"), encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def figures(run: RunRecord) -> dict[str, Any]:
    """Return what report.json holds.

    `faults` counts those that were injected, by kind, and `not_injected` the others. `rss_growth_ratio` and
    `open_files_growth_ratio` are of the role that grew most (`growth` has each), null where the run was too short to tell;
    see `growth`. `verdict` is green where `problems` is empty.
    """
    rss, files = growth(run.samples, lambda s: s.rss_bytes), growth(run.samples, lambda s: s.open_files)
    problems = _problems(run, rss, files)
    return {
        "verdict": "red" if problems else "green",
        "green": not problems,
        "problems": problems,
        "seed": run.seed,
        "minutes": run.minutes,
        "planted": run.planted,
        "faults_total": sum(fault.injected for fault in run.faults),
        **asdict(run.verdict.counts),
        "input_doubled": list(run.input_doubled),
        "input_missing": list(run.input_missing),
        "orphans": len(run.orphans),
        "rss_growth_ratio": max(rss.values(), default=None),
        "open_files_growth_ratio": max(files.values(), default=None),
        "faults": _by_kind(fault for fault in run.faults if fault.injected),
        "not_injected": _by_kind(fault for fault in run.faults if not fault.injected),
        "growth": {"rss": rss, "open_files": files},
        "worker_restarts": dict(run.worker_restarts),
        "processor_share": run.processor_share,
        "longest_lag_messages": max((point.sent - point.predicted for point in run.progress), default=0),
        "versions": dict(run.versions),
        "machine": _machine(),
        "details": {name: list(lines) for name, lines in run.verdict.details.items()},
    }


def growth(samples: Sequence[Sample], figure: Callable[[Sample], int]) -> dict[str, float]:
    """Return, per role, the median of a figure in the last third of the run over that in the first third.

    Only processes older than `MATURE_S` count. A role with fewer than five samples in either third is left out.
    """
    end_s = max((sample.at_s for sample in samples), default=0.0)
    early: defaultdict[str, list[int]] = defaultdict(list)
    late: defaultdict[str, list[int]] = defaultdict(list)
    for sample in samples:
        if sample.age_s >= MATURE_S and sample.at_s <= end_s / 3:
            early[sample.role].append(figure(sample))
        elif sample.age_s >= MATURE_S and sample.at_s >= 2 * end_s / 3:
            late[sample.role].append(figure(sample))
    roles = [role for role in sorted(early) if min(len(early[role]), len(late[role])) >= _FEWEST]
    return {role: round(median(late[role]) / median(early[role]), 3) for role in roles}


def _problems(run: RunRecord, rss: Mapping[str, float], files: Mapping[str, float]) -> list[str]:
    """Say why the run is red, one line each."""
    counts = run.verdict.counts
    grown = [(what, role, ratio) for what, by in (("memory", rss), ("open files", files)) for role, ratio in by.items()]
    return [
        *(f"void: {line}" for line in run.verdict.void),
        *(f"{name}: {getattr(counts, name)}" for name in FAULTY if getattr(counts, name)),
        *(f"stuck: {line}" for line in run.stuck),
        *(f"orphan: {line}" for line in run.orphans),
        *(f"{name} did not leave when it was asked to" for name in run.forced),
        *(f"{what} of {role} grew {ratio}-fold" for what, role, ratio in grown if ratio > MAX_GROWTH),
    ]


def _by_kind(faults: Any) -> dict[str, int]:
    return dict(sorted(Counter(fault.kind for fault in faults).items()))


def _machine() -> dict[str, Any]:
    memory_gib = round(psutil.virtual_memory().total / 2**30, 1)
    return {"cores": os.cpu_count(), "memory_gib": memory_gib, "system": platform.system(), "python": platform.python_version()}
