"""How it grows: with processes, and what a message costs as there is more of everything. With the constant model."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from deploy.local.stack import LocalStack
from tests.benchmarks.suite.alerts import BEGAN_MS, STEP_MS, signal
from tests.benchmarks.suite.figures import figure, ratio
from tests.benchmarks.suite.planning import plans
from tests.benchmarks.suite.result import Result, read
from tests.benchmarks.suite.stage import CONSTANT, RULES, Process, Site, metrics_of, running
from tests.benchmarks.suite.texts import bodies, some
from worker.alert.partition import PartitionMemory, Placed
from worker.alert.rules import parse_rules

PROCESSES = (1, 2, 4)
_RUN_S = 60.0
_PARTITIONS = 12
_RULES = (1, 10, 50)
_APPLIED = 500
"""Signals in one script of the alert role."""


class Case(NamedTuple):
    """What there is more of: partitions, names watched, aliases of each, repeats of a message's text, messages waiting."""

    name: str
    partitions: int = 6
    names: int = 1
    aliases: int = 1
    repeats: int = 1
    backlog: float = 1.0


CASES = (
    Case("base"),
    Case("partitions=48", partitions=48),
    Case("names=10000", names=10_000),
    Case("aliases=10", names=1_000, aliases=10),
    Case("length=8", repeats=8),
    Case("backlog=4", backlog=4.0),
)


def run(result: Result, folder: Path) -> None:
    """Measure processes by turns, each case once, and write the plan on paper."""
    paces: dict[int, list[float]] = {processes: [] for processes in PROCESSES}
    with running({"kafka"}, folder) as stack:
        result.details |= {"parts": stack.versions(), "cases": []}
        for number in result.rounds():
            for processes in PROCESSES:
                paces[processes].append(_processes(stack, folder, processes, result))
            _tell(result, paces)
            if number == 0:
                _by_rules(result)
                _cases(stack, folder, result)
    found = {name: read(result.options.out, name) or {} for name in ("ceiling", "pipeline", "overhead", "alerts")}
    result.details["plan"] = plans({name: one.get("figures", {}) for name, one in found.items()})


def _by_rules(result: Result) -> None:
    result.details["signal_us_by_rules"] = {str(rules): round(signal_us(rules), 1) for rules in _RULES}


def _cases(stack: LocalStack, folder: Path, result: Result) -> None:
    """Measure each case once, as far as half of the time that is left goes; the other half is for more rounds."""
    until_s = result.left_s / 2
    for number, case in enumerate(CASES):
        if result.left_s < until_s:
            left = ", ".join(one.name for one in CASES[number:])
            result.say(f"there was time for {number} of {len(CASES)} cases, and none for {left}")
            return
        result.details["cases"].append(_case(stack, folder, case, result))
        result.save()


def _processes(stack: LocalStack, folder: Path, processes: int, result: Result) -> float:
    """Messages a second of so many workers in one group, from when each has its partitions."""
    count = result.options.messages
    site = Site(stack, folder / f"processes-{processes}", partitions=_PARTITIONS)
    with ExitStack() as workers, site.watching() as watcher:
        started = [workers.enter_context(site.worker(module=CONSTANT)) for _ in range(processes)]
        _await_shares(started, min(_RUN_S, result.left_s))
        filling = Thread(target=site.fill, args=(bodies(some(count)),), daemon=True)
        filling.start()  # and what becomes visible meanwhile is seen when it does
        pace = watcher.until(count, min(_RUN_S, result.left_s), started[0].require_alive).per_s
        filling.join()
        return pace


def _await_shares(workers: Sequence[Process], limit_s: float) -> None:
    """Wait until all partitions are shared out and each worker has its own: what a group takes to form is no pace.

    Raises:
        RuntimeError: a worker ended, or they did not come to that.
    """
    deadline_s = time.monotonic() + limit_s
    while True:
        for worker in workers:
            worker.require_alive()
        shares = [metrics_of(worker).get('tidings_consumer_partitions{role="score"}', 0.0) for worker in workers]
        if sum(shares) == _PARTITIONS and all(shares):
            return
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"after {limit_s:.0f} s the partitions are shared out as {shares}")
        time.sleep(0.5)


def _case(stack: LocalStack, folder: Path, case: Case, result: Result) -> dict[str, Any]:
    count = round(result.options.messages * case.backlog)
    where = folder / case.name.replace("=", "-")
    where.mkdir(parents=True, exist_ok=True)
    (where / "watchlist.yaml").write_text("".join(_watchlist(case)), encoding="utf-8")
    site = Site(stack, where, partitions=case.partitions)
    site.fill(bodies([" ".join([text] * case.repeats) for text in some(count)]))
    with site.watching() as watcher, site.worker(module=CONSTANT) as worker:
        first = watcher.until(1, _RUN_S, worker.require_alive)  # a commit shows some hundred at once
        before_s = worker.cpu_s
        seen = watcher.until(count - first.found, min(_RUN_S, result.left_s), worker.require_alive)
        used_s = worker.cpu_s - before_s
    return {**case._asdict(), "messages": seen.found, "per_s": seen.per_s, "core_us": used_s / max(1, seen.found) * 1e6}


def _watchlist(case: Case) -> Iterator[str]:
    yield "entities:\n"
    for number in range(case.names):
        aliases = ", ".join(f"Zentiq{number}{'x' * more}" for more in range(case.aliases))
        yield f"  - name: Zentiq{number} Holdings\n    aliases: [{aliases}]\n"


def signal_us(rules: int, keys: int = 1_000, signals: int = 5_000) -> float:
    """Return the processor time, in microseconds, of a signal under so many rules, decided upon in this process."""
    lines = [RULES.partition("\n")[2].replace("share", f"share-{number}", 1) for number in range(rules)]
    memory, drawn = PartitionMemory(parse_rules("rules:\n" + "".join(lines)), 5_000, 10), random.Random(0)
    memory.learn([f"entity:{key}" for key in range(keys)], {})
    placed = [Placed(n, signal(drawn.randrange(keys), n, BEGAN_MS + n * STEP_MS)) for n in range(signals)]
    began_s = time.process_time()
    for start in range(0, signals, _APPLIED):
        memory.apply(placed[start : start + _APPLIED])
    return (time.process_time() - began_s) / signals * 1e6


def _tell(result: Result, paces: dict[int, list[float]]) -> None:
    done = {processes: found for processes, found in paces.items() if found}
    result.figures["scale"] = {
        f"speedup_{processes}": ratio(found, done[1]).as_json() for processes, found in done.items() if processes > 1
    }
    result.figures["scale"]["messages_per_s"] = {str(processes): figure(found).as_json() for processes, found in done.items()}
    result.save()
