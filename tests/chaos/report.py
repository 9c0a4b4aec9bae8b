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
LONG_LIFE_S = 120.0
"""A process that was looked at for less than that has not had the time to show that it grows."""
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

    `faults` counts those that were injected, by kind, `faults_without_effect` those of which nothing could come, and
    `not_injected` the others. `rss_growth_ratio` and `open_files_growth_ratio` are of the role that grew most (`growth` has
    each), null where no process lived long enough to tell (`survivors` says which lived longest). `verdict` is green where
    `problems` is empty.
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
        "faults_total": sum(fault.counts for fault in run.faults),
        **asdict(run.verdict.counts),
        "input_doubled": list(run.input_doubled),
        "input_missing": list(run.input_missing),
        "orphans": len(run.orphans),
        "rss_growth_ratio": max(rss.values(), default=None),
        "open_files_growth_ratio": max(files.values(), default=None),
        "faults": _by_kind(fault for fault in run.faults if fault.counts),
        "faults_without_effect": _by_kind(fault for fault in run.faults if fault.injected and not fault.effective),
        "not_injected": _by_kind(fault for fault in run.faults if not fault.injected),
        "growth": {"rss": rss, "open_files": files},
        "survivors": {role: f"{life[-1].process}, {life[-1].age_s:.0f} s" for role, life in longest_lives(run.samples).items()},
        "worker_restarts": dict(run.worker_restarts),
        "processor_share": run.processor_share,
        "longest_lag_messages": max((point.sent - point.predicted for point in run.progress), default=0),
        "versions": dict(run.versions),
        "machine": _machine(),
        "details": {name: list(lines) for name, lines in run.verdict.details.items()},
    }


def growth(samples: Sequence[Sample], figure: Callable[[Sample], int]) -> dict[str, float]:
    """Return, per role, the median of a figure in the last third of one process' life over that in the first third.

    It is the process that lived longest, for a leak shows with age; its first `MATURE_S` seconds do not count. A role of which
    none lived for `LONG_LIFE_S`, or was looked at five times in either third, is left out.
    """
    found: dict[str, float] = {}
    for role, life in longest_lives(samples).items():
        begin_s, third_s = life[0].at_s, (life[-1].at_s - life[0].at_s) / 3
        early = [figure(sample) for sample in life if sample.at_s <= begin_s + third_s]
        late = [figure(sample) for sample in life if sample.at_s >= begin_s + 2 * third_s]
        if 3 * third_s >= LONG_LIFE_S and min(len(early), len(late)) >= _FEWEST:
            found[role] = round(median(late) / median(early), 3)
    return found


def longest_lives(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Return, per role, the samples of the process that was seen for the longest time, from when it was `MATURE_S` old on."""
    lives: defaultdict[tuple[str, int], list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.age_s >= MATURE_S:
            lives[sample.process, sample.pid].append(sample)
    by_length = sorted(lives.values(), key=lambda life: (life[0].role, life[-1].at_s - life[0].at_s))
    return {life[0].role: life for life in by_length}


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
