"""Temperature scaling: one number that makes the probabilities mean what they say.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]

from training.adapter import CALIBRATION_FILE
from training.errors import TrainingError
from training.metrics import Ints
from training.predict import probabilities

BOUNDS = (0.25, 4.0)
LEAST_ROWS = 200
"""A source with fewer rows says too little about its temperature: its error would be a tenth and more."""


def fit_temperature(logits: NDArray[np.float32], true: Ints) -> float:
    """Return the temperature, between 0.25 and 4, that makes the true labels [n] of logits [n, 3] most likely."""
    low, high = np.log(BOUNDS)
    found = minimize_scalar(lambda log: _loss(logits, true, float(np.exp(log))), bounds=(low, high), method="bounded")
    return round(float(np.exp(found.x)), 4)


def fit_hardest(logits: NDArray[np.float32], true: Ints, sources: Sequence[str]) -> float:
    """Return the highest temperature that any source with enough rows asks for, or all rows together.

    Texts from elsewhere are at least as strange to a model as the strangest that it was validated on, and there models claim
    too much (Ovadia et al., "Can You Trust Your Model's Uncertainty?", NeurIPS 2019). `sources` [n] says where each row of
    logits [n, 3] comes from.
    """
    of_source = np.array(sources)
    parts = [of_source == source for source in sorted(set(sources))]
    enough = [part for part in parts if part.sum() >= LEAST_ROWS]
    return max(fit_temperature(logits[part], true[part]) for part in [np.ones(len(true), dtype=bool), *enough])


def write_temperature(adapter: Path, temperature: float) -> None:
    """Write the calibration beside an adapter's weights."""
    content = {"method": "temperature", "temperature": temperature}
    (adapter / CALIBRATION_FILE).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def read_temperature(adapter: Path) -> float:
    """Return the temperature of a saved adapter.

    Raises:
        TrainingError: the adapter has not been calibrated.
    """
    try:
        return float(json.loads((adapter / CALIBRATION_FILE).read_text("utf-8"))["temperature"])
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{adapter} has no usable {CALIBRATION_FILE}: run `tidings train` first") from error


def _loss(logits: NDArray[np.float32], true: Ints, temperature: float) -> float:
    likelihood = probabilities(logits, temperature)[np.arange(len(true)), true]
    return float(-np.log(np.maximum(likelihood, 1e-12)).mean())
