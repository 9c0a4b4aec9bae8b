"""How good the volume detector is on the Numenta Anomaly Benchmark. Not a test; run it: `python -m tests.benchmarks.bench_nab`.

One set of parameters for all ten series, each from a cold start, nothing ahead of time; beside it what the benchmark publishes
of other detectors on the same series. Their thresholds were set on the benchmark's whole corpus. Ours were chosen with these
series in sight: what `--study` finds, choices scored on series that they were not chosen by, is the figure to go by elsewhere.
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import mean

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.benchmarks.nab import data, plots, study
from tests.benchmarks.nab.data import ROOT, Published, Series
from tests.benchmarks.nab.detecting import Choice, Look, look
from tests.benchmarks.nab.scoring import NOTHING, Profile, normalised, probation

OWN = "tidings volume"
KEYS = {"standard": "standard", "reward_low_FP_rate": "low_fp", "reward_low_FN_rate": "low_fn"}
"""The profiles by the benchmark's names and ours."""
SEED = 7
_DAY_MS = 86_400_000
_console = Console()
Totals = dict[str, float]
"""The score in percent, by profile."""


def main() -> None:
    """Print the tables, and write `nab.json` and a picture of each series."""
    options = _options()
    if not data.PRESENT:
        _console.print(data.MISSING)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    figures = measure(options.out, _console, plots_too=options.plots)
    if options.study:
        figures |= _study(data.read_series(), data.read_profiles()["standard"], options.study)
    (options.out / "nab.json").write_text(json.dumps(figures, indent=2) + "\n")


def measure(out: Path, console: Console, *, plots_too: bool) -> Totals:
    """Score the shipped detector, print the tables, draw each series if asked to, and return the figures by name."""
    series, profiles = data.read_series(), data.read_profiles()
    looks = {one.name: list(look(one, Choice())) for one in track(series, "NAB: detecting", console=console)}
    detections = {name: [index for index, found in enumerate(made) if found.fires] for name, made in looks.items()}
    scores = {name: study.judged(series, detections, profile) for name, profile in profiles.items()}
    totals = {name: normalised(study.total(scores[name]), profile) for name, profile in profiles.items()}
    console.print(_beside(totals, profiles, series), _by_series(series, scores["standard"], looks))
    for one in track(series if plots_too else [], "NAB: drawing", console=console):
        plots.draw(one, looks[one.name], out)
    figures = {f"nab.{key}": round(totals[name], 2) for name, key in KEYS.items()}
    return figures | {"nab.false_alarms_per_series_day": round(_false_alarms_a_day(series, scores["standard"]), 4)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bench_nab", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "backtest", help="where figures and pictures go")
    parser.add_argument("--no-plots", dest="plots", action="store_false", help="draw nothing")
    parser.add_argument("--study", type=int, default=0, metavar="N", help="try N random choices: held-out score, sensitivity")
    return parser.parse_args()


def _beside(own: Totals, profiles: Mapping[str, Profile], series: list[Series]) -> Table:
    published = data.read_published()
    windows = sum(len(one.windows) for one in series)
    rows = {OWN: own} | {
        detector: {name: _total_of(published, detector, name, windows, profile) for name, profile in profiles.items()}
        for detector in {detector for detector, _, _ in published}
    }
    table = Table("detector", *KEYS.values(), title="NAB, ten Twitter series")
    for detector, totals in sorted(rows.items(), key=lambda row: -row[1]["standard"]):
        table.add_row(detector, *(f"{totals[name]:.1f}" for name in KEYS), style="bold" if detector == OWN else None)
    return table


def _total_of(
    published: Mapping[tuple[str, str, str], Published], detector: str, name: str, windows: int, profile: Profile
) -> float:
    points = sum(found.score for key, found in published.items() if key[:2] == (detector, name))
    return normalised(NOTHING._replace(points=points, windows=windows), profile)


def _by_series(series: Iterable[Series], scores: study.Scores, looks: Mapping[str, list[Look]]) -> Table:
    table = Table("series", "windows", "found", "false alarms", "a day", "in probation", "score", title="standard profile")
    for one in series:
        found = scores[one.name]
        early = sum(look.fires for look in looks[one.name][: probation(len(one.counts))])
        table.add_row(
            one.name,
            *(str(value) for value in (found.windows, found.hits, found.false_alarms)),
            f"{found.false_alarms / _days(one):.3f}",
            str(early),
            f"{found.points:.2f}",
        )
    return table


def _days(series: Series) -> float:
    """Return how many days of the series are scored and in no window."""
    scored = len(series.counts) - probation(len(series.counts))
    labelled = sum(last - first + 1 for first, last in series.windows)
    return (scored - labelled) * (series.starts_ms[1] - series.starts_ms[0]) / _DAY_MS


def _false_alarms_a_day(series: Iterable[Series], scores: study.Scores) -> float:
    return study.total(scores).false_alarms / sum(_days(one) for one in series)


def _study(series: list[Series], profile: Profile, count: int) -> Totals:
    def judged(values: Mapping[str, float]) -> study.Scores:
        return study.evaluate(series, study.chosen(values), profile)

    tried = [judged(values) for values in track(study.drawn(count, SEED), "held out", console=_console)]
    every = sorted(normalised(study.total(scores), profile) for scores in tried)
    halves = study.half_left_out(tried, profile)
    table = Table("parameter", "factor", "standard", "found", "false alarms", title="one parameter moved")
    around = []
    for name, factor, values in track(list(study.moved(0.25)), "sensitivity", console=_console):
        found = study.total(judged(values))
        around.append(normalised(found, profile))
        table.add_row(name, f"{factor:.2f}", f"{around[-1]:.1f}", str(found.hits), str(found.false_alarms))
    _console.print(table)
    figures = {
        "nab.one_left_out": study.one_left_out(tried, profile),
        "nab.half_left_out_mean": mean(halves),
        "nab.half_left_out_least": min(halves),
        "nab.drawn_median": every[len(every) // 2],
        "nab.drawn_best": every[-1],
        "nab.moved_least": min(around),
        "nab.moved_most": max(around),
    }
    _console.print_json(json.dumps(figures))
    return {name: round(value, 2) for name, value in figures.items()}


if __name__ == "__main__":
    main()
