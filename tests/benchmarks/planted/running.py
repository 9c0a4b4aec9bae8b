"""Runs rules and naive thresholds over groups of keys, one group a process, by the code of the live worker."""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import track

from tests.benchmarks.planted import groups, hindsight, naive, streams
from tests.benchmarks.planted.groups import Group, Purpose
from tests.benchmarks.planted.measuring import Fired, Truth
from tests.benchmarks.planted.streams import Stream
from tests.benchmarks.planted.texts import Pool
from worker.alert.backtest import Backtest, Outcome
from worker.alert.decide import Look
from worker.alert.parameters import parse_duration
from worker.alert.rules import RuleSet, parse_rules

RULES = Path(__file__).parent / "rules.yaml"
KEEP = "1h"
LATENESS_MS = 5_000
_PARTITION = 0


class Job(NamedTuple):
    """A group of keys, or the first `share` of them, to be run under the text of a rule file."""

    group: Group
    purpose: Purpose
    pools: Sequence[Pool]
    rules: str
    share: float = 1.0


class Statistics:
    """What a rule saw of a key: at each boundary with data enough to judge, its statistic; a share's above what is usual."""

    def __init__(self) -> None:
        self.at_ms, self.values = array("q"), array("d")

    def note(self, look: Look) -> None:
        """Take one look."""
        reading = look.scene.reading
        if reading.verdict != "no_data":
            usual = (reading.baseline or 0.0) if look.rule.detector.baseline_of == "share" else 0.0
            self.at_ms.append(look.scene.at_ms)
            self.values.append(reading.statistic - usual)


Seen = dict[tuple[str, str], Statistics]
"""By key and rule."""


class Ran(NamedTuple):
    """What came of a group: what happened on its keys, what fired, what was seen; naive alerts by name and threshold."""

    truths: list[Truth]
    alerts: list[Fired]
    seen: Seen
    naive: list[tuple[str, float, Fired]]


def run(jobs: Iterable[Job], console: Console, doing: str, processes: int | None = None) -> list[Ran]:
    """Run the jobs on as many processors as there are."""
    with ProcessPoolExecutor(processes) as pool:
        pending: list[Future[Ran]] = [pool.submit(run_one, job) for job in jobs]
        done = track(as_completed(pending), doing, total=len(pending), console=console)
        return [future.result() for future in done]


def run_one(job: Job) -> Ran:
    """Run one group."""
    made = groups.streams(job.group, job.purpose, job.pools, job.share)
    outcome, seen = _outcome(made, parse_rules(job.rules))
    truths = [Truth(one.key, job.group.name, one.incidents, one.arrivals.unjudged, one.arrivals.days) for one in made]
    fired = [Fired(one.alert_key, one.rule, one.fired_at_ms, one.resolved_at_ms) for one in outcome.alerts]
    return Ran(truths, fired, seen, list(_naive(made)))


def _outcome(made: Sequence[Stream], rules: RuleSet) -> tuple[Outcome, Seen]:
    seen = defaultdict[tuple[str, str], Statistics](Statistics)
    backtest = Backtest(rules, LATENESS_MS, lambda look: seen[look.alert_key, look.rule.name].note(look))
    for some in streams.signals(made):
        backtest.take(_PARTITION, some)
    return backtest.outcome(), dict(seen)


def _naive(made: Iterable[Stream]) -> Iterator[tuple[str, float, Fired]]:
    for one in made:
        yield from naive.alerts(one, parse_duration(KEEP))
        yield from hindsight.alerts(one, parse_duration(KEEP))
