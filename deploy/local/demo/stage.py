"""Everything the view looks at, in one place: the plan's progress, the books, and the parts they came through."""

from __future__ import annotations

from dataclasses import dataclass, field

from deploy.local.demo.alerts import AlertBook, SeenAlert
from deploy.local.demo.board import Board
from deploy.local.demo.ledger import Ledger
from deploy.local.demo.plan import Phase

PHASE_WORDS = {
    Phase.CALM: "all is ordinary",
    Phase.BAD: "the watched topic has turned bad",
    Phase.RECOVERY: "the watched topic recovers",
}


@dataclass(frozen=True, slots=True)
class PartLine:
    """One part of the stack: its name, what it is with its version, and a caveat if it is a stand-in."""

    name: str
    software: str
    note: str = ""


@dataclass(slots=True)
class Stage:
    """The state of a run, written by the run alone. `words` says what is going on.

    `held_back_s` is how long sending waited for a worker that had fallen behind, `now_s` the monotonic clock.
    """

    watched: str
    total: int
    board: Board
    parts: tuple[PartLine, ...]
    ledger: Ledger = field(default_factory=Ledger)
    alerts: AlertBook = field(default_factory=AlertBook)
    letters: list[str] = field(default_factory=list)
    sent: int = 0
    words: str = ""
    now_s: float = 0.0
    held_back_s: float = 0.0

    def firing(self, key: str) -> SeenAlert | None:
        """Return the alert that is firing on a key, if there is one."""
        return next((event for event in self.alerts.open if event.key == key), None)
