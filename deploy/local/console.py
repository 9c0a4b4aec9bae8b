"""What `tidings up`, `down` and `status` do and show on a terminal."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import typer
from rich.console import Console
from rich.status import Status

from deploy.local import supervise, view
from deploy.local.config import StackConfig
from deploy.local.errors import LocalStackError
from deploy.local.stack import LocalStack
from deploy.local.state import StateFiles

STATE = Path(".tidings")
SETTINGS = STATE / "stack.env"
NOT_UP = 3


@contextlib.contextmanager
def errors_as_one_line() -> Iterator[None]:
    """Show an error of the local stack as its message and exit with 1, without a traceback."""
    try:
        yield
    except LocalStackError as error:
        typer.secho(f"tidings: {error.message}", fg="red", err=True)
        raise typer.Exit(1) from error


class _Progress:
    """Shows the step at work: as a spinner on a terminal, as lines elsewhere; long words always as lines."""

    def __init__(self, console: Console, spinner: Status) -> None:
        self._console = console
        self._spinner = spinner

    def __call__(self, words: str) -> None:
        if self._console.is_terminal and "\n" not in words:
            self._spinner.update(words)
        else:
            self._console.print(words, soft_wrap=True, markup=False, highlight=False)


def up(model_repository: Path, data_dir: Path | None, *, detach: bool) -> None:
    """Start the stack, and hold it until Ctrl-C unless `detach`.

    Raises:
        LocalStackError: it is up already, or did not come up.
        typer.Exit: status 1 when a part died while it was up.
    """
    config = StackConfig.from_environment().but(state=STATE, model_repository=model_repository, data_dir=data_dir)
    console = Console()
    with console.status("starting") as spinner:
        progress = _Progress(console, spinner)
        if detach:
            state = supervise.detach(config, progress)
        else:
            _hold(config, console, spinner)
            return
    console.print(view.table(state.parts))
    _say_where(console, state.logs, "end it with: tidings down")


def _hold(config: StackConfig, console: Console, spinner: Status) -> None:
    def show(stack: LocalStack) -> None:
        spinner.stop()
        console.print(view.table(stack.reports()))
        _say_where(console, str(stack.logs), "Ctrl-C ends it")

    dead = supervise.supervise(config, _Progress(console, spinner), show)
    console.print("down; nothing is left running")
    if dead:
        raise typer.Exit(1)


def _say_where(console: Console, logs: str, how_to_end: str) -> None:
    console.print(f"up; logs in {logs}, settings in {SETTINGS}; {how_to_end}", soft_wrap=True, highlight=False)


def down() -> None:
    """End the stack of this folder.

    Raises:
        LocalStackError: something of it is still there after a minute.
    """
    console = Console()
    with console.status("stopping"):
        was_up = supervise.bring_down(STATE.absolute())
    console.print("down; nothing is left running" if was_up else "no stack is up here")


def status(*, as_json: bool) -> int:
    """Show the stack of this folder.

    Returns:
        The exit status: 0 when every part is ready, 1 when one is not, 3 when no stack is up.
    """
    files = StateFiles(STATE)
    state = files.read() if files.owner() is not None else None
    summary = view.as_json(state, str(SETTINGS))
    console = Console()
    if as_json:
        typer.echo(json.dumps(summary))
    elif state is None:
        console.print("no stack is up here; start one with: tidings up")
    elif not state.ready:
        console.print(f"starting (process {state.pid})")
    else:
        console.print(view.table(state.parts))
        console.print(f"logs in {state.logs}, settings in {SETTINGS}", soft_wrap=True, highlight=False)
    if state is None:
        return NOT_UP
    return 0 if summary["ready"] else 1
