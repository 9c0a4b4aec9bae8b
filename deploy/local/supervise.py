"""Own the stack of a folder for as long as it is up: start it, watch it, take it down.

`tidings up` runs `supervise` itself; `tidings up --detach` runs this file as a process of its own
(`python -m deploy.local.supervise`), which tells its progress on standard output, one JSON object a line.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil

from deploy.local.config import StackConfig
from deploy.local.errors import LocalStackError, PartFailedError, tail
from deploy.local.process import session_pids
from deploy.local.report import Health, PartReport
from deploy.local.stack import LocalStack
from deploy.local.state import StackState, StateFiles
from deploy.local.system import Say

WATCH_EVERY_S = 2.0
DOWN_LIMIT_S = 60.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into KeyboardInterrupt; later ones wait until the block has ended.

    An exception and not a flag, because the steps before the stack is up (Maven, uv, waiting) have no loop of ours.
    """

    def interrupt(*_: object) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def supervise(config: StackConfig, say: Say, on_up: Callable[[LocalStack], None]) -> int:
    """Start the stack and hold it until a signal comes.

    Args:
        config: what to start.
        say: is told of each long step, and of a part that dies.
        on_up: called once, when every part serves.

    Returns:
        The number of parts that died meanwhile.

    Raises:
        LocalStackError: the stack is up already, or did not come up.
    """
    files = StateFiles(config.state)
    with interrupted_by_signals(), files.owned():
        dead: set[str] = set()
        with contextlib.suppress(KeyboardInterrupt):
            await_leftovers(files)
            with LocalStack.start(config, say) as stack:
                files.write_env(stack.settings_env())
                files.write(_state(stack))
                on_up(stack)
                while True:
                    time.sleep(WATCH_EVERY_S)
                    _watch(stack, files, say, dead)
        return len(dead)


def _state(stack: LocalStack) -> StackState:
    return StackState(os.getpid(), str(stack.logs), ready=True, parts=tuple(stack.reports()))


def _watch(stack: LocalStack, files: StateFiles, say: Say, dead: set[str]) -> None:
    """Look at each part once; a part that has died is named once, the others stay up."""
    state = _state(stack)
    files.write(state)
    for part in state.parts:
        if part.health is Health.DEAD and part.name not in dead:
            dead.add(part.name)
            say(f"{part.name} {part.note}\n  log: {part.log}\n{tail(Path(part.log))}")


def await_leftovers(files: StateFiles, limit_s: float = DOWN_LIMIT_S) -> None:
    """Wait for the guards of a stack whose supervisor was killed; they end by themselves.

    Raises:
        LocalStackError: they have not after `limit_s` seconds.
    """
    state = files.read()
    deadline = time.monotonic() + limit_s
    while state is not None and (left := leftovers(state.parts)):
        if time.monotonic() > deadline:
            raise LocalStackError(f"processes of an earlier stack are still there: {left}")
        time.sleep(0.1)


def leftovers(parts: Sequence[PartReport]) -> list[int]:
    """Guards in these reports that still live, with everything in their sessions."""
    return [pid for part in parts if part.pids and _is_guard(part.pids[0]) for pid in session_pids(part.pids[0])]


def _is_guard(pid: int) -> bool:
    try:
        return any(word.endswith("guard.py") for word in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


def bring_down(state: Path) -> bool:
    """End the stack of a folder and wait until every process of it is gone.

    Returns:
        False when there was none.

    Raises:
        LocalStackError: something is still there after a minute.
    """
    files = StateFiles(state)
    last = files.read()
    owner = files.owner()
    if owner is None and (last is None or not leftovers(last.parts)):
        files.remove()
        return False
    if owner is not None:
        _end(owner, files)
    if last is not None:
        files.write(last)
        await_leftovers(files)
    files.remove()
    return True


def _end(owner: int, files: StateFiles) -> None:
    """SIGTERM to the supervisor; SIGKILL when it does not end, upon which the guards take over."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(owner, number)
        deadline = time.monotonic() + DOWN_LIMIT_S
        while time.monotonic() < deadline:
            if files.owner() is None:
                return
            time.sleep(0.1)


def detach(config: StackConfig, say: Say) -> StackState:
    """Start a supervisor of its own and return when every part serves.

    Raises:
        LocalStackError: the stack is up already, or did not come up.
    """
    files = StateFiles(config.state)
    if files.owner() is not None:
        raise files.already_up()
    config.state.mkdir(parents=True, exist_ok=True)
    order = {"state": str(config.state), "models": str(config.model_repository), "data": str(config.data_dir or "")}
    with (config.state / "supervisor.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "deploy.local.supervise", json.dumps(order)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            text=True,
        )
    with contextlib.ExitStack() as giving_up:
        giving_up.callback(child.wait)
        giving_up.callback(child.terminate)
        state = _follow(child, files, say)
        giving_up.pop_all()
    return state


def _follow(child: subprocess.Popen[str], files: StateFiles, say: Say) -> StackState:
    if child.stdout is None:
        raise LocalStackError("the supervisor has no standard output")
    with child.stdout as lines:
        for line in lines:
            news = json.loads(line)
            if "error" in news:
                raise LocalStackError(news["error"])
            if "up" in news and (state := files.read()) is not None:
                return state
            say(news.get("say", ""))
    raise PartFailedError(f"the supervisor ended with status {child.wait()}; see {files.state.parent}/supervisor.log")


def _tell(**news: object) -> None:
    """Say it to who detached us; once that one has left, keep it in the supervisor's log."""
    try:
        sys.stdout.write(json.dumps(news) + "\n")
        sys.stdout.flush()
    except ValueError:
        sys.stderr.write(f"{news}\n")


def _main(order: dict[str, str]) -> int:
    config = StackConfig.from_environment().but(
        state=Path(order["state"]),
        model_repository=Path(order["models"]),
        data_dir=Path(order["data"]) if order["data"] else None,
    )

    def up(_: LocalStack) -> None:
        _tell(up=True)
        sys.stdout.close()

    try:
        return supervise(config, lambda words: _tell(say=words), up)
    except LocalStackError as error:
        _tell(error=error.message)
        return 1


if __name__ == "__main__":
    sys.exit(_main(json.loads(sys.argv[1])))
