"""The teacher: the model of an adapter, merged, with its tokenizer and temperature."""

from __future__ import annotations

from pathlib import Path

from training.calibrate import read_temperature
from training.compress.compact import Compact
from training.model import merge
from training.paths import adapter_dir
from training.trained import load_trained


def load_teacher(adapter: Path | None = None) -> Compact:
    """Return the adapter's model in float32, in evaluation mode; the default is the committed adapter.

    Raises:
        TrainingError: there is no such adapter, or the encoder could not be fetched.
    """
    folder = adapter or adapter_dir()
    trained = load_trained(folder)
    return Compact(merge(trained.model), trained.tokenizer, read_temperature(folder))
