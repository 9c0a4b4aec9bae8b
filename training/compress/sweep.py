"""The sweep: every variant of a model as one point of accuracy, latency and size, all measured on the same texts in one run.

Latency is taken by turns, round by round, so that what else the machine does meets all variants alike; what is told is the
median, over rounds, of how many times quicker than float32 a variant was in that round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training import gates, metrics
from training.contract import BUCKETS, MAX_LENGTH
from training.evaluate import label_indices
from training.examples import Example
from training.gates import Agreement, Lengths
from training.predict import LogitsModel, logits_of, probabilities
from training.tokens import Ids, load_tokenizer, pad, token_ids

Rows = list[list[int]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to measure, with the content of its tokenizer's file, its temperature, and the bytes of its own file.

    `allowed_flips` is the share of labels in which it may differ from the first; None for a model in its own right.
    """

    name: str
    model: LogitsModel
    tokenizer: str
    temperature: float
    size: int
    allowed_flips: float | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """How latency is taken: so many texts, in batches of this size, each padded to its bucket, this many times."""

    texts: int = 128
    batch: int = 16
    rounds: int = 5


@dataclass(frozen=True, slots=True)
class Point:
    """What one variant is: figures on all texts, differences from the first variant, and its speed and size.

    `batch_dependence` counts labels that change with the batch's neighbours, `speedup` is how many times quicker it is than
    the first, `passes` whether it keeps to what it may change (None: a model in its own right, which is judged by accuracy).
    """

    name: str
    macro_f1: float
    accuracy: float
    ece: float
    label_flips: int
    max_probability_difference: float
    batch_dependence: int
    max_neighbour_difference: float
    texts_per_s: float
    speedup: float
    size_mb: float
    passes: bool | None


def sweep(
    candidates: Sequence[Candidate],
    examples: Sequence[Example],
    timing: Timing | None = None,
    advance: Callable[[str], None] = lambda _: None,
) -> list[Point]:
    """Return one point a candidate, in their order; the first is what the others are compared with.

    `advance` hears the name of each part of the work as it is done: one a candidate, then one a round.
    """
    texts, true = [example.text for example in examples], label_indices(examples)
    rows = [token_ids(load_tokenizer(candidate.tokenizer, MAX_LENGTH), texts) for candidate in candidates]
    answers, dependence = list[metrics.Floats](), list[Agreement]()
    for candidate, own in zip(candidates, rows, strict=True):
        answers.append(probabilities(logits_of(candidate.model, own), candidate.temperature))
        lengths = Lengths(BUCKETS, alone_padded=True)
        dependence.append(gates.batch_dependence(candidate.model, own, lengths, candidate.temperature))
        advance(candidate.name)
    seconds = take_turns(candidates, rows, timing or Timing(), advance)
    measured = zip(candidates, answers, dependence, seconds.T, strict=True)
    timed = min((timing or Timing()).texts, len(texts))
    return [_point(true, (answers[0], seconds[:, 0]), found, timed) for found in measured]


def take_turns(
    candidates: Sequence[Candidate], rows: Sequence[Rows], timing: Timing, advance: Callable[[str], None]
) -> NDArray[np.float64]:
    """Return the seconds [rounds, candidates] that each takes for the same texts, after one round that does not count."""
    places = np.linspace(0, len(rows[0]) - 1, min(timing.texts, len(rows[0]))).astype(int).tolist()
    batches = [_batches([own[place] for place in places], timing.batch) for own in rows]
    taken = np.empty((timing.rounds + 1, len(candidates)))
    for number in range(timing.rounds + 1):
        for place, candidate in enumerate(candidates):
            started = time.perf_counter()
            for ids, mask in batches[place]:
                candidate.model.logits(ids, mask)
            taken[number, place] = time.perf_counter() - started
        advance(f"round {number}")
    return taken[1:]


def _batches(rows: Rows, size: int) -> list[tuple[Ids, Ids]]:
    ordered = sorted(rows, key=len)
    batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return [pad(batch, next(bucket for bucket in BUCKETS if len(batch[-1]) <= bucket)) for batch in batches]


def _point(
    true: metrics.Ints,
    first: tuple[metrics.Floats, NDArray[np.float64]],
    found: tuple[Candidate, metrics.Floats, Agreement, NDArray[np.float64]],
    texts: int,
) -> Point:
    candidate, answers, dependence, seconds = found
    matrix = metrics.confusion(true, answers.argmax(axis=1))
    differs = gates.agreement(first[0], answers)
    return Point(
        name=candidate.name,
        macro_f1=float(metrics.macro_f1(matrix)),
        accuracy=metrics.accuracy(matrix),
        ece=metrics.expected_calibration_error(answers, true),
        label_flips=differs.labels_changed,
        max_probability_difference=differs.largest_gap,
        batch_dependence=dependence.labels_changed,
        max_neighbour_difference=dependence.largest_gap,
        texts_per_s=texts / float(np.median(seconds)),
        speedup=float(np.median(first[1] / seconds)),
        size_mb=candidate.size / 1e6,
        passes=_passes(candidate, differs, dependence),
    )


def _passes(candidate: Candidate, differs: Agreement, dependence: Agreement) -> bool | None:
    if candidate.allowed_flips is None:
        return None
    return differs.labels_changed <= candidate.allowed_flips * differs.answers and dependence.labels_changed == 0
