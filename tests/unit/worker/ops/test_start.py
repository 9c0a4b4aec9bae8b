import threading
from collections.abc import Callable
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from tests.unit.worker.ops.builders import Clock, watch
from worker.errors import ContractError, RetryableError, StoppedError
from worker.ops.start import Start
from worker.ops.watch import ModelWatch


class Stop(threading.Event):
    """Keeps how long it was waited for, and turns the clock instead of waiting; set after so many waits."""

    def __init__(self, clock: Clock, waits: int = 100) -> None:
        super().__init__()
        self.waited: list[float] = []
        self._clock = clock
        self._waits = waits

    def wait(self, timeout: float | None = None) -> bool:
        """Do not wait."""
        self.waited.append(timeout or 0)
        self._clock.now_s += timeout or 0
        if len(self.waited) >= self._waits:
            self.set()
        return self.is_set()


class Bench:
    """A start with a clock, and a neighbour that fails with these messages before it answers."""

    def __init__(self, *failures: str, waits: int = 100, jitter: float = 1.0) -> None:
        self.clock = Clock()
        self.watch = watch(clock=self.clock)
        self.stop = Stop(self.clock, waits)
        self.start = Start(self.watch, ModelWatch(), self.stop, self.clock, lambda: jitter)
        self.failures = list(failures)

    def call(self) -> str:
        """Fail as told, then answer."""
        if self.failures:
            raise RetryableError(self.failures.pop(0))
        return "here"

    def until(self, call: Callable[[], str] | None = None) -> str:
        """Wait for Kafka."""
        return self.start.until("kafka", "Kafka at 127.0.0.1:9092", call or self.call, "is it up?")


def test_a_neighbour_that_is_not_there_yet_is_waited_for() -> None:
    """With pauses of 1 s doubling to 15 s."""
    bench = Bench(*["away"] * 6)
    assert bench.until() == "here"
    assert bench.stop.waited == [1, 2, 4, 8, 15, 15]
    assert bench.watch.health.readiness().parts["kafka"]["message"] == "Kafka at 127.0.0.1:9092 is there"


def test_workers_that_start_together_do_not_ask_together() -> None:
    """Jitter takes any part of each pause."""
    bench = Bench(*["away"] * 6, jitter=0.25)
    bench.until()
    assert bench.stop.waited == [0.25, 0.5, 1, 2, 3.75, 3.75]


def test_meanwhile_it_says_what_is_waited_for_and_what_to_do() -> None:
    """The part, its address, the error and the remedy; the role says so too, and goes on breathing."""
    bench = Bench(*["connection refused"] * 200, waits=20)
    with pytest.raises(StoppedError, match=r"told to leave while waiting for Kafka at 127\.0\.0\.1:9092"):
        bench.until()
    readiness = bench.watch.health.readiness()
    told = "waiting for Kafka at 127.0.0.1:9092: connection refused; is it up?"
    assert readiness.parts["kafka"]["message"] == told
    assert readiness.parts["score"]["message"] == f"starting: {told}"
    assert readiness.waiting_for == ["kafka", "score"]
    assert bench.watch.health.silent_s("score") <= 15


def test_the_log_is_told_at_first_and_then_ever_less() -> None:
    """Once at once, once for another error, then after 30 s, 60 s, 120 s, 240 s and every 300 s; and when it is there."""
    bench = Bench(*["refused"] * 3, *["loading"] * 200, waits=200)
    with capture_logs() as lines:
        bench.until(lambda: bench.call() if bench.clock.now_s < 1_700_000_000 + 1_500 else "here")
    warnings = [line["for_s"] for line in lines if line["event"] == "waiting"]
    assert warnings[:2] == [0, 7]
    gaps = [later - earlier for earlier, later in pairwise(warnings[1:])]
    assert all(gap in range(at, at + 16) for gap, at in zip(gaps, [30, 60, 120, 240, 300, 300], strict=False))
    assert len(gaps) in range(6, 9)
    assert lines[-1]["event"] == "there at last"


def test_what_is_there_at_once_is_no_news() -> None:
    """No line, no pause."""
    bench = Bench()
    with capture_logs() as lines:
        assert bench.until() == "here"
    assert (lines, bench.stop.waited) == ([], [])


def test_a_stop_during_the_call_ends_it_too() -> None:
    """Without another pause."""
    bench = Bench("away")
    bench.stop.set()
    with pytest.raises(StoppedError):
        bench.until()
    assert bench.stop.waited == []


def test_an_error_that_will_not_pass_is_not_waited_for() -> None:
    """A wrong contract stays wrong."""

    def call() -> str:
        raise ContractError("another model")

    bench = Bench()
    with pytest.raises(ContractError):
        bench.until(call)
    assert bench.stop.waited == []
