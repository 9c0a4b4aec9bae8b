import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from deploy.local import guarded
from deploy.local.guarded import Guarded
from deploy.local.process import session_pids

LIMIT_S = 20.0
SLEEP = ["sleep", "1000"]
FAMILY = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); signal.pause()"
stubborn = [sys.executable, "-c", code]
child = subprocess.Popen(stubborn, stdout=subprocess.PIPE)
loner = subprocess.Popen(stubborn, stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline(), loner.stdout.readline()
print("ready", flush=True)
signal.pause()
"""


def start(folder: Path, command: Sequence[str], grace_s: float = 5.0, remove: Sequence[str] = ()) -> Guarded:
    """A guarded program with its log in the folder."""
    return guarded.start(command, folder / "log", folder=folder, env=dict(os.environ), grace_s=grace_s, remove=remove)


def wait_for_log(folder: Path, text: str) -> None:
    """Until the program has said so."""
    deadline = time.monotonic() + LIMIT_S
    while text not in (folder / "log").read_text():
        assert time.monotonic() < deadline


def assert_gone(processes: Sequence[psutil.Process]) -> None:
    """All of them end within the limit."""
    assert psutil.wait_procs(processes, timeout=LIMIT_S)[1] == []


def test_the_program_runs_with_the_environment_it_is_given(tmp_path: Path) -> None:
    """Only that environment, in that folder, with the output in that log."""
    program = guarded.start(
        ["/bin/sh", "-c", 'echo "$GIVEN-$HOME"; pwd'], tmp_path / "log", folder=tmp_path, env={"GIVEN": "x"}, grace_s=1
    )
    assert program.wait(LIMIT_S) == 0
    assert (tmp_path / "log").read_text().splitlines() == ["x-", str(tmp_path)]


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 128 + 9)])
def test_the_exit_status_is_passed_on(tmp_path: Path, script: str, status: int) -> None:
    """As a shell tells it: 128 and the signal for a killed one."""
    assert start(tmp_path, ["/bin/sh", "-c", script]).wait(LIMIT_S) == status


def test_a_program_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    """Said at once, and no guard stays."""
    with pytest.raises(OSError, match="no-such-program"):
        start(tmp_path, ["/no-such-program"])


def test_stop_is_graceful(tmp_path: Path) -> None:
    """The program gets SIGTERM and may end in its own way."""
    program = start(tmp_path, ["/bin/sh", "-c", "trap 'echo farewell; exit 3' TERM; echo up; while :; do sleep 0.1; done"])
    wait_for_log(tmp_path, "up")
    program.say("stop")
    assert program.wait(LIMIT_S) == 3
    assert "farewell" in (tmp_path / "log").read_text()


def test_what_ignores_sigterm_is_killed_with_its_descendants(tmp_path: Path) -> None:
    """After the grace nothing is left: not the program, not its child, not a grandchild in a session of its own."""
    program = start(tmp_path, [sys.executable, "-c", FAMILY], grace_s=0.2)
    wait_for_log(tmp_path, "ready")
    family = psutil.Process(program.guard_pid).children(recursive=True)
    assert len(family) == 3
    program.say("stop")
    assert program.wait(LIMIT_S) == 128 + signal.SIGKILL
    assert_gone(family)


def test_kill_does_not_wait_for_the_grace(tmp_path: Path) -> None:
    """Even after a stop whose grace is long."""
    program = start(tmp_path, [sys.executable, "-c", FAMILY], grace_s=1000)
    wait_for_log(tmp_path, "ready")
    program.say("stop")
    program.say("kill")
    assert program.wait(LIMIT_S) == 128 + signal.SIGKILL


def test_a_paused_program_can_be_stopped(tmp_path: Path) -> None:
    """SIGTERM alone would wait until it is resumed."""
    program = start(tmp_path, SLEEP, grace_s=1000)
    os.kill(program.pid, signal.SIGSTOP)
    program.say("stop")
    assert program.wait(LIMIT_S) == 128 + signal.SIGTERM


def test_orphans_of_a_crashed_program_are_killed(tmp_path: Path) -> None:
    """When the program dies by itself, what it started goes too."""
    program = start(tmp_path, [sys.executable, "-c", FAMILY])
    wait_for_log(tmp_path, "ready")
    family = psutil.Process(program.guard_pid).children(recursive=True)
    os.kill(program.pid, signal.SIGKILL)
    assert program.wait(LIMIT_S) == 128 + signal.SIGKILL
    assert_gone(family)


def test_files_left_behind_are_removed(tmp_path: Path) -> None:
    """Those that match, and no other."""
    for name in ("region_1", "region_2", "other"):
        (tmp_path / name).write_text("")
    assert start(tmp_path, ["true"], remove=[f"{tmp_path}/region_*"]).wait(LIMIT_S) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "other"]


def test_nothing_survives_kill_9_of_the_parent(tmp_path: Path) -> None:
    """The guard notices that its parent is gone, ends the program and itself."""
    script = (
        "import os, pathlib, sys; from deploy.local import guarded\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        f"program = guarded.start([sys.executable, '-c', {FAMILY!r}], folder / 'log', folder=folder, env={{}}, grace_s=0.2)\n"
        "print(program.guard_pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        guard = psutil.Process(int(parent.stdout.readline()))
        wait_for_log(tmp_path, "ready")
        everyone = [guard, *guard.children(recursive=True)]
        assert len(everyone) == 4
        parent.kill()
    assert_gone(everyone)


def test_a_guard_that_is_killed_takes_the_program_along(tmp_path: Path) -> None:
    """The kernel sees to that (PR_SET_PDEATHSIG)."""
    program = start(tmp_path, SLEEP)
    server = psutil.Process(program.pid)
    assert session_pids(program.guard_pid) == [program.guard_pid, program.pid]
    os.kill(program.guard_pid, signal.SIGKILL)
    assert_gone([server])
    assert program.wait(LIMIT_S) == -signal.SIGKILL
    assert session_pids(program.guard_pid) == []
