"""Figures with their spread: medians over rounds, and ratios of sides that were measured in the same round."""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """A figure, the least and the most that a round gave, and how many rounds there were."""

    value: float
    low: float
    high: float
    rounds: int

    def as_json(self) -> dict[str, Any]:
        """Return the form of the report; what is infinite, as JSON knows no such number, is null."""
        value, low, high = (rounded(one) if math.isfinite(one) else None for one in self[:3])
        return {"value": value, "spread": [low, high], "rounds": self.rounds}

    def __str__(self) -> str:
        return f"{rounded(self.value):,} ({rounded(self.low):,} to {rounded(self.high):,})"


def figure(values: Sequence[float]) -> Figure:
    """Return the median of rounds with its range; raises ValueError without a round."""
    if not values:
        raise ValueError("no round was finished")
    return Figure(median(values), min(values), max(values), len(values))


def ratio(above: Sequence[float], below: Sequence[float]) -> Figure:
    """Return the median of the ratios of two sides, round by round; a round that only one of them finished is left out."""
    return figure([one / other if other else math.inf for one, other in zip(above, below, strict=False)])


def from_json(value: Mapping[str, Any]) -> Figure:
    """Return what `Figure.as_json` made."""
    middle, low, high = (math.inf if one is None else float(one) for one in (value["value"], *value["spread"]))
    return Figure(middle, low, high, value["rounds"])


def rounded(value: float, digits: int = 4) -> float:
    """Return the value with so many significant digits: what is measured here has no more."""
    if not value or not math.isfinite(value):
        return value
    return round(value, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of the ordered values that at least this share does not exceed (no interpolation: it was seen)."""
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def is_figure(value: object) -> bool:
    """Tell whether this part of a report is a figure and not a group of them."""
    return isinstance(value, Mapping) and "value" in value and "spread" in value
