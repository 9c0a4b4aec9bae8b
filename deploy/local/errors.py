"""What can go wrong with the local stack, each shown by the command line as one clear line."""

from __future__ import annotations

import re
from pathlib import Path

TAIL_LINES = 15
_ERROR_LINES = 5
_WIDTH = 500
_ERROR = re.compile(r"^E\d{4} |\b(ERROR|FATAL|Error|Exception)\b")  # the first is Triton's


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
    """What a log says last, indented: its last `lines` lines, and before them the last few that speak of an error."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "    (no log)"
    said = [line[:_WIDTH] for line in text.splitlines() if line.strip()]
    errors = [line for line in said[:-lines] if _ERROR.search(line)][-_ERROR_LINES:]
    shown = [*errors, "...", *said[-lines:]] if errors else said[-lines:]
    return "\n".join(f"    {line}" for line in shown) or "    (the log is empty)"
