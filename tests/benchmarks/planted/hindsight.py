"""What counts and shares can tell at all: detectors that are told everything but when the incidents are. Pure.

Judged every five minutes. They know what is usual on the key, which the streams were made from, and how far the key goes from
that in peace, to its end, on each of several scales: an alert is what goes farther than ever in peace. Of a count that is its
ratio to the usual one; of a share its log-likelihood ratio to the key's own in peace, which is the most telling there is (J.
Neyman and E. S. Pearson, 1933). No detector that must learn either while the messages come can be asked for much more; what
these miss looks as peace does.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr  # type: ignore[import-untyped]

from tests.benchmarks.planted import naive
from tests.benchmarks.planted.arrivals import BUCKET_MS, START_MS
from tests.benchmarks.planted.measuring import GRACE_MS, Fired
from tests.benchmarks.planted.streams import Stream

_COUNTS = ("volume, all known", "surge, all known")
_SHARE = "share, all known"
NAMES = {**dict(zip(_COUNTS, ("volume", "surge"), strict=True)), _SHARE: "share"}
"""By the detector whose incidents each is asked for."""
THRESHOLD = 0.0
_SCALES = (3, 6, 12, 24, 48)
_SHORT = (1, 2)
"""Scales besides, for a share: it needs no more than a few messages."""
_GRAIN = 2.5
"""Messages on both sides of a ratio, so that few messages make no large one."""
_AFTER_MS = 4 * 3_600_000
"""How long the longest scale still has an incident in it."""
Counts = NDArray[np.float64]


def alerts(one: Stream, keep_ms: int) -> Iterator[tuple[str, float, Fired]]:
    """Yield what passes the highest of peace: of messages, of negatives as the model reads them, and of their share."""
    messages, negatives = naive.buckets(one)
    peace = _peace(one)
    share = negatives[peace].sum() / max(messages[peace].sum(), 1.0)
    usual = one.arrivals.usual
    for name, counts, expected in zip(_COUNTS, (messages, negatives), (usual, usual * share), strict=True):
        yield from naive.fired(one.key, name, THRESHOLD, excess(counts, expected, peace) > THRESHOLD, keep_ms)
    surprise = share_excess(messages, negatives, peace)
    yield from naive.fired(one.key, _SHARE, THRESHOLD, surprise > THRESHOLD, keep_ms)


def excess(counts: Counts, expected: Counts, peace: NDArray[np.bool_]) -> Counts:
    """Return by how much each bucket's log-ratio passes the highest one in peace, on the scale where it does so the most."""
    found = np.full(len(counts), -np.inf)
    for scale in _SCALES:
        ratios = np.log((naive.over(counts, scale) + _GRAIN) / (naive.over(expected, scale) + _GRAIN))
        found = np.maximum(found, ratios - ratios[peace].max(initial=-np.inf))
    return found


def share_excess(messages: Counts, negatives: Counts, peace: NDArray[np.bool_]) -> Counts:
    """Return by how much each bucket's log-likelihood ratio to the share in peace passes the highest one in peace.

    Only a higher share has one; on the scale where it does so the most.
    """
    usual = negatives[peace].sum() / max(messages[peace].sum(), 1.0)
    found = np.full(len(messages), -np.inf)
    for scale in (*_SHORT, *_SCALES):
        some, bad = naive.over(messages, scale), naive.over(negatives, scale)
        ratios = np.where(bad > usual * some, rel_entr(bad, usual * some) + rel_entr(some - bad, (1 - usual) * some), 0.0)
        found = np.maximum(found, ratios - ratios[peace].max(initial=0.0))
    return found


def _peace(one: Stream) -> NDArray[np.bool_]:
    """Tell of each bucket whether no incident is in it, nor in what is smoothed into it, and whether it is judged."""
    ends_ms = START_MS + (np.arange(len(one.arrivals.usual)) + 1) * BUCKET_MS
    incidents = [(incident.start_ms, incident.end_ms + GRACE_MS) for incident in one.incidents]
    peace = np.ones(len(ends_ms), dtype=np.bool_)
    for start_ms, end_ms in (*incidents, *one.arrivals.unjudged):
        peace &= (ends_ms < start_ms) | (ends_ms > end_ms + _AFTER_MS)
    return peace
