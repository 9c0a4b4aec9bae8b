"""What every detector answers with, and what it is shown."""

from typing import Literal, NamedTuple

from worker.alert.windows import Tally

Verdict = Literal["breach", "hold", "clear", "no_data"]
"""Too much; neither too much nor well again; well; too little data to say."""


class Reading(NamedTuple):
    """What a detector makes of a window: `statistic` is what was held to `threshold`, `baseline` what would have been usual."""

    verdict: Verdict
    statistic: float
    threshold: float
    baseline: float | None = None


class View(NamedTuple):
    """The boundary, the window that ends there, and the newest bucket of that window, which may hold nothing."""

    at_ms: int
    window: Tally
    newest: Tally
