"""The files by which other commands find the stack: `stack.lock`, `stack.json` and `stack.env` in `.tidings`.

Who holds the lock is up, and its process id is in the lock file; the kernel frees the lock however the holder ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from deploy.local.errors import AlreadyUpError, LocalStackError
from deploy.local.paths import is_locked, locked
from deploy.local.report import PartReport


@dataclasses.dataclass(frozen=True)
class StackState:
    """What `tidings status` shows.

    Attributes:
        pid: the supervisor.
        logs: the folder of the logs.
        ready: False while the parts are coming up.
        parts: each part as last seen, at most a few seconds ago.
    """

    pid: int
    logs: str = ""
    ready: bool = False
    parts: tuple[PartReport, ...] = ()


class StateFiles:
    """The files in one `.tidings` folder."""

    def __init__(self, folder: Path) -> None:
        """Name them; nothing is written yet."""
        self._folder = folder
        self.lock = folder / "stack.lock"
        self.state = folder / "stack.json"
        self.env = folder / "stack.env"

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """Be the one stack of this folder; the files go when the block ends.

        Raises:
            AlreadyUpError: another process is.
        """
        with contextlib.ExitStack() as closing:
            try:
                closing.enter_context(locked(self.lock, "held"))
            except LocalStackError:
                raise self.already_up() from None
            self.lock.write_text(str(os.getpid()))
            closing.callback(self.remove)
            self.write(StackState(os.getpid()))
            yield

    def already_up(self) -> AlreadyUpError:
        """The error for a second `tidings up`."""
        return AlreadyUpError(
            f"a stack is already up here (process {self.owner()}); see it with: tidings status, end it with: tidings down"
        )

    def owner(self) -> int | None:
        """The process id of the stack's supervisor, None when no stack is up."""
        if not is_locked(self.lock):
            return None
        text = self.lock.read_text()
        return int(text) if text.isdigit() else None

    def write(self, state: StackState) -> None:
        """Write what `tidings status` shows, all or nothing."""
        fields = dataclasses.asdict(state) | {"parts": [part.to_dict() for part in state.parts]}
        _replace(self.state, json.dumps(fields, indent=1))

    def read(self) -> StackState | None:
        """What was written last, None when there is nothing (or only half of something)."""
        try:
            fields = json.loads(self.state.read_text())
            parts = tuple(PartReport.from_dict(part) for part in fields["parts"])
            return StackState(**{**fields, "parts": parts})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_env(self, settings: Mapping[str, str]) -> None:
        """Write `stack.env`, lines of KEY=VALUE that only this user may read: a URL may hold a password."""
        _replace(self.env, "".join(env_lines(settings)))

    def remove(self) -> None:
        """Remove what says that a stack is up; the lock file stays, unlocked."""
        self.state.unlink(missing_ok=True)
        self.env.unlink(missing_ok=True)


def env_lines(settings: Mapping[str, str]) -> Sequence[str]:
    """Lines of KEY=VALUE as dotenv reads them; values in single quotes where they need it."""
    return [f"{key}={_quoted(value)}\n" for key, value in sorted(settings.items())]


def _quoted(value: str) -> str:
    if not set(value) & set(" #'\"\\$`\n"):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f"{path.suffix}.part")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)
