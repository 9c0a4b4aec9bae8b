"""What every detector answers with, and what it is shown."""

from typing import Literal, NamedTuple

from worker.alert.windows import Tally

Verdict = Literal["breach", "hold", "clear", "no_data"]
"""Too much; neither too much nor well again; well; too little data to say."""


class Reading(NamedTuple):
    """What a detector makes of a window: `statistic` is what was held to `threshold`, `baseline` what would have been usual.

    `span_ms` is how far back the messages lie that it was made from, None where that is the rule's window.
    """

    verdict: Verdict
    statistic: float
    threshold: float
    baseline: float | None = None
    span_ms: int | None = None


class View(NamedTuple):
    """The boundary, the window that ends there, and the newest bucket of that window, which may hold nothing.

    `spans` are the figures of the detector's `spans_ms`, in their order, where it looks at more than the window.
    """

    at_ms: int
    window: Tally
    newest: Tally
    spans: tuple[Tally, ...] = ()
