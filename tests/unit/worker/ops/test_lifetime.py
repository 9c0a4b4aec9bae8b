import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from tests.unit.worker.ops.builders import Clock, health
from worker.errors import ContractError, FatalError, StoppedError, UnfinishedError
from worker.ops.health import Health
from worker.ops.lifetime import Build, Lifetime, Role

LONG_S = 60.0


class Loop:
    """A role that ends when told to, or with an error; with `in_hand` it hangs, until it is hastened or for ever."""

    def __init__(self, error: Exception | None = None, in_hand: int = 0, deaf: bool = False) -> None:
        self.in_hand = in_hand
        self.running, self.leaving = threading.Event(), threading.Event()
        self.finished = False
        self._error = error
        self._deaf = deaf
        self._hastened = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Work."""
        self.running.set()
        if self._error:
            raise self._error
        stop.wait(LONG_S)
        self.leaving.set()
        if self.in_hand:
            (threading.Event() if self._deaf else self._hastened).wait(LONG_S)
        self.finished = True

    def hasten(self) -> None:
        """Drop everything, or do not listen."""
        self._hastened.set()


class Exit:
    """Stands for the end of the process."""

    def __init__(self) -> None:
        self.code: int | None = None

    def __call__(self, code: int) -> NoReturn:
        """End with this code."""
        self.code = code
        raise SystemExit(code)


def building(role: Role) -> Build:
    """What builds a role that is there already."""
    return lambda _stack, _stop: role


def lifetime(timeout_s: float = LONG_S, told: Health | None = None) -> tuple[Lifetime, Exit]:
    """A life with an end that can be looked at."""
    end = Exit()
    return Lifetime(told or health(Clock()), timeout_s, end), end


class Signals:
    """Sends itself signals from another thread, each when its condition has come true."""

    def __init__(self, *steps: tuple[Callable[[], object], signal.Signals]) -> None:
        self._thread = threading.Thread(target=self._send, args=(steps,))

    def _send(self, steps: tuple[tuple[Callable[[], object], signal.Signals], ...]) -> None:
        for condition, number in steps:
            condition()
            os.kill(os.getpid(), number)

    def __enter__(self) -> None:
        """Begin."""
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """All of them were sent."""
        self._thread.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_work(number: signal.Signals) -> None:
    """The roles finish, and the handlers of before come back."""
    before = signal.getsignal(number)
    score, alert = Loop(), Loop()
    life, end = lifetime()
    with Signals((alert.running.wait, number)):
        life.run({"score": building(score), "alert": building(alert)})
    assert score.finished
    assert alert.finished
    assert end.code is None
    assert signal.getsignal(number) is before


def test_a_hangup_ends_nothing() -> None:
    """It is passed on, each time, and a signal to leave is still the first one afterwards."""
    loop, heard = Loop(), threading.Semaphore(0)
    end = Exit()
    life = Lifetime(health(Clock()), LONG_S, end, on_hangup=heard.release)
    with Signals((loop.running.wait, signal.SIGHUP), (heard.acquire, signal.SIGHUP), (heard.acquire, signal.SIGTERM)):
        life.run({"alert": building(loop)})
    assert loop.finished
    assert end.code is None


def test_while_it_works_health_follows_the_roles_and_then_no_more() -> None:
    """A role that leaves is not ready, and not dead either."""
    told, loop = health(Clock()), Loop()
    life, _ = lifetime(told=told)

    def look() -> None:
        loop.running.wait()
        assert told.faults() == []

    with Signals((look, signal.SIGTERM)):
        life.run({"score": building(loop)})
    assert told.faults() == []
    assert told.readiness().parts["score"]["message"] == "leaving: SIGTERM"


@pytest.mark.parametrize("error", [FatalError("fenced"), ZeroDivisionError()])
def test_one_role_that_ends_ends_the_others_in_order(error: Exception) -> None:
    """The others finish what they have in hand; the process leaves with the cause, so that it is started anew."""
    quiet = Loop()
    life, _ = lifetime()
    with pytest.raises(type(error)):
        life.run({"score": building(Loop(error)), "alert": building(quiet)})
    assert quiet.finished


def test_what_was_built_is_closed_when_the_rest_cannot_be() -> None:
    """An error while building leaves no connection open."""
    closed: list[str] = []

    def half(stack: ExitStack, _stop: threading.Event) -> Role:
        stack.callback(closed.append, "the sink")
        raise ContractError("no")

    life, _ = lifetime()
    with pytest.raises(ContractError):
        life.run({"score": half})
    assert closed == ["the sink"]


def test_a_stop_while_waiting_at_the_start_is_no_failure() -> None:
    """Nothing was in hand."""
    waiting = threading.Event()

    def wait(_stack: ExitStack, stop: threading.Event) -> Role:
        waiting.set()
        stop.wait(LONG_S)
        raise StoppedError("told to leave while waiting for Kafka")

    life, end = lifetime()
    with Signals((waiting.wait, signal.SIGTERM)):
        life.run({"score": wait})
    assert end.code is None


def test_a_start_in_the_middle_of_a_long_call_is_left_alone() -> None:
    """The process ends a second later, with 0: the call may take its time, and nothing hangs on it."""
    calling, never = threading.Event(), threading.Event()

    def call(_stack: ExitStack, _stop: threading.Event) -> Role:
        calling.set()
        never.wait(LONG_S)
        raise StoppedError("at last")

    life, end = lifetime()
    with Signals((calling.wait, signal.SIGTERM)), pytest.raises(SystemExit):
        life.run({"score": call})
    assert end.code == 0
    never.set()


def test_a_second_signal_hastens_it() -> None:
    """What is in hand is dropped; the exit says that it was."""
    loop = Loop(in_hand=7)
    life, end = lifetime()
    with (
        Signals((loop.running.wait, signal.SIGTERM), (loop.leaving.wait, signal.SIGTERM)),
        pytest.raises(UnfinishedError) as left,
    ):
        life.run({"score": building(loop)})
    assert "score: 7 records in hand" in str(left.value)
    assert (loop.finished, end.code) == (True, None)


def test_before_the_time_is_over_it_hastens_by_itself() -> None:
    """So that what is done can still be committed and the group be left."""
    loop = Loop(in_hand=7)
    life, end = lifetime(timeout_s=0.2)
    with Signals((loop.running.wait, signal.SIGTERM)), pytest.raises(UnfinishedError), capture_logs() as lines:
        life.run({"score": building(loop)})
    assert [line["score_in_hand"] for line in lines if line["event"].startswith("hastening")] == [7]
    assert end.code is None


def test_a_role_that_does_not_come_back_holds_nobody_up() -> None:
    """The process ends when the time is over, with a code of its own, and says what was left."""
    deaf, quiet = Loop(in_hand=7, deaf=True), Loop()
    life, end = lifetime(timeout_s=0.2)
    with Signals((deaf.running.wait, signal.SIGTERM)), pytest.raises(SystemExit), capture_logs() as lines:
        life.run({"score": building(deaf), "alert": building(quiet)})
    assert end.code == UnfinishedError.exit_code == 3
    assert "score: 7 records in hand" in lines[-1]["event"]
    assert quiet.finished


def test_a_failure_stays_a_failure_when_another_role_hangs() -> None:
    """Its cause is told, and the exit code is that of an error."""
    deaf = Loop(in_hand=1, deaf=True)
    failing = Loop(FatalError("fenced"))
    life, end = lifetime(timeout_s=0.2)
    with pytest.raises(SystemExit), capture_logs() as lines:
        life.run({"score": building(deaf), "alert": building(failing)})
    assert end.code == 1
    assert lines[-1]["error"] == "fenced"


def test_a_role_that_gives_up_in_the_middle_was_not_finished() -> None:
    """Hastened while its store did not answer, say."""
    life, _ = lifetime()
    with pytest.raises(UnfinishedError, match="alert: the store does not answer"):
        life.run({"alert": building(Loop(StoppedError("the store does not answer")))})


def test_nobody_speaks_for_a_role_that_has_not_begun() -> None:
    """A worker is not ready while a role still reads its files, though another says that all is well."""
    told, seen = health(Clock()), list[bool]()
    ready, slow, quick = threading.Event(), Loop(), Loop()

    def build_slowly(_stack: ExitStack, _stop: threading.Event) -> Role:
        ready.wait(LONG_S)
        return slow

    def build_quickly(_stack: ExitStack, _stop: threading.Event) -> Role:
        told.report("alert", "alert", True, "in the group")
        seen.append(told.readiness().ready)
        told.report("score", "score", True, "in the group")
        seen.append(told.readiness().ready)
        ready.set()
        return quick

    life, _ = lifetime(told=told)
    with Signals((lambda: (slow.running.wait(LONG_S), quick.running.wait(LONG_S)), signal.SIGTERM)):
        life.run({"score": build_slowly, "alert": build_quickly})
    assert seen == [False, True]
