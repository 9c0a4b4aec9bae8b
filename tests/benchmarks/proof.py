"""`make backtest`: the alert rules proved on real data. Writes `build/backtest/report.json` and pictures; says what fails.

Three proofs: the volume detector on the Numenta Anomaly Benchmark (`bench_nab`), incidents planted in real texts (`planted`),
and a week of tweets to airlines (`airline`). All by the code of the live worker, one rule file for every key.

Exits with 0; with 1 if a bound that is asked for does not hold. What cannot be measured, because data are missing, is skipped,
and the reason is told and stands in the report.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from tests.benchmarks import airline, bench_nab
from tests.benchmarks.nab import data
from tests.benchmarks.nab.data import ROOT
from tests.benchmarks.planted import curves, groups, plots, report, running, severe, texts
from worker.alert.rules import parse_rules

NAB_STANDARD = 81.8
"""What the best published detector, ARTime, scores on the ten series."""
Figures = dict[str, object]


class Proof(NamedTuple):
    """The figures of one proof, and the bounds that do not hold, in words."""

    figures: Figures
    broken: list[str]


def main() -> int:
    """Run the proofs, print a table of each, write the report; return the exit code."""
    options, console, began = _options(), Console(), time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    proofs = dict(_proofs(options.out, options.share, console))
    broken = [line for proof in proofs.values() for line in proof.broken]
    made = {name: proof.figures for name, proof in proofs.items()}
    path = options.out / "report.json"
    path.write_text(json.dumps({**made, "broken": broken, "seconds": round(time.monotonic() - began)}, indent=2) + "\n")
    for line in broken:
        console.print(f"[red]does not hold:[/] {line}")
    console.print(f"{path} and pictures beside it, {time.monotonic() - began:.0f} s")
    return 1 if broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.proof", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "backtest", help="where the report and pictures go")
    parser.add_argument("--share", type=float, default=1.0, help="of the keys that incidents are planted in: less is quicker")
    return parser.parse_args()


def _proofs(out: Path, share: float, console: Console) -> Iterator[tuple[str, Proof]]:
    yield "nab", nab(out, console) if data.PRESENT else _skipped("nab", data.MISSING, console)
    if not (data.PRESENT and texts.PRESENT):
        yield "planted", _skipped("planted", data.MISSING if texts.PRESENT else texts.MISSING, console)
    else:
        yield "planted", planted(out, share, console)
    yield "airline", week(out, console) if texts.PRESENT else _skipped("airline", texts.MISSING, console)


def _skipped(name: str, reason: str, console: Console) -> Proof:
    console.print(f"[yellow]{name} is skipped:[/] {reason}")
    return Proof({"skipped": reason}, [])


def nab(out: Path, console: Console) -> Proof:
    """Score the volume detector by the benchmark's own rules."""
    figures = bench_nab.measure(out, console, plots_too=True)
    standard = figures["nab.standard"]
    broken = [f"nab.standard is {standard}, more than {NAB_STANDARD} was asked"] if standard <= NAB_STANDARD else []
    return Proof({name.removeprefix("nab."): value for name, value in figures.items()}, broken)


def planted(out: Path, share: float, console: Console) -> Proof:
    """Plant incidents, and hold rules and naive thresholds to them."""
    purpose = groups.REPORTED
    pools, rules = texts.pools(purpose.half, console), running.RULES.read_text()
    jobs = [running.Job(group, purpose, pools, rules, share) for group in groups.GROUPS]
    ran = running.run(jobs, console, "planted incidents, by group of keys")
    found = report.results(ran)
    single = severe.severe(pools)
    console.print(report.table(found), report.by_rate(found), report.by_strength(found), severe.table(single))
    drawn = curves.curves(ran)
    plots.draw(drawn, found, out / "planted.png")
    return Proof({**report.as_json(found), "single": severe.as_json(single)}, list(report.broken(found)))


def week(out: Path, console: Console) -> Proof:
    """Hold the rules to what people said of a week of tweets; no bound: a handful of incidents tells no more than that."""
    found = airline.measure(parse_rules(running.RULES.read_text()), out, console)
    console.print(airline.table(found))
    return Proof(airline.as_json(found), [])


if __name__ == "__main__":
    sys.exit(main())
