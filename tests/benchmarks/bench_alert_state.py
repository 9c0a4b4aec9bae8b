"""What alert state costs as keys and windows grow: signals a second, memory of the worker, bytes a key in Redis.

    python -m tests.benchmarks.bench_alert_state                                  # ten thousand to a million keys: half an hour
    python -m tests.benchmarks.bench_alert_state --keys 1000 10000 --signals 2000 # a quick look

One partition, its states in a Redis of our own, the alert role's cycle without Kafka: load the states that are not in
memory, decide, commit. Each case runs in a process of its own, which first gives every key a signal, or fills the windows;
then the cases take turns, so that what else goes on on the machine meets all of them, and the figures are medians over the
turns, and ratios to the first case of its kind.

Keys are drawn evenly, the worst case for a cache, and as Zipf has it, the usual one. With so many keys that hardly any has two
signals in a bucket, every signal closes a bucket: the fewer keys, the fewer of them, and the cheaper. At last windows that are
full of buckets, 10, 60 and 240 of them.

Writes build/bench/alert_state.json.
"""

import argparse
import json
import multiprocessing as mp
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

import numpy as np
import psutil
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.benchmarks.nab.data import ROOT
from tests.contract.redis_servers import running_redis
from tests.unit.worker.alert.builders import signal
from worker.adapters.redis import RedisAlertStore, RedisStoreOptions
from worker.alert.loading import alert_commit
from worker.alert.parameters import parse_duration
from worker.alert.partition import PartitionMemory, Placed
from worker.alert.rules import parse_rules
from worker.messages import TopicPartition

PARTITION = TopicPartition("sentiment.signals", 0)
RUN = 500
"""Signals decided and committed at one time, as the role does."""
STEP_MS = 20
"""Event time from one signal to the next."""
CACHED = 100_000
BUSY_KEYS = 1_000
"""So few that each has a signal in nearly every bucket of 30 s: a window is as full of buckets as it can be."""
LATENESS_MS = 5_000
RULES = """
rules:
  - name: share
    detector: {{type: share, window: {window}, min_messages: {least}}}
    for: 1m
  - name: volume
    detector: {{type: volume, window: {window}}}
"""
Draw = Literal["even", "zipf"]


