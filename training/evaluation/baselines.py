"""What a model must beat: two word lists and a linear probe on the untouched encoder, each with the face of a model.

VADER and TextBlob give a score in [-1, 1] and no probabilities. So that rules about confidence can be asked of them too, a
score is turned into numbers that rise with it and whose largest is the label by the list's usual thresholds; they are not
`calibrated`, and no calibration error is told of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from textblob import TextBlob  # type: ignore[import-untyped]
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # type: ignore[import-untyped]

from training.evaluation.predictors import answer_in_chunks
from training.files import atomic_path, sha256_of_text
from training.metrics import Floats, Ints
from training.predict import VADER_THRESHOLD

SHARPNESS = 5.0
"""How fast the numbers rise with a score: at a score of 0.5 beyond the threshold the label has about nine tenths."""
_LEAST = 1e-6
Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Anything that says what texts mean."""

    def embeddings(self, texts: Sequence[str]) -> Vectors:
        """Return float32 unit vectors [texts, dimensions]."""
        ...


class ScorePredictor:
    """A score in [-1, 1] as a predictor: negative at -threshold and below, positive at threshold and above."""

    calibrated = False

    def __init__(self, name: str, score: Callable[[str], float], threshold: float) -> None:
        self.name = name
        self._score = score
        self._threshold = threshold

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """Return float64 [texts, 3] whose largest is the label; rows sum to 1."""
        scores = np.array([self._score(text) for text in texts], dtype=np.float64)
        edge = np.full_like(scores, self._threshold - _LEAST / 2)
        odds = np.exp(SHARPNESS * np.stack([-scores, edge, scores], axis=1))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def vader() -> ScorePredictor:
    """Return VADER at its authors' thresholds of ±0.05. Hutto and Gilbert, ICWSM 2014."""
    analyzer = SentimentIntensityAnalyzer()
    return ScorePredictor("vader", lambda text: float(analyzer.polarity_scores(text)["compound"]), VADER_THRESHOLD)


def textblob() -> ScorePredictor:
    """Return TextBlob's word list, whose polarity is 0 exactly where it knows no word; every other is a label."""
    return ScorePredictor("textblob", lambda text: float(TextBlob(text).sentiment.polarity), _LEAST)


class Probe:
    """A linear head on embeddings that nobody tuned: what fine-tuning adds is the lead over it."""

    name = "head-only"
    calibrated = True

    def __init__(self, embedder: Embedder, weights: Floats, bias: Floats) -> None:
        """Take the head's weights [3, dimensions] and bias [3]."""
        self._embedder = embedder
        self.weights = weights
        self.bias = bias

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """Return float64 probabilities [texts, 3]."""
        logits = self._embedder.embeddings(texts).astype(np.float64) @ self.weights.T + self.bias
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def fit_probe(embedder: Embedder, texts: Sequence[str], labels: Ints, *, progress: bool = False) -> Probe:
    """Return a probe by logistic regression on texts with label indices [texts]; all three labels must occur."""
    vectors = answer_in_chunks(embedder.embeddings, texts, "Embedding the training texts" if progress else "")
    head = LogisticRegression(C=10.0, max_iter=1000).fit(vectors, labels)
    return Probe(embedder, np.asarray(head.coef_), np.asarray(head.intercept_))


def cached_probe(embedder: Embedder, texts: Sequence[str], labels: Ints, folder: Path, made_of: str) -> Probe:
    """Return the probe that `folder` keeps of this training data and of the encoder `made_of`, fitted if there is none."""
    known = sha256_of_text("\n".join((made_of, *texts, *map(str, labels.tolist()))))
    path = folder / f"head-only-{known[:16]}.npz"
    if path.is_file():
        with np.load(path) as saved:
            return Probe(embedder, saved["weights"], saved["bias"])
    probe = fit_probe(embedder, texts, labels, progress=True)
    with atomic_path(path) as unfinished:
        np.savez(unfinished, weights=probe.weights, bias=probe.bias)
    return probe
