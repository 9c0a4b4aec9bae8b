"""Which words drove a prediction: what changes when one is left out. `training.gradients` has the other way.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, with words for patches. Without torch, so
that an alert's evidence is explained at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.text import Text as Line

from training.data import LABELS
from training.errors import TrainingError
from training.metrics import Floats

MOST_WORDS = 256
_WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]+")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the text from `start` to `end` in characters, and how much it spoke for the label; below zero, against it."""

    word: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """A prediction and its words; weights are changes of probability by occlusion, shares of the logit by gradients."""

    text: str
    label: str
    probabilities: dict[str, float]
    method: str
    words: tuple[Word, ...]


class Answering(Protocol):
    """Anything that answers texts."""

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """Return float64 probabilities [texts, 3], in the order negative, neutral, positive."""
        ...


def occlusion(predictor: Answering, text: str) -> Explanation:
    """Explain by leaving out each word in turn: its weight is by how much the label's probability falls without it.

    Raises:
        TrainingError: the text has no word.
    """
    spans = spans_of(text)
    without = [text[:start] + text[end:] for start, end in spans]
    answers = predictor.probabilities([text, *without])
    label = int(answers[0].argmax())
    return explained(text, answers[0], "occlusion", spans, answers[0, label] - answers[1:, label])


def shown(explanation: Explanation) -> Line:
    """Return the text for a terminal: green words spoke for the label, red ones against it, the stronger the brighter."""
    line = Line(explanation.text)
    strongest = max((abs(word.weight) for word in explanation.words), default=0.0) or 1.0
    for word in explanation.words:
        share = word.weight / strongest
        if abs(share) >= 0.1:
            line.stylize(f"{'bold ' if abs(share) > 0.5 else ''}{'green' if share > 0 else 'red'}", word.start, word.end)
    return line


def spans_of(text: str) -> list[tuple[int, int]]:
    """Return where the words of a text stand, at most 256 of them.

    Raises:
        TrainingError: it has none.
    """
    spans = [found.span() for found in _WORD.finditer(text)]
    if not spans:
        raise TrainingError("there is no word in this text to explain a prediction by")
    return spans[:MOST_WORDS]


def explained(text: str, found: Floats, method: str, spans: Sequence[tuple[int, int]], weights: Floats) -> Explanation:
    """Return the explanation of a text by its probabilities [3] and the weight of each word."""
    words = tuple(Word(text[start:end], start, end, float(w)) for (start, end), w in zip(spans, weights, strict=True))
    chances = dict(zip(LABELS, map(float, found), strict=True))
    return Explanation(text, LABELS[int(found.argmax())], chances, method, words)