class Case(NamedTuple):
    """So many keys under rules of so long a window, drawn in one way; its tenth is a bucket unless that is given."""

    keys: int
    window: str
    draw: Draw
    bucket: str = ""
    least: int = 20

    def __str__(self) -> str:
        return f"{self.keys:,} keys, {self.window}{f' by {self.bucket}' if self.bucket else ''}, {self.draw}"

    @property
    def filling(self) -> int:
        """Signals until every key has one, and, where buckets are what it is about, the window is full of them."""
        return max(self.keys, parse_duration(self.window) // STEP_MS if self.bucket else 0)

    @property
    def rules(self) -> str:
        """The rule file."""
        return RULES.format(window=f"{self.window}, bucket: {self.bucket}" if self.bucket else self.window, least=self.least)


class Turn(NamedTuple):
    """One turn of a case: signals a second, the share of time that Redis took, resident bytes, bytes a key in Redis."""

    per_s: float
    in_redis: float
    resident: int
    key_bytes: float


def main() -> None:
    """Run all cases and print a table."""
    options, console = _options(), Console()
    cases = [Case(keys, "5m", draw) for draw in ("even", "zipf") for keys in options.keys]
    cases += [Case(options.keys[0], window, "even") for window in ("1h", "1d")]
    cases += [Case(BUSY_KEYS, window, "even", "30s", least=5) for window in ("5m", "30m", "2h")]
    turns = dict(_measured(cases, options.signals, options.turns, console))
    console.print(_table(turns))
    path = ROOT / "build" / "bench" / "alert_state.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({str(case): [turn._asdict() for turn in of] for case, of in turns.items()}, indent=2) + "\n")
    console.print(f"{path}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="in one partition")
    parser.add_argument("--signals", type=int, default=10_000, help="of one turn")
    parser.add_argument("--turns", type=int, default=5, help="of each case")
    return parser.parse_args()


def _measured(cases: Sequence[Case], signals: int, turns: int, console: Console) -> Iterator[tuple[Case, list[Turn]]]:
    """Fill one case after the other, then let them take turns."""
    context = mp.get_context("spawn")
    started: list[tuple[Case, Connection, SpawnProcess]] = []
    try:
        for case in track(cases, "filling", console=console):
            mine, theirs = context.Pipe()
            process = context.Process(target=_work, args=(case, theirs), daemon=True)
            process.start()
            started.append((case, mine, process))
            mine.recv()
        found: dict[Case, list[Turn]] = {case: [] for case in cases}
        for _ in track(range(turns), "turns", console=console):
            for case, pipe, _process in started:
                pipe.send(signals)
                found[case].append(pipe.recv())
        yield from found.items()
    finally:
        for _, pipe, process in started:
            pipe.close()
            process.join()


def _work(case: Case, pipe: Connection) -> None:
    """Be one case: fill, say so, then take turns as often as asked, until nobody is there to ask."""
    with (
        suppress(EOFError, BrokenPipeError, KeyboardInterrupt),
        tempfile.TemporaryDirectory() as folder,
        running_redis(Path(folder)) as port,
    ):
        store = RedisAlertStore.connect(f"redis://127.0.0.1:{port}/0", RedisStoreOptions())
        role = _Role(case, store)
        for start in range(0, case.filling, RUN):
            role.take(np.arange(start, min(start + RUN, case.filling)) % case.keys)
        pipe.send("filled")
        while True:
            pipe.send(role.turn(int(pipe.recv())))


class _Role:
    """The alert role's cycle over one partition, and a clock of event time."""

    def __init__(self, case: Case, store: RedisAlertStore) -> None:
        self._case = case
        self._store = store
        self._memory = PartitionMemory(parse_rules(case.rules), LATENESS_MS, CACHED)
        self._rng = np.random.default_rng(1)
        self._offset = 0
        self._in_redis_s = 0.0

    def take(self, keys: NDArray[np.int64]) -> None:
        """Decide on a signal for each of these keys, and commit."""
        run = [self._placed(int(key)) for key in keys]
        missing = self._memory.missing(run)
        began = time.perf_counter()
        stored = self._store.states(PARTITION, missing) if missing else {}
        self._in_redis_s += time.perf_counter() - began
        self._memory.learn(missing, stored)
        effects = self._memory.apply(run)
        commit = alert_commit(PARTITION, self._memory.next_offset, effects)
        began = time.perf_counter()
        self._store.commit(commit)
        self._in_redis_s += time.perf_counter() - began
        self._memory.settle(effects.next_offset)

    def turn(self, signals: int) -> Turn:
        """Take so many signals; return what that cost."""
        self._in_redis_s, began = 0.0, time.perf_counter()
        for keys in np.array_split(self._drawn(signals), max(1, signals // RUN)):
            self.take(keys)
        took_s = time.perf_counter() - began
        info = self._store._client.info("memory")  # type: ignore[union-attr]
        return Turn(
            signals / took_s,
            self._in_redis_s / took_s,
            psutil.Process().memory_info().rss,
            info["used_memory_dataset"] / self._case.keys,
        )

    def _drawn(self, count: int) -> NDArray[np.int64]:
        if self._case.draw == "even":
            return self._rng.integers(0, self._case.keys, count)
        return np.asarray(self._rng.zipf(1.2, count) % self._case.keys)

    def _placed(self, key: int) -> Placed:
        self._offset += 1
        at_s = 1_772_323_200 + self._offset * STEP_MS / 1_000
        label: Literal["negative", "positive"] = "negative" if self._offset % 4 == 0 else "positive"
        return Placed(self._offset - 1, signal(at_s, label, alert_key=f"entity:name-{key}"))


def _table(turns: dict[Case, list[Turn]]) -> Table:
    table = Table("case", "signals/s", "to the first", "in Redis", "worker MB", "bytes a key in Redis", title="alert state")
    for case, of in turns.items():
        first = next(turns[one] for one in turns if one.bucket == case.bucket)
        ratio = median(one.per_s / base.per_s for one, base in zip(of, first, strict=True))
        table.add_row(
            str(case),
            f"{median(one.per_s for one in of):,.0f}",
            f"{ratio:.2f}",
            f"{median(one.in_redis for one in of):.0%}",
            f"{of[-1].resident / 1e6:,.0f}",
            f"{of[-1].key_bytes:,.0f}",
        )
    return table


if __name__ == "__main__":
    main()
