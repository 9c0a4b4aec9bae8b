"""The harness can fail: a bug planted into the workers turns the report red, and the same faults without it leave it green.

Real Kafka, Redis and Triton, started once for all four runs, and one fault-free reference.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.config import StackConfig
from deploy.local.errors import LocalStackError
from tests.chaos.injector import Injector
from tests.chaos.outcome import Outcome
from tests.chaos.passage import Passage
from tests.chaos.plan import Plan, make_plan
from tests.chaos.planted import BUGS
from tests.chaos.producer import Pace
from tests.chaos.report import write_report
from tests.chaos.run import Options, Trial, in_peace, under_faults
from tests.chaos.schedule import Scheduled
from tests.chaos.show import Show
from tests.chaos.stage import Stage

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(420)]

SECONDS, RATE = 40.0, 30.0
PACE = Pace(at_plan_times=True, ahead_s=10)
"""There is no alert before the allowed lateness has passed, so the first messages are sent at once."""
KILL, STOP = 2, 1
"""Seeds with which a fault at a named point kills the worker, or has it stand still past its session timeout."""


def at(point: str, seed: int, *times_s: float) -> list[Scheduled]:
    """Have whoever comes to a point first after each of these times die or stand still there."""
    return [Scheduled(time_s, f"point:{point}", 0, seed) for time_s in times_s]


FAULTS: dict[str, Sequence[Scheduled]] = {
    # Between the bug's two transactions, whichever worker comes there: `after_commit` is passed after each of them, and after
    # the second there is no harm left to do. The relay's carry an event whenever they pass this point (see `planted`).
    "commit_before_produce": at("score.mid_produce", KILL, 4),
    "no_fence": at("score.before_begin", STOP, 4, 16),
    "relay_position_outside": at("relay.before_offsets", KILL, 8, 12, 16, 20, 24),
}
"""For each bug the faults that it does not survive; without it all of them together do no harm."""
SYMPTOMS = {
    "commit_before_produce": {"lost"},
    "no_fence": {"duplicates"},
    "relay_position_outside": {"alerts_duplicated"},
}


def seen_enough(passage: Passage, injector: Injector) -> bool:
    """Whether something came twice, which is all that a run can be red by before its end, or no fault is still to come.

    The rest of the plan is then sent at once, so every run is of the same input, and is compared as a whole.
    """
    return injector.through or passage.onlooker.repeats.total() > 0


@dataclass(frozen=True)
class Scene:
    """The parts, what is sent, and what came of it without faults."""

    stage: Stage
    plan: Plan
    reference: Outcome


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The parts and the reference, once; skipped where a part is missing, and failed for it with CI=true."""
    plan, show = make_plan(1, SECONDS, RATE), Show()
    try:
        stage = Stage(tmp_path_factory.mktemp("chaos"), StackConfig.from_environment(), show.say)
    except LocalStackError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(error.message)
    with stage:
        yield Scene(stage, plan, in_peace(stage, plan, show))


@pytest.mark.parametrize("planted", ["", *BUGS])
def test_a_planted_bug_turns_the_report_red(scene: Scene, planted: str, tmp_path: Path) -> None:
    """By the count that it is about; and without a bug the faults of all three leave every count at 0."""
    faults = FAULTS[planted] if planted else sorted((fault for each in FAULTS.values() for fault in each), key=lambda f: f.at_s)
    options = Options(seed=1, minutes=SECONDS / 60, planted=planted, spare_one=False)
    record = under_faults(scene.stage, Trial(scene.plan, scene.reference, faults, seen_enough, PACE), options, Show())
    report = write_report(tmp_path, record)
    assert record.verdict.void == ()
    assert report["faults_total"] >= 1, report["not_injected"]
    if planted:
        assert report["verdict"] == "red"
        assert SYMPTOMS[planted] <= {name for name, lines in report["details"].items() if lines}
    else:
        assert (report["verdict"], report["problems"]) == ("green", [])
