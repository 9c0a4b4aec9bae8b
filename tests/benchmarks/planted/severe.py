"""What `single` stands on: how often a message that the model finds negative beyond doubt is so in the eyes of people. Pure.

A rule of one message has no incident to find early and no chance to average over, so it is not held to what was planted: it is
right as often as the model is, at the threshold that it is told.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.table import Table

from tests.benchmarks.planted.texts import Pool

THRESHOLDS = (0.9, 0.95, 0.98)


class Severe(NamedTuple):
    """Of the texts of a source: the share found severe, of those what people call negative, and of all such the share found."""

    flagged: float
    precision: float | None
    recall: float | None


Found = dict[str, dict[float, Severe]]
"""By source and threshold."""


def severe(pools: Iterable[Pool], thresholds: Sequence[float] = THRESHOLDS) -> Found:
    """Return what becomes of each source's texts at each threshold."""
    return {pool.source: {threshold: _at(pool, threshold) for threshold in thresholds} for pool in pools}


def _at(pool: Pool, threshold: float) -> Severe:
    right = sum(read.negative >= threshold for read in pool.negative)
    wrong = sum(read.negative >= threshold for read in pool.other)
    texts = len(pool.negative) + len(pool.other)
    return Severe(
        (right + wrong) / texts if texts else 0.0,
        right / (right + wrong) if right + wrong else None,
        right / len(pool.negative) if pool.negative else None,
    )


def table(found: Found) -> Table:
    """Return it as a table, a source a row."""
    made = Table("texts", *(f"{threshold:g}" for threshold in THRESHOLDS), title="single: severe of all / precision / recall")
    for source, by_threshold in found.items():
        made.add_row(source, *(_cell(one) for one in by_threshold.values()))
    return made


def as_json(found: Found) -> dict[str, object]:
    """Return it for the report."""
    return {source: {str(threshold): one._asdict() for threshold, one in of.items()} for source, of in found.items()}


def _cell(one: Severe) -> str:
    precision, recall = ("-" if figure is None else f"{figure:.2f}" for figure in (one.precision, one.recall))
    return f"{one.flagged:.1%} / {precision} / {recall}"
