import os
import signal
import sys
from pathlib import Path

import pytest

from deploy.local import guarded
from deploy.local.report import Health, Kind, PartReport
from deploy.local.state import StackState, StateFiles
from deploy.local.supervise import bring_down, interrupted_by_signals, leftovers

RELUCTANT = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit(143)))
print("ready", flush=True)
time.sleep(1000)
"""
"""A program that takes a second to end: long enough for `down` to find it."""


def test_down_without_a_stack_says_so_and_tidies(tmp_path: Path) -> None:
    """Files of a stack that is long gone are removed."""
    assert not bring_down(tmp_path)
    files = StateFiles(tmp_path)
    files.write(StackState(1, parts=(PartReport("redis", Kind.STARTED, Health.READY, "redis", pids=(2**30,)),)))
    files.write_env({"A": "1"})
    assert not bring_down(tmp_path)
    assert not files.state.exists()
    assert not files.env.exists()


def test_a_process_that_took_an_old_number_is_not_a_leftover() -> None:
    """Process ids are used again; only a guard counts."""
    assert leftovers([PartReport("redis", Kind.STARTED, Health.READY, "redis", pids=(os.getpid(),))]) == []


def test_down_waits_for_the_guards_of_a_killed_supervisor(tmp_path: Path) -> None:
    """They end by themselves; `down` returns when they have."""
    program = guarded.start(
        [sys.executable, "-c", RELUCTANT], tmp_path / "log", folder=tmp_path, env=dict(os.environ), grace_s=10
    )
    part = PartReport("redis", Kind.STARTED, Health.READY, "redis", pids=(program.guard_pid, program.pid))
    assert leftovers([part]) == [program.guard_pid, program.pid]
    while "ready" not in (tmp_path / "log").read_text():
        pass
    StateFiles(tmp_path).write(StackState(2**30, parts=(part,)))
    program.say("stop")
    assert bring_down(tmp_path)
    assert leftovers([part]) == []
    assert program.wait(10) == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_interrupts_and_later_ones_do_not(number: signal.Signals) -> None:
    """Taking down is not cut short; afterwards the handlers are as before."""
    before = signal.getsignal(number)
    with interrupted_by_signals():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
