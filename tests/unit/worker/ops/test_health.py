import threading

import pytest

from tests.unit.worker.ops.builders import Clock, health
from worker.ops.health import stall_limit_s
from worker.settings import Settings


def ended() -> threading.Thread:
    """A thread that is gone."""
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    return thread


def test_nothing_is_ready_before_anything_was_said() -> None:
    """An empty answer is not a good one."""
    assert not health(Clock()).readiness().ready


def test_it_is_ready_when_every_part_is() -> None:
    """One part that is waited for is named, with its message and since when."""
    clock = Clock()
    told = health(clock)
    told.report("kafka", "score", True, "connected")
    told.report("model", "score", False, "waiting for Triton at 127.0.0.1:8001")
    readiness = told.readiness()
    assert (readiness.ready, readiness.waiting_for) == (False, ["model"])
    assert readiness.parts["model"] == {
        "ready": False,
        "since": "2023-11-14T22:13:20+00:00",
        "message": "waiting for Triton at 127.0.0.1:8001",
    }
    told.report("model", "score", True, "answers")
    assert told.readiness().ready
    assert told.waiting_for() == []


def test_since_is_when_it_became_so() -> None:
    """Another message about the same trouble does not make the trouble younger."""
    clock = Clock()
    told = health(clock)
    told.report("redis", "alert", False, "refused")
    clock.now_s += 60
    told.report("redis", "alert", False, "loading")
    assert told.readiness().parts["redis"]["since"] == "2023-11-14T22:13:20+00:00"
    assert told.readiness().parts["redis"]["message"] == "loading"
    told.report("redis", "alert", True, "answers")
    assert told.readiness().parts["redis"]["since"] == "2023-11-14T22:14:20+00:00"


@pytest.mark.parametrize("order", [("score", "alert"), ("alert", "score")])
def test_a_part_is_as_ready_as_the_role_that_sees_it_worst(order: tuple[str, str]) -> None:
    """Kafka may have one role's topics and not the other's."""
    told = health(Clock())
    for role in order:
        told.report("kafka", role, role == "alert", f"{role} says so")
    assert told.readiness().parts["kafka"]["message"] == "score says so"
    assert told.waiting_for() == ["kafka"]


def test_no_neighbour_makes_it_dead() -> None:
    """Whatever is waited for, and for however long: as long as the loops come round, a restart would mend nothing."""
    clock = Clock()
    told = health(clock)
    told.follow("score", threading.current_thread())
    for part in ("kafka", "redis", "model", "score"):
        told.report(part, "score", False, "away")
    for _ in range(100):
        clock.now_s += 99
        told.beat("score")
        assert told.faults() == []


@pytest.mark.parametrize(("silent_s", "dead"), [(99, False), (100, False), (101, True)])
def test_a_loop_that_does_not_come_round_is_dead(silent_s: float, dead: bool) -> None:
    """Past the limit, and not before."""
    clock = Clock()
    told = health(clock)
    told.follow("score", threading.current_thread())
    clock.now_s += silent_s
    assert told.silent_s("score") == silent_s
    assert [fault.startswith("the score role's loop has not come round for 101 s") for fault in told.faults()] == [True] * dead


def test_a_thread_that_is_gone_is_dead() -> None:
    """Unless it was released: a role that leaves is no fault."""
    told = health(Clock())
    told.follow("alert", ended())
    assert told.faults() == ["the alert role's thread is gone"]
    told.release("alert")
    assert told.faults() == []


def test_a_role_that_was_never_followed_is_not_late() -> None:
    """There is nothing to be late for."""
    assert health(Clock()).silent_s("score") == 0


def test_the_limit_is_longer_than_every_bounded_wait() -> None:
    """Two transactions that hang, the rewinding that follows, and the time after which the group would miss it."""
    settings = Settings()
    transactions = 2 * (settings.kafka.transaction_timeout_s + 15)
    assert stall_limit_s(settings) >= transactions + 6 * 30 + settings.kafka.max_poll_interval_s
    slow = Settings(redis=settings.redis.model_copy(update={"timeout_s": 60}))
    assert stall_limit_s(slow) >= transactions + 5 * (30 + 2 * 4 * 60)
