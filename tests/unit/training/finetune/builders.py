"""Texts of one telling word for the recipes that learn from few, and how well a model tells them."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel

from tests.unit.training.builders import snippets, tiny_encoder, tokenizer_file
from training.data import LABELS
from training.finetune.continual import macro_f1_on
from training.finetune.texts import Text, from_snippets
from training.model import SentimentModel, load_encoder
from training.quiet import quiet_libraries
from training.recipe import Recipe

TINY = Recipe(batch_size=8, learning_rate=2e-2, lora_rank=4, lora_alpha=8, encoder_dropout=0.0, head_dropout=0.0, bf16=False)


def texts() -> list[Text]:
    """Return 120 texts, each judged by one word."""
    return from_snippets(snippets(), TINY)


def encoder(folder: Path) -> PreTrainedModel:
    """Return the tiny encoder, which knows nothing."""
    tiny_encoder(folder)
    with quiet_libraries():
        return load_encoder(folder)


def score(model: SentimentModel, of: list[Text]) -> float:
    """Return the model's macro-F1."""
    return macro_f1_on(model, tokenizer_file(), of, LABELS)
