"""Ask the model how long batches take; see `search` for what is made of it."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from statistics import median
from typing import Any

import numpy as np

from worker.ports import Model, TokenBatch
from worker.score.contract import Contract
from worker.tune import search
from worker.tune.search import Shape, Tuned

ROUNDS = 3
_BATCHES = (1, 8, 32, 128)
_AT_ONCE = (1, 2, 3, 4)
_PER_COUNT = 8
"""Batches with which each number in flight is tried."""
Step = Callable[[str], None]


def tune(model: Model, contract: Contract, rows: Sequence[Sequence[int]], target_ms: float, step: Step) -> Tuned:
    """Return the settings for texts of these token ids and a latency that is asked for; `step` hears of each step."""
    lengths = [len(row) for row in rows]
    buckets = search.edges(lengths, contract.max_length)
    measured = {}
    for shape in shapes(lengths, contract):
        step(f"{shape.texts} texts of {shape.tokens} tokens")
        measured[shape] = seconds(model, contract, shape)
    cost = search.fit(measured)
    tokens, pace = search.budget(lengths, buckets, cost, contract.max_batch_size)
    usual = int(np.median([next(edge for edge in buckets if length <= edge) for length in lengths]))
    full = Shape(max(1, min(contract.max_batch_size, tokens // usual)), usual)
    paces = {}
    for count in _AT_ONCE:
        step(f"{count} batches in flight")
        paces[count] = paced(model, contract, full, count)
    at_once, taken_s = search.in_flight(paces), cost.seconds(full)
    beside = paces[at_once] / paces[1]
    deadline = search.deadline_ms(target_ms, taken_s, max(1.0, at_once / beside))
    best = search.at_best(cost, paces)
    return Tuned(buckets, tokens, deadline, at_once, best, pace * beside, search.padding(lengths, buckets), taken_s)


def shapes(lengths: Sequence[int], contract: Contract) -> Iterator[Shape]:
    """Yield the shapes that say how cost grows: short, usual and long texts, alone and in batches."""
    for tokens in sorted({int(np.quantile(lengths, share)) for share in (0.05, 0.5, 0.99)}):
        for texts in sorted({min(size, contract.max_batch_size) for size in _BATCHES}):
            yield Shape(texts, max(2, tokens))


def seconds(model: Model, contract: Contract, shape: Shape) -> float:
    """Return the seconds of one batch, the median of some; the first warms up."""
    batch, took = batch_of(shape, contract), []
    model.submit(batch).result()
    for _ in range(ROUNDS):
        began_s = time.perf_counter()
        model.submit(batch).result()
        took.append(time.perf_counter() - began_s)
    return median(took)


def paced(model: Model, contract: Contract, shape: Shape, at_once: int) -> float:
    """Return texts a second with so many batches at the model at one time."""
    batch, out = batch_of(shape, contract), list[Future[Any]]()
    began_s = time.perf_counter()
    for _ in range(_PER_COUNT):
        out.append(model.submit(batch))
        if len(out) >= at_once:
            out.pop(0).result()
    for future in out:
        future.result()
    return _PER_COUNT * shape.texts / (time.perf_counter() - began_s)


def batch_of(shape: Shape, contract: Contract) -> TokenBatch:
    """Return a batch of this shape; what the tokens are makes no difference to how long it takes."""
    ids = np.full(shape, contract.pad_id + 1, np.int64)
    return TokenBatch(ids, np.ones_like(ids))
