"""The run from end to end: start the parts, the fault-free reference, the same input under faults, compare, report."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from deploy.local.config import KafkaChoice, ModelChoice, StackConfig
from deploy.local.paths import locked
from tests.chaos.cluster import unmount
from tests.chaos.faults import CATALOGUE
from tests.chaos.injector import Injector, heal
from tests.chaos.outcome import Outcome
from tests.chaos.passage import Crew, Passage, VoidError
from tests.chaos.plan import Plan, make_plan
from tests.chaos.producer import Pace
from tests.chaos.report import Progress, RunRecord, Sample, write_report
from tests.chaos.schedule import Kind, Scheduled, bursts, make_schedule
from tests.chaos.show import Show
from tests.chaos.stage import Stage
from tests.chaos.verify import compare
from tests.chaos.workers import resources
from tests.chaos.world import World

PATIENCE_S = 180.0
"""Without any progress for so long after all is healed, what is missing is lost."""
PLANTED_PATIENCE_S = 30.0
"""The same where a bug is planted and something is expected to be missing."""
SETTLE_S = 120.0
_LOOK_EVERY_S = 0.2
_SAMPLE_EVERY_S = 2.0
_CALM_END_S = 10.0
"""The last part of the time is left without faults."""
_JOINED_S = 60.0
_WORK = "work"


_AS_PLANNED = Pace(at_plan_times=True)
Enough = Callable[[Passage, Injector], bool]


def _never(_passage: Passage, _injector: Injector) -> bool:
    return False


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line."""

    seed: int = 1
    minutes: float = 20.0
    rate: float = 30.0
    only: tuple[str, ...] = ()
    planted: str = ""
    out: Path = Path("build/chaos")
    every_s: float = 4.0
    model_poison: bool = False
    spare_one: bool = True

    @property
    def crew(self) -> Crew:
        """Three workers of each role, of which one is spared; without that one alert worker less, so that each is hit often."""
        return Crew(3, 3 if self.spare_one else 2, self.planted, self.spare_one)

    @property
    def kinds(self) -> list[Kind]:
        """The kinds of fault that may come."""
        return [fault.kind for name, fault in CATALOGUE.items() if not self.only or name in self.only]


@dataclass(frozen=True)
class Trial:
    """What is sent and how fast, what came of it without faults, which faults come now, and when that is enough."""

    plan: Plan
    reference: Outcome
    schedule: Sequence[Scheduled]
    enough: Enough = _never
    pace: Pace = _AS_PLANNED

    @property
    def messages(self) -> int:
        """How many are sent."""
        return len(self.plan.messages) + len(self.plan.closing)


@dataclass
class Evidence:
    """What was gathered while the faults went on."""

    samples: list[Sample] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    forced: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    processor_share: float = 0.0
    """Of all cores, what was busy while faults went on."""


def run(options: Options, show: Show) -> dict[str, Any]:
    """Do all of it and return the report as it is in report.json.

    Raises:
        LocalStackError: a part did not come up.
        VoidError: the input did not get through, so the run says nothing.
    """
    with _folder(options.out) as folder, _ended_by_sigterm():
        seconds = options.minutes * 60
        schedule = make_schedule(options.seed, seconds - _CALM_END_S, options.kinds, options.every_s)
        plan = make_plan(options.seed, seconds, options.rate, bursts(schedule), model_poison=options.model_poison)
        config = StackConfig.from_environment().but(kafka=KafkaChoice.APACHE, triton=ModelChoice.TRITON)
        with Stage(folder / _WORK, config, show.say) as stage:
            pids = set(stage.server_pids())
            record = under_faults(stage, Trial(plan, in_peace(stage, plan, show), schedule), options, show)
            pids |= set(stage.server_pids())
        return write_report(folder, replace(record, orphans=orphans(folder, pids)))


def in_peace(stage: Stage, plan: Plan, show: Show) -> Outcome:
    """Send the plan through one worker of each role, without any fault; what comes of it is the reference.

    Raises:
        VoidError: it did not come to its end.
    """
    show.phase("the reference, without faults", len(plan.messages) + len(plan.closing))
    with Passage(stage, plan, "reference", Crew(1, 1)) as passage:
        passage.begin(Pace(at_plan_times=False))
        tick = _telling(passage, show, None)
        if not passage.finish_input(PATIENCE_S, tick) or not passage.settle(SETTLE_S, tick):
            raise VoidError("the reference run, without any fault, did not come to its end")
        passage.workers.stop()
        return passage.outcome()


