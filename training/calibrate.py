"""Temperature scaling: one number that makes the probabilities mean what they say.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]

from training.adapter import CALIBRATION_FILE
from training.errors import TrainingError
from training.metrics import Ints
from training.predict import probabilities

BOUNDS = (0.25, 4.0)


def fit_temperature(logits: NDArray[np.float32], true: Ints) -> float:
    """Return the temperature, between 0.25 and 4, that makes the true labels [n] of logits [n, 3] most likely."""
    low, high = np.log(BOUNDS)
    found = minimize_scalar(lambda log: _loss(logits, true, float(np.exp(log))), bounds=(low, high), method="bounded")
    return round(float(np.exp(found.x)), 4)


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
