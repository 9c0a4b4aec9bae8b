"""Choose edges of buckets, the token budget, the deadline and how many batches in flight. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ENOUGH = 0.001
"""Another edge must save this share of what is sent, or it is not worth a smaller batch."""
MOST_EDGES = 96
_GOOD = 0.97
"""Of the best pace; of the ways that reach it the one that makes a message wait least is taken."""
_COMMIT_MS = 30.0
"""What reading, publishing and committing take of the latency that is asked for."""
_LEAST_DEADLINE_MS, _MOST_DEADLINE_MS = 2, 500


class Shape(NamedTuple):
    """A batch: so many texts, padded to so many tokens."""

    texts: int
    tokens: int


class Cost(NamedTuple):
    """Seconds of a batch: `fixed`, and for each token place, and for each pair of places in a text (attention)."""

    fixed: float
    place: float
    pair: float

    def seconds(self, shape: Shape) -> float:
        """Return how long a batch takes."""
        places = shape.texts * shape.tokens
        return self.fixed + self.place * places + self.pair * places * shape.tokens


class Tuned(NamedTuple):
    """Settings, and what they should come to: texts a second, the share of padding, and seconds of a full batch.

    `model_cost` is with as many batches in flight as serve best, so that a ceiling can be told from it.
    """

    buckets: tuple[int, ...]
    batch_tokens: int
    deadline_ms: int
    in_flight: int
    model_cost: Cost
    texts_per_s: float
    padding: float
    full_batch_s: float


def edges(lengths: Sequence[int], longest: int) -> tuple[int, ...]:
    """Return the lengths to pad to: those that waste least, by dynamic programming, as few as save enough.

    Args:
        lengths: tokens of each text, none above `longest`.
        longest: the model's maximum.
    """
    counts = np.bincount(np.asarray(lengths), minlength=longest + 1).astype(np.int64)
    places = np.flatnonzero(counts)
    ends = np.unique([*places, longest])
    weight = np.cumsum(counts)[ends]
    # best[j]: the fewest token places in which all texts of up to ends[j] tokens fit, with the edges so far, ends[j] the last.
    best, came_from = ends * weight, list[NDArray[np.int64]]()
    while len(came_from) + 1 < min(MOST_EDGES, len(ends)):
        costs = np.where(
            np.tri(len(ends), k=-1, dtype=bool), best[None, :] + ends[:, None] * (weight[:, None] - weight[None, :]), np.inf
        )
        before = costs.argmin(axis=1)
        better = np.minimum(costs.min(axis=1), best)
        if best[-1] - better[-1] < ENOUGH * best[-1]:
            break
        came_from.append(np.where(costs.min(axis=1) < best, before, -1))
        best = better
    return tuple(int(ends[place]) for place in _path(came_from, len(ends) - 1))


def _path(came_from: Sequence[NDArray[np.int64]], last: int) -> list[int]:
    path = [last]
    for steps in reversed(came_from):
        before = int(steps[path[0]])
        if before >= 0:
            path.insert(0, before)
    return path


def padding(lengths: Sequence[int], buckets: Sequence[int]) -> float:
    """Return the share of token places that would be padding."""
    sizes, tokens = np.asarray(buckets), np.asarray(lengths)
    return float(1 - tokens.sum() / sizes[np.searchsorted(sizes, tokens)].sum())


def fit(seconds: Mapping[Shape, float]) -> Cost:
    """Return the cost that fits what was measured, by least squares of the relative error, nothing below zero."""
    columns = np.array([[1.0, s.texts * s.tokens, s.texts * s.tokens**2] for s in seconds])
    measured = np.array(list(seconds.values()))
    kept = list(range(3))
    while True:
        weights = np.linalg.lstsq(columns[:, kept] / measured[:, None], np.ones(len(measured)), rcond=None)[0]
        if (weights >= 0).all() or len(kept) == 1:
            break
        kept.pop(int(weights.argmin()))
    found = np.zeros(3)
    found[kept] = np.maximum(weights, 0)
    return Cost(*map(float, found))


def budget(lengths: Sequence[int], buckets: Sequence[int], cost: Cost, most_texts: int) -> tuple[int, float]:
    """Return the token budget, and the texts a second of full batches under it: the least that is nearly as quick as any."""
    sizes = np.asarray(buckets)
    counts = np.bincount(np.searchsorted(sizes, np.asarray(lengths)), minlength=len(sizes))
    paces = {}
    for tokens in (256, 512, 1024, 2048, 4096, 8192, 16384):
        shapes = [Shape(max(1, min(most_texts, tokens // size)), size) for size in buckets]
        spent = sum(count / shape.texts * cost.seconds(shape) for count, shape in zip(counts.tolist(), shapes, strict=True))
        paces[tokens] = len(lengths) / spent
    enough = _GOOD * max(paces.values())
    return next((tokens, pace) for tokens, pace in paces.items() if pace >= enough)


def in_flight(paces: Mapping[int, float]) -> int:
    """Return the fewest batches in flight that are nearly as quick as any, by texts a second."""
    return min(count for count, pace in paces.items() if pace >= _GOOD * max(paces.values()))


def at_best(cost: Cost, paces: Mapping[int, float]) -> Cost:
    """Return the cost of batches side by side, from that of one after the other and the texts a second of each way."""
    share = paces[1] / max(paces.values())
    return Cost(*(seconds * share for seconds in cost))


def deadline_ms(target_ms: float, full_batch_s: float, ahead: float) -> int:
    """Return how long a text may wait for others, and still be answered in time after so many full batches."""
    left = target_ms / 2 - full_batch_s * 1000 * ahead - _COMMIT_MS
    return round(min(_MOST_DEADLINE_MS, max(_LEAST_DEADLINE_MS, left)))
