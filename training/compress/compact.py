"""A compressed model as a folder: configuration, whole weights, head, tokenizer and temperature; shapes come from the weights.

A pruned encoder has layers of different shapes, which no configuration of transformers can tell. So it is built by its
configuration and then cut to the shapes in `model.safetensors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from training.adapter import CALIBRATION_FILE, HEAD_WEIGHTS, check_files
from training.calibrate import read_temperature, write_temperature
from training.compress.pruning import keep_inputs, keep_outputs, layers_of, plain_bert, set_heads
from training.model import SentimentModel
from training.quiet import quiet_libraries
from training.repository import TOKENIZER_FILE

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
COMPACT_FILES = (CONFIG_FILE, WEIGHTS_FILE, HEAD_WEIGHTS, TOKENIZER_FILE, CALIBRATION_FILE)


@dataclass(frozen=True, slots=True)
class Compact:
    """A model with the content of its tokenizer's file and the temperature of its probabilities."""

    model: SentimentModel
    tokenizer: str
    temperature: float = 1.0


def save_compact(compact: Compact, folder: Path) -> None:
    """Write the model to `folder`, its weights in float32.

    Raises:
        TrainingError: its encoder is not a plain BERT.
    """
    encoder = plain_bert(compact.model.encoder)
    folder.mkdir(parents=True, exist_ok=True)
    encoder.config.to_json_file(folder / CONFIG_FILE)
    save_file({name: value.contiguous() for name, value in encoder.state_dict().items()}, folder / WEIGHTS_FILE)
    save_file({name: value.contiguous() for name, value in compact.model.head.state_dict().items()}, folder / HEAD_WEIGHTS)
    (folder / TOKENIZER_FILE).write_text(compact.tokenizer, "utf-8")
    write_temperature(folder, compact.temperature)


def load_compact(folder: Path) -> Compact:
    """Return the model that `save_compact` wrote, in evaluation mode.

    Raises:
        TrainingError: `folder` does not hold one.
    """
    check_files(folder, COMPACT_FILES)
    weights = load_file(folder / WEIGHTS_FILE)
    with quiet_libraries():
        encoder = BertModel(BertConfig.from_json_file(folder / CONFIG_FILE), add_pooling_layer=False)
    fit_shapes(encoder, weights)
    encoder.load_state_dict(weights)
    model = SentimentModel(encoder, encoder.config.hidden_size)
    model.head.load_state_dict(load_file(folder / HEAD_WEIGHTS))
    return Compact(model.eval(), (folder / TOKENIZER_FILE).read_text("utf-8"), read_temperature(folder))


def fit_shapes(encoder: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Cut an encoder's matrices to the shapes of these weights, whatever they held; in place."""
    for number, layer in enumerate(layers_of(encoder)):
        of = f"encoder.layer.{number}"
        attended = torch.arange(len(weights[f"{of}.attention.self.query.weight"]))
        for name in ("query", "key", "value"):
            setattr(layer.attention.self, name, keep_outputs(getattr(layer.attention.self, name), attended))
        layer.attention.output.dense = keep_inputs(layer.attention.output.dense, attended)
        set_heads(layer)
        neurons = torch.arange(len(weights[f"{of}.intermediate.dense.weight"]))
        layer.intermediate.dense = keep_outputs(layer.intermediate.dense, neurons)
        layer.output.dense = keep_inputs(layer.output.dense, neurons)
