"""Whether a tuned encoder still knows what texts are about: AG News by the nearest description of a topic, no example shown.

One forward pass is to answer sentiment and meaning. Tuning for sentiment alone pulls texts of one mood together and loses the
second; the gate is that zero-shot accuracy stays within two points of the encoder as it came.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training.contract import MAX_LENGTH
from training.errors import GateError, TrainingError
from training.evaluation.baselines import Embedder, Vectors
from training.evaluation.folder import data_file
from training.evaluation.intervals import wilson
from training.evaluation.predictors import answer_in_chunks
from training.meaning import MeaningHead, read_layers
from training.metrics import Interval, Ints
from training.model import mean_pool
from training.tokens import load_tokenizer, pad, token_ids
from training.trained import Trained

POINTS = 0.02
"""By how much accuracy may fall below the untouched encoder's."""
BATCH = 32
DESCRIPTIONS = {
    "World": "World news: politics, government, war, elections and international affairs.",
    "Sports": "Sports news: games, teams, players, matches and championships.",
    "Business": "Business news: companies, markets, the economy, stocks, oil prices and trade.",
    "Sci/Tech": "Science and technology news: computers, software, the internet, space and research.",
}
"""What each topic of AG News is about, in words chosen once and not tuned on its rows."""


@dataclass(frozen=True, slots=True)
class Article:
    """A piece of news and the name of its topic."""

    text: str
    topic: str


@dataclass(frozen=True, slots=True)
class TopicGate:
    """Zero-shot accuracy of a tuned encoder beside the untouched one's on the same rows, and whether the gate holds."""

    rows: int
    tuned: float
    tuned_ci95: Interval
    untouched: float
    points_lost: float
    passed: bool


class TorchEmbedder:
    """An encoder under torch with mean pooling, each vector made 1 long; `prefix` is what it was trained to expect."""

    def __init__(self, encoder: nn.Module, tokenizer: str, prefix: str = "") -> None:
        self._encoder = encoder.eval()
        self._tokenizer = load_tokenizer(tokenizer, MAX_LENGTH)
        self._prefix = prefix

    @torch.inference_mode()
    def embeddings(self, texts: Sequence[str]) -> Vectors:
        """Return float32 unit vectors [texts, dimensions]."""
        rows = token_ids(self._tokenizer, [self._prefix + text for text in texts])
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        vectors = np.concatenate([self._embed([rows[index] for index in batch]) for batch in batches])
        return np.asarray(vectors[np.argsort(order)], dtype=np.float32)

    def _embed(self, rows: Sequence[Sequence[int]]) -> Vectors:
        ids, mask = map(torch.from_numpy, pad(rows))
        hidden = self._encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return np.asarray(nn.functional.normalize(mean_pool(hidden, mask), dim=1).numpy(), dtype=np.float32)


class HeadEmbedder:
    """A tuned model's second head, which reads the mean of every layer."""

    def __init__(self, trained: Trained, meaning: MeaningHead) -> None:
        self._trained, self._meaning = trained, meaning

    @torch.inference_mode()
    def embeddings(self, texts: Sequence[str]) -> Vectors:
        """Return float32 unit vectors [texts, dimensions]."""
        pools = torch.from_numpy(read_layers(self._trained, texts)).float()
        return np.asarray(self._meaning(pools).numpy(), dtype=np.float32)


def read_articles(folder: Path, rows: int | None = None, seed: int = 0) -> list[Article]:
    """Return the test rows of AG News, at most `rows` of them drawn by the seed.

    Raises:
        MissingDataError: they are not in the folder of the measuring data.
        TrainingError: a row has no topic that is known.
    """
    path = data_file(folder, "agnews/test.tsv")
    with path.open(encoding="utf-8", newline="") as file:
        articles = [Article(text, topic) for text, topic in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    if unknown := {article.topic for article in articles} - DESCRIPTIONS.keys():
        raise TrainingError(f"{path}: there is no topic {min(unknown)!r}; there are {', '.join(DESCRIPTIONS)}")
    drawn = np.random.default_rng(seed).permutation(len(articles))[:rows]
    return [articles[index] for index in sorted(drawn.tolist())]


def zero_shot(
    embedder: Embedder, texts: Sequence[str], descriptions: Mapping[str, str] = DESCRIPTIONS, progress: str = ""
) -> Ints:
    """Return for each text [n] the place of the description that is nearest by cosine."""
    vectors = answer_in_chunks(embedder.embeddings, texts, progress)
    return np.asarray((vectors @ embedder.embeddings(list(descriptions.values())).T).argmax(axis=1), dtype=np.int64)


def topic_gate(tuned: Embedder, untouched: Embedder, articles: Sequence[Article], *, progress: bool = False) -> TopicGate:
    """Return the accuracy of both encoders on the articles, and whether the tuned one keeps within two points."""
    texts, names = [article.text for article in articles], list(DESCRIPTIONS)
    true = np.array([names.index(article.topic) for article in articles])
    what = ("topics by the tuned encoder", "topics by the untouched encoder") if progress else ("", "")
    hits = [int((zero_shot(e, texts, progress=w) == true).sum()) for e, w in zip((tuned, untouched), what, strict=True)]
    ours, theirs = (count / len(texts) for count in hits)
    lost = theirs - ours
    return TopicGate(len(texts), ours, wilson(hits[0], len(texts)), theirs, lost, lost <= POINTS)


def require(found: TopicGate) -> TopicGate:
    """Return what was found if the gate holds.

    Raises:
        GateError: the tuned encoder lost more than two points.
    """
    if not found.passed:
        raise GateError(
            f"topics: zero-shot accuracy fell from {found.untouched:.3f} to {found.tuned:.3f} on {found.rows:,} articles "
            f"(allowed: {POINTS:g}); train with more weight on keeping the embedding"
        )
    return found
