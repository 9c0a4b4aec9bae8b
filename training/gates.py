"""What an exported model must pass before it may ship: parity with the torch model, and indifference to neighbours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.errors import GateError
from training.metrics import Floats
from training.predict import LogitsModel, probabilities
from training.tokens import pad
from training.variant import Variant

TOLERANCE = 1e-3
"""By how much a probability may move between two answers to one text, where arithmetic is float32."""
TOKENS_PER_BUCKET = 8192
BATCH = 16


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far two answers may be apart: the share of labels that may differ, and the largest gap between probabilities."""

    flips: float = 0.0
    gap: float = TOLERANCE


EXACT = Bounds()
PARITY = {
    Variant.FP32: EXACT,
    Variant.BF16: Bounds(flips=0.005, gap=0.05),
    Variant.FP16: Bounds(flips=0.005, gap=0.02),
    Variant.INT8: Bounds(flips=0.005, gap=0.15),
}
"""How far each variant may be from the model as trained: bfloat16 keeps eight bits, so a text on the border may tip."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two answers to the same texts agree: labels that differ, and the largest gap between probabilities."""

    answers: int
    labels_changed: int
    largest_gap: float

    def within(self, bounds: Bounds) -> bool:
        """Say whether no more labels changed, and no probability moved further, than `bounds` allows."""
        return self.labels_changed <= bounds.flips * self.answers and self.largest_gap <= bounds.gap

    @property
    def gap_below(self) -> float:
        """Return the next power of ten above the gap, which does not change from one machine to the next."""
        return gap_below(self.largest_gap)


def gap_below(gap: float) -> float:
    """Return the next power of ten above a gap."""
    return 10.0 ** math.ceil(math.log10(max(gap, 1e-9)))


def agreement(reference: Floats, answers: Floats) -> Agreement:
    """Compare two sets of probabilities [n, 3] of the same texts."""
    changed = int((reference.argmax(axis=1) != answers.argmax(axis=1)).sum())
    return Agreement(len(reference), changed, float(np.abs(reference - answers).max()))


def require(found: Agreement, what: str, bounds: Bounds = EXACT) -> Agreement:
    """Return `found` if it is within `bounds`.

    Raises:
        GateError: more labels changed, or a probability moved further, than that.
    """
    if not found.within(bounds):
        raise GateError(
            f"{what}: {found.labels_changed} of {found.answers} labels changed and a probability moved by "
            f"{found.largest_gap:.2g} (allowed: {bounds.flips:.1%} of labels and {bounds.gap:g}); the model is not exported"
        )
    return found


def parity(
    reference: NDArray[np.float32], exported: NDArray[np.float32], temperature: float, bounds: Bounds = EXACT
) -> Agreement:
    """Compare the logits [n, 3] of the model as trained with those of the exported one.

    Raises:
        GateError: they do not agree within `bounds`.
    """
    found = agreement(probabilities(reference, temperature), probabilities(exported, temperature))
    return require(found, "parity with the torch model", bounds)


@dataclass(frozen=True, slots=True)
class Lengths:
    """The buckets that texts are padded to; `alone_padded` says whether a text by itself is padded to its bucket too.

    The worker always pads. In float32 a text is held to the same answer unpadded; in bfloat16 the order in which a longer
    row is summed up shows (by 2e-3), so there a text is compared with itself in its own bucket, as it is served.
    """

    buckets: Sequence[int]
    alone_padded: bool = False


def neighbours(
    model: LogitsModel, rows: Sequence[Sequence[int]], lengths: Lengths, temperature: float, seed: int = 0
) -> Agreement:
    """Compare each text alone with the same text among others, in batches padded to every bucket it fits.

    `rows` are token ids. A bucket takes as many texts, drawn at random, as make 8,192 padded tokens.

    Raises:
        GateError: a text's answer depends on its neighbours, or on its padding unless `lengths` says that is equal.
    """
    return require(batch_dependence(model, rows, lengths, temperature, seed), "independence from batch neighbours")


def batch_dependence(
    model: LogitsModel, rows: Sequence[Sequence[int]], lengths: Lengths, temperature: float, seed: int = 0
) -> Agreement:
    """Return what `neighbours` judges, whatever it is."""
    pairs = [
        _alone_and_among(model, chosen, bucket, padded=lengths.alone_padded)
        for chosen, bucket in drawn(rows, lengths.buckets, seed)
    ]
    alone, among = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return agreement(probabilities(alone, temperature), probabilities(among, temperature))


def drawn(rows: Sequence[Sequence[int]], buckets: Sequence[int], seed: int) -> Iterator[tuple[list[Sequence[int]], int]]:
    """Yield for each bucket some of the rows that fit, drawn at random: as many as make 8,192 padded tokens."""
    shuffle = np.random.default_rng(seed).permutation
    for bucket in buckets:
        fitting = [row for row in rows if len(row) <= bucket]
        chosen = shuffle(len(fitting))[: TOKENS_PER_BUCKET // bucket]
        if len(chosen):
            yield [fitting[index] for index in chosen], bucket


def _alone_and_among(
    model: LogitsModel, rows: Sequence[Sequence[int]], bucket: int, *, padded: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    alone = [model.logits(*pad([row], bucket if padded else None)) for row in rows]
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    among = [model.logits(*pad(batch, bucket)) for batch in batches]
    return np.concatenate(alone), np.concatenate(among)
