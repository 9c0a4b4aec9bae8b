"""What can be measured: anything that answers texts with probabilities, and the model as the worker serves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from training.contract import BUCKETS
from training.metrics import Floats
from training.predict import LogitsModel, probabilities
from training.tokens import load_tokenizer, pad, token_ids

Number = TypeVar("Number", np.float32, np.float64)
BATCH = 32
CHUNK = 512
"""So many texts are answered between two steps of a progress bar."""


class Predictor(Protocol):
    """Anything that answers texts. `calibrated` says whether its probabilities are meant as such."""

    name: str
    calibrated: bool

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """Return float64 probabilities [texts, 3], in the order negative, neutral, positive."""
        ...


class ModelPredictor:
    """A sentiment model as it is served: texts cut to the longest bucket, padded to their own, answered in batches."""

    calibrated = True

    def __init__(self, name: str, model: LogitsModel, tokenizer: str, temperature: float) -> None:
        self.name = name
        self._model = model
        self._tokenizer = load_tokenizer(tokenizer, BUCKETS[-1])
        self._temperature = temperature

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """Return calibrated probabilities, float64 [texts, 3]."""
        logits = np.empty((len(texts), 3), dtype=np.float32)
        rows = token_ids(self._tokenizer, texts)
        for batch, bucket in _by_bucket(rows):
            logits[batch] = self._model.logits(*pad([rows[index] for index in batch], bucket))
        return probabilities(logits, self._temperature)


def answer(predictor: Predictor, texts: Sequence[str], what: str = "") -> Floats:
    """Return probabilities [texts, 3], each distinct text answered once; `what` names a progress bar, "" shows none."""
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return np.empty((0, 3))
    place = {text: index for index, text in enumerate(distinct)}
    answers = answer_in_chunks(predictor.probabilities, distinct, what and f"{predictor.name}: {what}")
    return np.asarray(answers[[place[text] for text in texts]], dtype=np.float64)


def answer_in_chunks(ask: Callable[[Sequence[str]], NDArray[Number]], texts: Sequence[str], what: str) -> NDArray[Number]:
    """Return what is answered to the texts, some hundred at a time; `what` names a progress bar, "" shows none."""
    starts = range(0, len(texts), CHUNK)
    bar = track(starts, what, disable=not what, transient=True, console=Console(stderr=True))
    return np.concatenate([ask(texts[start : start + CHUNK]) for start in bar])


def _by_bucket(rows: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], int]]:
    for shorter, bucket in zip((0, *BUCKETS), BUCKETS, strict=False):
        fitting = [index for index, row in enumerate(rows) if shorter < len(row) <= bucket]
        for start in range(0, len(fitting), BATCH):
            yield fitting[start : start + BATCH], bucket