def under_faults(stage: Stage, trial: Trial, options: Options, show: Show) -> RunRecord:
    """Send the plan at its own pace while the schedule's faults happen, heal, wait for the rest, and compare.

    Raises:
        VoidError: a message could not be sent.
    """
    show.phase(f"{len(trial.schedule)} faults in {options.minutes:g} minutes", trial.messages)
    evidence, versions = Evidence(), stage.versions()
    with Passage(stage, trial.plan, "faulty", options.crew) as passage:
        world = World(stage, passage.workers, passage.names)
        _await_workers(passage)
        injector = Injector(world, trial.schedule, passage.folder / "timeline.jsonl")
        with _sampling(passage, evidence), _measuring(evidence):
            passage.begin(trial.pace)
            injector.start()
            _under_faults(injector, passage, show, options.minutes * 60, trial.enough)
        world.over.set()
        injector.finish(60)
        show.say("healing")
        heal(world)
        patience_s = PLANTED_PATIENCE_S if options.planted else PATIENCE_S
        _finish(passage, evidence, patience_s, _telling(passage, show, injector))
        outcome, arrived = passage.outcome(), passage.arrived()
    reference = trial.reference if arrived.as_planned else in_peace(stage, arrived.plan, show)
    show.phase("comparing")
    return RunRecord(
        seed=options.seed,
        minutes=options.minutes,
        verdict=compare(arrived.plan, reference, outcome),
        input_doubled=arrived.doubled,
        input_missing=arrived.missing,
        faults=sorted(injector.done, key=lambda fault: fault.start_s),
        samples=evidence.samples,
        progress=evidence.progress,
        versions=versions,
        worker_restarts={slot.name: max(0, slot.starts - 1) for slot in passage.workers.slots},
        forced=evidence.forced,
        stuck=evidence.stuck,
        processor_share=evidence.processor_share,
        planted=options.planted,
    )


def _under_faults(injector: Injector, passage: Passage, show: Show, seconds: float, enough: Enough) -> None:
    """Wait for the time to pass or for enough; what is still under way may end in its own time, within limits."""
    tick = _telling(passage, show, injector)
    began = time.monotonic()
    while not enough(passage, injector) and (
        time.monotonic() - began < seconds or not (injector.through or time.monotonic() - began > seconds + 60)
    ):
        tick()
        passage.check()
        time.sleep(_LOOK_EVERY_S)


def _finish(passage: Passage, evidence: Evidence, patience_s: float, tick: Callable[[], None]) -> None:
    """Wait for what is still to come, then ask the workers to leave."""
    if not passage.finish_input(patience_s, tick):
        without = passage.producer.sent - passage.predicted
        evidence.stuck.append(f"{without} of {passage.producer.sent} messages have no outcome")
    if not passage.settle(SETTLE_S, tick):
        evidence.stuck.append("the relay did not reach the last signal")
    if evidence.stuck:
        evidence.stuck += passage.standstill()
    evidence.forced = passage.workers.stop()


def _await_workers(passage: Passage) -> None:
    """Wait until every worker has its connections, so that the first fault meets workers at work."""
    deadline = time.monotonic() + _JOINED_S
    while time.monotonic() < deadline:
        logs = [(slot.folder.parent / f"{slot.name}.log") for slot in passage.workers.slots]
        if all(log.exists() and "partitions assigned" in log.read_text(errors="replace") for log in logs):
            return
        time.sleep(_LOOK_EVERY_S)


def _telling(passage: Passage, show: Show, injector: Injector | None) -> Callable[[], None]:
    def tick() -> None:
        active = sorted(injector.active) if injector else []
        done = len(injector.done) if injector else 0
        show.tick(passage.producer.sent, passage.predicted, done, active)

    return tick


@contextmanager
def _sampling(passage: Passage, evidence: Evidence) -> Iterator[None]:
    """Note, now and then, the memory and the open files of every worker, and how far the input has come."""
    over = threading.Event()
    began = time.monotonic()

    def sample() -> None:
        while not over.wait(_SAMPLE_EVERY_S):
            at_s = round(time.monotonic() - began, 2)
            evidence.progress.append(Progress(at_s, passage.producer.sent, passage.predicted, passage.alerts))
            for name, pid, age_s in passage.workers.processes():
                if (found := resources(pid)) is not None:
                    evidence.samples.append(Sample(at_s, name, pid, round(age_s, 2), *found))

    thread = threading.Thread(target=sample, name="sampler", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _measuring(evidence: Evidence) -> Iterator[None]:
    psutil.cpu_percent()
    yield
    evidence.processor_share = round(psutil.cpu_percent() / 100, 3)


def orphans(folder: Path, pids: set[int]) -> list[str]:
    """What is left of a run that has ended: servers known to be of it, and whatever works in its folder."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    left = []
    for process in psutil.process_iter(["pid", "name", "cmdline", "cwd", "status"]):
        info = process.info
        if info["pid"] in spared or info["status"] == psutil.STATUS_ZOMBIE:
            continue
        named = " ".join([*(info["cmdline"] or []), info["cwd"] or ""])
        if info["pid"] in pids or str(folder / _WORK) in named:
            left.append(f"{info['pid']} {info['name']}")
    return left


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """Hold the report's folder, with nothing of an earlier run in it but the reports."""
    folder = out.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock", f"another run writes to {folder}; choose another folder with --out"):
        unmount(folder / _WORK)
        shutil.rmtree(folder / _WORK, ignore_errors=True)
        yield folder


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the run as Ctrl-C does, so that everything is taken down."""

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
