"""Find the topics that a text is about by what it means, not by its words. Pure.

Embeddings of any texts have much in common; that part is taken out first, the mean of a background of texts of all kinds (Mu
and Viswanath 2018, "All-but-the-Top", https://arxiv.org/abs/1702.01417). A topic is the mean of its description and examples
(Snell et al. 2017, "Prototypical Networks", https://arxiv.org/abs/1703.05175), and a text belongs to it if their cosine passes
the topic's threshold: what so small a share of the background passes. On half of AG News, with that share at 2 %, the mean of
description and five examples found .44 to .78 of a class, .74 to .95 of what it found being right; without taking out the
common part .29 to .66. The nearest example instead of the mean, whitening, and a threshold between examples and background
were worse for one class or another (`tests/benchmarks/bench_topics.py`).
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from worker.score.matching import WatchedTopic

Vectors = NDArray[np.float32]


class TopicThreshold(msgspec.Struct, frozen=True):
    """What a topic takes in: texts at least so similar to it, among them `share` of the background."""

    topic: str
    threshold: float
    share: float
    is_given: bool
    """Whether the watchlist says the threshold."""


class Meaning:
    """Topics that are known by their meaning, ready to be looked for.

    Args:
        centre: the mean of the background's embeddings, shape (dimensions,).
        topics: one unit vector for each topic, shape (topics, dimensions).
        thresholds: of each topic.
    """

    def __init__(self, centre: Vectors, topics: Vectors, thresholds: Sequence[TopicThreshold]) -> None:
        self._centre = centre
        self._topics = topics
        self._least = np.array([topic.threshold for topic in thresholds])
        self.thresholds = tuple(thresholds)

    @property
    def dimensions(self) -> int:
        """Of the embeddings that it takes."""
        return len(self._centre)

    def find(self, embeddings: Vectors) -> list[dict[str, float]]:
        """Return for each row of `embeddings`, shape (texts, dimensions), its topics and its similarity to each."""
        found: list[dict[str, float]] = [{} for _ in embeddings]
        similarities = _similarities(embeddings, self._centre, self._topics)
        for text, topic in np.argwhere(similarities >= self._least).tolist():
            found[text][self.thresholds[topic].topic] = round(float(similarities[text, topic]), 4)
        return found


def calibrated(
    topics: Sequence[WatchedTopic], passages: Sequence[Vectors], background: Vectors, background_share: float
) -> Meaning:
    """Return the topics ready to be looked for.

    Args:
        topics: each with a description.
        passages: of each topic the embeddings of its description and its examples.
        background: embeddings of texts of all kinds, shape (texts, dimensions).
        background_share: how much of the background a topic may take in that says no threshold of its own.
    """
    centre = background.mean(axis=0)
    directions = np.stack([_unit(_unit(some - centre).mean(axis=0, keepdims=True))[0] for some in passages])
    columns = _similarities(background, centre, directions).T
    return Meaning(centre, directions, [_threshold(*pair, background_share) for pair in zip(topics, columns, strict=True)])


def passages(topic: WatchedTopic) -> tuple[str, ...]:
    """Return the texts that say what a topic means."""
    return tuple(text for text in (topic.description, *topic.examples) if text is not None)


def _threshold(topic: WatchedTopic, background: NDArray[np.float32], background_share: float) -> TopicThreshold:
    given = topic.threshold
    least = float(np.quantile(background, 1 - background_share)) if given is None else given
    return TopicThreshold(topic.name, least, float((background >= least).mean()), given is not None)


def _similarities(embeddings: Vectors, centre: Vectors, topics: Vectors) -> Vectors:
    """Return the cosine of each text, less the common part, with each topic: shape (texts, topics)."""
    return np.asarray(np.clip(_unit(embeddings - centre) @ topics.T, -1, 1))


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9))
