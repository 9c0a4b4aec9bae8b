"""Which words drove a prediction: what changes when one is left out, or what flows back to it.

Occlusion: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, with words for patches.
Integrated gradients: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, by captum.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from captum.attr import LayerIntegratedGradients  # type: ignore[import-untyped]
from rich.text import Text as Line
from torch import Tensor

from training.contract import MAX_LENGTH
from training.data import LABELS
from training.errors import TrainingError
from training.evaluation.predictors import Predictor
from training.metrics import Floats
from training.predict import probabilities
from training.tokens import PAD_ID, load_tokenizer
from training.trained import Trained

STEPS = 48
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


def occlusion(predictor: Predictor, text: str) -> Explanation:
    """Explain by leaving out each word in turn: its weight is by how much the label's probability falls without it.

    Raises:
        TrainingError: the text has no word.
    """
    spans = _spans(text)
    without = [text[:start] + text[end:] for start, end in spans]
    answers = predictor.probabilities([text, *without])
    label = int(answers[0].argmax())
    return _explanation(text, answers[0], "occlusion", spans, answers[0, label] - answers[1:, label])


def gradients(trained: Trained, text: str, temperature: float) -> Explanation:
    """Explain by integrated gradients, from a text of nothing but padding to this one; a word is the sum of its tokens.

    Raises:
        TrainingError: the text has no word.
    """
    spans = _spans(text)
    encoding = load_tokenizer(trained.tokenizer, MAX_LENGTH).encode(text)
    ids, mask = torch.tensor([encoding.ids]), torch.ones((1, len(encoding.ids)), dtype=torch.int64)
    with torch.inference_mode():
        found = probabilities(trained.model(ids, mask).numpy(), temperature)[0]
    flown = _flow(trained, ids, mask, int(found.argmax()))
    weights = np.zeros(len(spans))
    for (start, _), weight in zip(encoding.offsets, flown.tolist(), strict=True):
        inside = [index for index, (low, high) in enumerate(spans) if low <= start < high]
        weights[inside] += weight
    return _explanation(text, found, "gradients", spans, weights)


def shown(explanation: Explanation) -> Line:
    """Return the text for a terminal: green words spoke for the label, red ones against it, the stronger the brighter."""
    line = Line(explanation.text)
    strongest = max((abs(word.weight) for word in explanation.words), default=0.0) or 1.0
    for word in explanation.words:
        share = word.weight / strongest
        if abs(share) >= 0.1:
            line.stylize(f"{'bold ' if abs(share) > 0.5 else ''}{'green' if share > 0 else 'red'}", word.start, word.end)
    return line


def _flow(trained: Trained, ids: Tensor, mask: Tensor, label: int) -> Tensor:
    layer = next(module for name, module in trained.model.named_modules() if name.endswith("word_embeddings"))
    nothing = torch.where(_is_special(ids), ids, torch.full_like(ids, PAD_ID))
    attributed = LayerIntegratedGradients(trained.model, layer).attribute(
        ids, nothing, target=label, additional_forward_args=(mask,), n_steps=STEPS, internal_batch_size=8
    )
    total: Tensor = attributed.sum(dim=-1)[0].detach()
    return total


def _is_special(ids: Tensor) -> Tensor:
    """The first and the last token frame the text and are no part of it."""
    special = torch.zeros_like(ids, dtype=torch.bool)
    special[:, 0] = special[:, -1] = True
    return special


def _spans(text: str) -> list[tuple[int, int]]:
    spans = [found.span() for found in _WORD.finditer(text)]
    if not spans:
        raise TrainingError("there is no word in this text to explain a prediction by")
    return spans[:MOST_WORDS]


def _explanation(text: str, found: Floats, method: str, spans: Sequence[tuple[int, int]], weights: Floats) -> Explanation:
    words = tuple(Word(text[start:end], start, end, float(w)) for (start, end), w in zip(spans, weights, strict=True))
    chances = dict(zip(LABELS, map(float, found), strict=True))
    return Explanation(text, LABELS[int(found.argmax())], chances, method, words)
