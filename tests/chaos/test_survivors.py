"""One worker of each role is spared, so that a leak has time to show, and what lived longest is what growth is told of."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.chaos.commands import summary
from tests.chaos.faults import CATALOGUE
from tests.chaos.observe import TopicNames
from tests.chaos.record import FaultDone, RunRecord, Sample
from tests.chaos.report import LONG_LIFE_S, figures, growth, longest_lives
from tests.chaos.stage import Stage
from tests.chaos.verify import Counts, Verdict
from tests.chaos.workers import Workers
from tests.chaos.world import NotInjectedError, World

ENDING = [
    *(f"{role}_{what}" for role in ("score", "alert") for what in ("kill", "term", "zombie")),
    "worker_removed",
    *(name for name in CATALOGUE if name.startswith("point:")),
]


def world_of_spared(folder: Path, each: int = 1) -> World:
    """A world of so many workers of each role, the first of them spared, in which nothing waits any more."""
    workers = Workers(folder, {}, {"score": each, "alert": each}, spare_one=True)
    for slot in workers.slots:
        slot.process = cast("Any", SimpleNamespace(pid=4_000_000, poll=lambda: None))
    return World(cast("Stage", None), workers, TopicNames("run"))


def life(process: str, pid: int, begin_s: float, end_s: float, figure: int = 100) -> list[Sample]:
    """A process looked at every five seconds, old enough from the first; its figure doubles in the last half."""
    count = int((end_s - begin_s) / 5) + 1
    return [
        Sample(begin_s + 5 * n, process, pid, 20 + 5 * n, figure * (2 if n > count / 2 else 1), figure) for n in range(count)
    ]


def test_the_first_of_each_role_is_spared(tmp_path: Path) -> None:
    """Where that is asked for; one that is added later is not."""
    workers = Workers(tmp_path, {}, {"score": 3, "alert": 2}, spare_one=True)
    workers.add("alert")
    assert [slot.name for slot in workers.slots if slot.spared] == ["score-1", "alert-1"]
    assert not any(slot.spared for slot in Workers(tmp_path, {}, {"score": 3}).slots)


@pytest.mark.parametrize("kind", ENDING)
def test_no_fault_ends_who_is_spared(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor stops it; no order is left for it, and nobody sends it a signal."""
    world = world_of_spared(tmp_path)
    signals: list[int] = []
    for slot in world.workers.slots:
        monkeypatch.setattr(slot, "signal", signals.append)
    world.over.set()
    with pytest.raises(NotInjectedError):
        CATALOGUE[kind].inject(world, random.Random(1), 0.0)
    assert signals == []
    assert all(slot.wanted and not (slot.folder / "point").exists() for slot in world.workers.slots)


def test_the_clock_of_who_is_spared_may_jump(tmp_path: Path) -> None:
    """And stays where it jumped to."""
    world = world_of_spared(tmp_path)
    did = CATALOGUE["clock_jump"].inject(world, random.Random(1), 0.0)
    (slot,) = [slot for slot in world.workers.slots if slot.name == did.target]
    assert abs(float((slot.folder / "clock").read_text())) >= 600


def test_a_clock_jumps_as_far_whoever_is_free(tmp_path: Path) -> None:
    """The seed decides; who is free hangs on the machine."""
    worlds = [world_of_spared(tmp_path, free) for free in (1, 2, 3, 4)]
    jumps = [CATALOGUE["clock_jump"].inject(world, random.Random(seed), 0.0).detail for seed in (1, 2, 3) for world in worlds]
    assert len(set(jumps)) == 3


def test_growth_is_of_the_longest_life() -> None:
    """However many shorter ones there are, and however much they grew or shrank."""
    short = life("score-2", 8, 0, 60, 9_000) + life("score-2", 9, 290, 300, 1)
    samples = sorted([*short, *life("score-1", 7, 50, 300)], key=lambda sample: sample.at_s)
    assert longest_lives(samples).keys() == {"score"}
    assert {sample.pid for sample in longest_lives(samples)["score"]} == {7}
    assert growth(samples, lambda sample: sample.rss_bytes) == {"score": 2.0}


def test_a_process_in_the_same_place_is_another_life() -> None:
    """What its predecessor held is not its own growth; and where none lived long, nothing is said."""
    samples = life("score-1", 7, 0, LONG_LIFE_S - 5, 1) + life("score-1", 8, LONG_LIFE_S, 2 * LONG_LIFE_S - 5, 9)
    assert growth(samples, lambda sample: sample.rss_bytes) == {}


def test_a_fault_without_effect_is_told_and_not_counted() -> None:
    """A failover that lost nothing has shown nothing; the summary for the terminal says so too."""
    faults = [
        FaultDone("redis_failover", "redis", 1, 2, "", injected=True),
        FaultDone("redis_failover", "redis", 3, 4, "", injected=True, effective=False),
        FaultDone("score_kill", "", 5, 6, "", injected=False),
    ]
    run = RunRecord(1, 1, Verdict(Counts(messages=9), {}), faults, life("score-1", 7, 0, 200))
    report = figures(run)
    assert (report["faults"], report["faults_total"]) == ({"redis_failover": 1}, 1)
    assert (report["faults_without_effect"], report["not_injected"]) == ({"redis_failover": 1}, {"score_kill": 1})
    assert report["survivors"] == {"score": "score-1, 220 s"}
    told = summary(report).splitlines()
    assert "without effect: redis_failover 1" in told
    assert "growth of memory: score 2.0" in told
