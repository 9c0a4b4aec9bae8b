"""What can go wrong with the local stack, each shown by the command line as one clear line."""

from __future__ import annotations

from pathlib import Path

TAIL_LINES = 15


class LocalStackError(Exception):
    """Base of every error of the local stack; the message says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class MissingPackageError(LocalStackError):
    """A program is absent and could not be installed."""


class PreparationError(LocalStackError):
    """A download or an environment could not be made; the log is named."""


class PartFailedError(LocalStackError):
    """A part did not come up, or died while up."""


class AlreadyUpError(LocalStackError):
    """A stack is already up in this folder."""


class NotReadyError(Exception):
    """A probe's answer: the server does not serve yet, and why. Never shown as it is."""


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last `lines` lines of a log, indented; says so when there is nothing."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "    (no log)"
    last = [line[:300] for line in text.splitlines() if line.strip()][-lines:]
    return "\n".join(f"    {line}" for line in last) or "    (the log is empty)"
