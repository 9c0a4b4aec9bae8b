"""The teacher: the model of an adapter, merged, with its tokenizer and temperature."""

from __future__ import annotations

from pathlib import Path

from training.calibrate import read_temperature
from training.compress.compact import Compact
from training.encoder import fetch_encoder
from training.model import load_encoder, load_model, merge
from training.paths import adapter_dir
from training.quiet import quiet_libraries
from training.tokens import tokenizer_json


def load_teacher(adapter: Path | None = None) -> Compact:
    """Return the adapter's model in float32, in evaluation mode; the default is the committed adapter.

    Raises:
        TrainingError: there is no such adapter, or the encoder could not be fetched.
    """
    folder = adapter or adapter_dir()
    with quiet_libraries():
        encoder = fetch_encoder()
        model = merge(load_model(folder, load_encoder(encoder)))
    return Compact(model, tokenizer_json(encoder), read_temperature(folder))
