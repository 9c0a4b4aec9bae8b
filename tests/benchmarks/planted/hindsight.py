"""What a count can tell at all: a detector that is told everything but when the incidents are. Judged every five minutes. Pure.

It knows what is usual on the key in each bucket, which the streams were made from, and the highest ratio to it that the key
shows in peace, on each of five scales, to its end: an alert is what passes the highest of all. No detector that must learn
either while the messages come can be asked for more than this on counts; what it misses looks as peace does.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.planted import naive
from tests.benchmarks.planted.arrivals import BUCKET_MS, START_MS
from tests.benchmarks.planted.measuring import GRACE_MS, Fired
from tests.benchmarks.planted.streams import Stream

NAMES = {"volume, all known": "volume", "surge, all known": "surge"}
"""By the detector whose incidents each is asked for."""
THRESHOLD = 0.0
_SCALES = (3, 6, 12, 24, 48)
_GRAIN = 2.5
"""Messages on both sides of a ratio, so that few messages make no large one."""
_AFTER_MS = 4 * 3_600_000
"""How long the longest scale still has an incident in it."""
Counts = NDArray[np.float64]


def alerts(one: Stream, keep_ms: int) -> Iterator[tuple[str, float, Fired]]:
    """Yield what passes the highest of peace: of messages, and of negatives as the model reads them."""
    messages, negatives = naive.buckets(one)
    peace = _peace(one)
    share = negatives[peace].sum() / max(messages[peace].sum(), 1.0)
    usual = one.arrivals.usual
    for (name, _), counts, expected in zip(NAMES.items(), (messages, negatives), (usual, usual * share), strict=True):
        yield from naive.fired(one.key, name, THRESHOLD, excess(counts, expected, peace) > THRESHOLD, keep_ms)


def excess(counts: Counts, expected: Counts, peace: NDArray[np.bool_]) -> Counts:
    """Return by how much each bucket's log-ratio passes the highest one in peace, on the scale where it does so the most."""
    found = np.full(len(counts), -np.inf)
    for scale in _SCALES:
        ratios = np.log((naive.over(counts, scale) + _GRAIN) / (naive.over(expected, scale) + _GRAIN))
        found = np.maximum(found, ratios - ratios[peace].max(initial=-np.inf))
    return found


def _peace(one: Stream) -> NDArray[np.bool_]:
    """Tell of each bucket whether no incident is in it, nor in what is smoothed into it, and whether it is judged."""
    ends_ms = START_MS + (np.arange(len(one.arrivals.usual)) + 1) * BUCKET_MS
    incidents = [(incident.start_ms, incident.end_ms + GRACE_MS) for incident in one.incidents]
    peace = np.ones(len(ends_ms), dtype=np.bool_)
    for start_ms, end_ms in (*incidents, *one.arrivals.unjudged):
        peace &= (ends_ms < start_ms) | (ends_ms > end_ms + _AFTER_MS)
    return peace
