"""The messages through a real worker: Kafka, a model that answers at once, the worker and the producer, a process each."""

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import psutil

from tests.fuzz.accounting import Account, Layout
from tests.fuzz.model import ROOT, answering_at_once
from tests.fuzz.mutations import RULES, WATCHLIST, mutant
from worker.adapters.kafka import PlainReader, create_topics
from worker.settings import KafkaSettings, Topics

PARTITIONS = 4
STALL_S = 60.0
MAX_CRASHES = 3
QUIET_S = 3.0
"""How long to listen for doubles once everything is there."""
SAMPLE_EVERY_S = 0.5

Report = Callable[[Account], None]


@dataclass(frozen=True)
class Plan:
    """What to send and where the parts are; `env` has `TIDINGS_KAFKA__BOOTSTRAP_SERVERS` and `TIDINGS_REDIS__URL`."""

    messages: int
    seed: int
    env: Mapping[str, str]
    folder: Path
    own: str = field(default_factory=lambda: f"fuzz-{uuid.uuid4().hex[:8]}")

    @property
    def kafka(self) -> KafkaSettings:
        """Topics and groups of this run's own."""
        names = {name: f"{self.own}.{name.replace('_', '-')}" for name in ("predictions", "signals", "alerts", "dead_letters")}
        return KafkaSettings(
            bootstrap_servers=self.env["TIDINGS_KAFKA__BOOTSTRAP_SERVERS"],
            input_topics={f"{self.own}.news": "news", f"{self.own}.chat": "chat"},
            topics=Topics(**names),
            group_prefix=self.own,
            partitions=PARTITIONS,
        )

    @property
    def layout(self) -> Layout:
        """Where each message lies."""
        return Layout(tuple(self.kafka.input_topics), PARTITIONS)


@dataclass
class Result:
    """What came of it. `rss` has (share of the messages accounted for, bytes) of the worker over time."""

    account: Account
    crashes: int = 0
    stalls: int = 0
    seconds: float = 0.0
    rss: list[tuple[float, int]] = field(default_factory=list)

    @property
    def rss_growth_ratio(self) -> float | None:
        """The worker's memory in the last fifth of the messages to that between two and three fifths; None if there is none.

        By two fifths of a million the caches of bounded size are full; in a short run they still fill.
        """
        before = [rss for share, rss in self.rss if 0.4 <= share < 0.6]
        after = [rss for share, rss in self.rss if share >= 0.8]
        return round(median(after) / median(before), 4) if before and after else None


class Worker:
    """The worker's process, started anew when it ended by itself, which counts as a crash."""

    def __init__(self, plan: Plan, env: Mapping[str, str]) -> None:
        self._folder = plan.folder
        self._env = {**os.environ, **env}
        self.crashes = 0
        self._start()

    def watch(self) -> int:
        """Return the process's memory in bytes; count a crash and start again if it has ended."""
        if self._process.poll() is not None:
            self.crashes += 1
            if self.crashes < MAX_CRASHES:
                self._start()
            return 0
        with contextlib.suppress(psutil.NoSuchProcess):
            return int(psutil.Process(self._process.pid).memory_info().rss)
        return 0

    def leave(self) -> None:
        """Ask it to leave; anything but a clean exit is a crash."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self.crashes += self._process.wait(60) != 0
            except subprocess.TimeoutExpired:
                self.crashes += 1
                self.kill()

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        command = [sys.executable, "-m", "worker", "work"]
        with (self._folder / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._folder, env=self._env, stdout=log, stderr=log)


def run(plan: Plan, report: Report) -> Result:
    """Send the messages through a worker and account for them; `report` is told of the account now and then."""
    (plan.folder / "watchlist.yaml").write_text(WATCHLIST, encoding="utf-8")
    (plan.folder / "rules.yaml").write_text(RULES, encoding="utf-8")
    create_topics(plan.kafka)
    result = Result(Account(plan.messages, plan.layout, partial(mutant, plan.seed)))
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(answering_at_once())
        worker = Worker(plan, {**plan.env, **_environment(plan), "TIDINGS_TRITON__URL": address})
        stack.callback(worker.kill)
        producer = stack.enter_context(_producer(plan))
        began = time.monotonic()
        _follow(plan, result, worker, producer, report)
        result.seconds = time.monotonic() - began
        worker.leave()
        result.crashes = worker.crashes
    return result


def _environment(plan: Plan) -> dict[str, str]:
    kafka = plan.kafka
    return {
        "TIDINGS_KAFKA__INPUT_TOPICS": json.dumps(kafka.input_topics),
        **{f"TIDINGS_KAFKA__TOPICS__{name.upper()}": topic for name, topic in kafka.topics.model_dump().items()},
        "TIDINGS_KAFKA__GROUP_PREFIX": plan.own,
        "TIDINGS_REDIS__PREFIX": plan.own,
        "TIDINGS_MODEL__REPOSITORY": str(ROOT / "triton_repo"),
    }


@contextlib.contextmanager
def _producer(plan: Plan) -> Iterator["subprocess.Popen[bytes]"]:
    numbers = {"--seed": plan.seed, "--messages": plan.messages, "--partitions": PARTITIONS}
    options = [part for name, value in numbers.items() for part in (name, str(value))]
    where = ["--bootstrap", plan.kafka.bootstrap_servers, "--topics", json.dumps(list(plan.kafka.input_topics))]
    process = subprocess.Popen([sys.executable, "-m", "tests.fuzz.producing", *options, *where], cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _follow(plan: Plan, result: Result, worker: Worker, producer: "subprocess.Popen[bytes]", report: Report) -> None:
    """Read what comes out until everything is accounted for and it is quiet, or nothing has come for too long."""
    topics = plan.kafka.topics
    take = {topics.predictions: result.account.prediction, topics.dead_letters: result.account.dead_letter}
    came_at = sampled_at = time.monotonic()
    with contextlib.closing(PlainReader(plan.kafka, list(take), from_beginning=True)) as reader:
        while True:
            for record in reader.read(0.2):
                take[record.topic](record)
                came_at = time.monotonic()
            now = time.monotonic()
            if now - sampled_at >= SAMPLE_EVERY_S:
                sampled_at = now
                result.rss.append((result.account.outputs / plan.messages, worker.watch()))
                report(result.account)
            if _is_over(result, worker, producer, now - came_at):
                return


def _is_over(result: Result, worker: Worker, producer: "subprocess.Popen[bytes]", quiet_s: float) -> bool:
    if producer.poll():
        raise RuntimeError(f"the producer ended with {producer.returncode}")
    if quiet_s >= STALL_S:
        result.stalls += 1
        return True
    done = result.account.outputs >= result.account.messages and result.account.unaccounted == 0
    return worker.crashes >= MAX_CRASHES or (done and quiet_s >= QUIET_S)
