"""What a person asks `tidings evaluate` for; apart from `run`, so that to ask does not load torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asked to be measured beside the home set.

    `cases` are the most of each test of behaviour, `rows` the most of each set, None for all; `review` is the precision that
    the review queue's line must hold; `plot` the folder for pictures.
    """

    outside: bool = False
    behaviour: bool = False
    fairness: bool = False
    topics: bool = False
    baselines: bool = True
    cases: int | None = None
    rows: int | None = None
    review: float | None = None
    plot: Path | None = None

    @property
    def anything(self) -> bool:
        """Say whether more is asked than the figures of one set."""
        return self.outside or self.behaviour or self.fairness or self.topics or bool(self.review or self.plot)
