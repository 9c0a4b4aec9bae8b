from collections import Counter
from itertools import pairwise

import pytest

from tests.chaos.faults import CATALOGUE
from tests.chaos.schedule import QUIET_START_S, Kind, bursts, make_schedule

KINDS = [fault.kind for fault in CATALOGUE.values()]
ISSUE = {
    *("score_kill", "score_term", "alert_kill", "alert_term", "score_zombie", "alert_zombie", "worker_added", "worker_removed"),
    *("broker_kill", "broker_term", "leader_moved", "controller_killed", "kafka_restarted", "kafka_cut", "kafka_latency"),
    *("redis_cut", "redis_latency", "redis_killed", "redis_emptied", "redis_failover", "triton_cut", "triton_latency"),
    *("triton_killed", "triton_hangs", "triton_slow", "triton_errors", "model_reloaded", "model_replaced", "disk_full"),
    *("clock_jump", "burst"),
}


def test_catalogue_has_every_fault_of_the_issue() -> None:
    """What the issue asks for is there, and every named point of the commit path."""
    assert CATALOGUE.keys() >= ISSUE
    assert len([name for name in CATALOGUE if name.startswith("point:")]) == 13


def test_same_seed_same_schedule() -> None:
    """A run can be repeated; another seed gives another."""
    assert make_schedule(3, 600, KINDS) == make_schedule(3, 600, KINDS)
    assert make_schedule(3, 600, KINDS) != make_schedule(4, 600, KINDS)


@pytest.mark.parametrize("seed", range(5))
def test_twenty_minutes_hold_two_hundred_faults_of_every_kind(seed: int) -> None:
    """The goal of the issue, for any seed; none beyond the end or before the workers are there."""
    schedule = make_schedule(seed, 1190, KINDS)
    assert len(schedule) >= 220
    assert {fault.kind for fault in schedule} == CATALOGUE.keys()
    assert all(QUIET_START_S <= fault.at_s <= fault.at_s + fault.lasts_s <= 1190.01 for fault in schedule)
    assert [fault.at_s for fault in schedule] == sorted(fault.at_s for fault in schedule)


def test_some_come_together() -> None:
    """Faults come singly and at one moment."""
    at_one_moment = Counter(Counter(fault.at_s for fault in make_schedule(1, 1190, KINDS)).values())
    assert at_one_moment[1] > 50
    assert at_one_moment[2] > 20


@pytest.mark.parametrize("seed", range(5))
def test_no_two_of_a_group_at_one_time(seed: int) -> None:
    """What takes something for itself has it, until its rest is over: at most one broker is down, say."""
    kinds = {kind.name: kind for kind in KINDS}
    free_at: dict[str, float] = {}
    for fault in make_schedule(seed, 1190, KINDS):
        kind = kinds[fault.kind]
        if kind.group:
            assert fault.at_s >= free_at.get(kind.group, 0) - 0.02
            free_at[kind.group] = fault.at_s + fault.lasts_s + kind.rest_s


def test_every_kind_comes_once_before_any_comes_twice_when_all_are_free() -> None:
    """A short run sees as many kinds as it has faults."""
    kinds = [Kind(str(number)) for number in range(30)]
    first = [fault.kind for fault in make_schedule(1, 600, kinds)][:30]
    assert sorted(first, key=int) == [kind.name for kind in kinds]


def test_nothing_free_means_no_fault() -> None:
    """With one group and one kind, its faults keep their distance."""
    schedule = make_schedule(1, 100, [Kind("only", "group", (5, 5), 5)], every_s=0.5)
    assert len(schedule) > 5
    assert all(later.at_s - earlier.at_s >= 9.98 for earlier, later in pairwise(schedule))


def test_bursts_are_told_to_the_plan() -> None:
    """Start and length of each."""
    schedule = make_schedule(1, 1190, KINDS)
    assert bursts(schedule) == [(fault.at_s, fault.lasts_s) for fault in schedule if fault.kind == "burst"]
    assert bursts(schedule)
