"""What the person who waits sees: the phase, how far it is, which faults are under way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_PLAIN_EVERY_S = 15.0


class Show:
    """A live line on a terminal, plain lines now and then elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._told_at = 0.0
        self._task: TaskID | None = None
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[now]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Self:
        """Begin to show."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()

    def say(self, what: str) -> None:
        """Tell one thing."""
        self._progress.console.print(f"[dim]{time.strftime('%H:%M:%S')}[/dim] {what}", highlight=False)

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a phase, `total` messages long."""
        self.say(name)
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        if total is not None:
            self._task = self._progress.add_task(name, total=total, now="")

    def tick(self, sent: int, predicted: int, faults: int, active: Sequence[str]) -> None:
        """Say how far it is."""
        now = f"{faults} faults {' '.join(active)}" if faults or active else ""
        if self._task is not None:
            self._progress.update(self._task, completed=predicted, now=now)
        if self._progress.disable and time.monotonic() - self._told_at > _PLAIN_EVERY_S:
            self._told_at = time.monotonic()
            self.say(f"sent {sent}, accounted for {predicted} {now}".rstrip())
