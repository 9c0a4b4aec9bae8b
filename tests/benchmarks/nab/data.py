"""The benchmark's ten Twitter series, from a folder beside the repository or the one that TIDINGS_DATA_DIR names.

They are not part of the repository; what needs them is skipped with `MISSING` as the reason where they are absent.
"""

import csv
import gzip
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.nab.scoring import Profile, Windows

ROOT = Path(__file__).parents[3]
FOLDER = Path(os.environ.get("TIDINGS_DATA_DIR") or ROOT.parent / "shared" / "data") / "nab"
PRESENT = (FOLDER / "realTweets").is_dir()
MISSING = "the Numenta Anomaly Benchmark is not here: put its folder at ../shared/data/nab, or set TIDINGS_DATA_DIR"
_PREFIX = "realTweets/Twitter_volume_"


class Series(NamedTuple):
    """One key's counts in buckets of five minutes, and its labelled windows as first and last index."""

    name: str
    starts_ms: tuple[int, ...]
    counts: tuple[int, ...]
    windows: Windows


def read_series() -> list[Series]:
    """Read all ten, in the order of their names."""
    labelled = json.loads((FOLDER / "labels" / "combined_windows.json").read_text())
    paths = sorted(FOLDER.glob(f"{_PREFIX}*.csv"))
    return [_read(path, labelled[path.relative_to(FOLDER).as_posix()]) for path in paths]


def _read(path: Path, windows: list[tuple[str, str]]) -> Series:
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    starts = tuple(_to_ms(row["timestamp"]) for row in rows)
    indices = tuple((starts.index(_to_ms(first)), starts.index(_to_ms(last))) for first, last in windows)
    return Series(path.stem.removeprefix("Twitter_volume_"), starts, tuple(int(float(row["value"])) for row in rows), indices)


def _to_ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


def read_profiles() -> dict[str, Profile]:
    """Read the three profiles that the benchmark weighs mistakes by."""
    profiles = json.loads((FOLDER / "config" / "profiles.json").read_text())
    costs = {name: profile["CostMatrix"] for name, profile in profiles.items()}
    return {name: Profile(cost["tpWeight"], cost["fpWeight"], cost["fnWeight"]) for name, cost in costs.items()}


class Published(NamedTuple):
    """The published score of one detector on one series, and the threshold it was given on the whole corpus."""

    threshold: float
    score: float


def read_published() -> dict[tuple[str, str, str], Published]:
    """Read what every published detector scored, by detector, profile and series."""
    with (FOLDER / "reference" / "scores.csv").open(newline="") as lines:
        return {
            (row["detector"], row["profile"], row["series"]): Published(float(row["threshold"]), float(row["score"]))
            for row in csv.DictReader(lines)
        }


def read_output(detector: str) -> Mapping[str, list[float]]:
    """Read the anomaly scores that a published detector gave, point by point, by series."""
    output: dict[str, list[float]] = {}
    with gzip.open(FOLDER / "reference" / f"{detector}.csv.gz", "rt", newline="") as lines:
        for row in csv.DictReader(lines):
            output.setdefault(row["series"], []).append(float(row["anomaly_score"]))
    return output
