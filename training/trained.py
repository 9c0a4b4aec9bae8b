"""A saved model as it is used again: on the encoder that its recipe names, with that encoder's tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from training.adapter import RECIPE_FILE, check_files
from training.encoder import fetch_encoder
from training.errors import TrainingError
from training.model import SentimentModel, load_encoder, load_model
from training.quiet import quiet_libraries
from training.recipe import Recipe, Task
from training.tokens import tokenizer_json


@dataclass(frozen=True, slots=True)
class Trained:
    """A model in evaluation mode, the content of its tokenizer's file, and the recipe it came from."""

    model: SentimentModel
    tokenizer: str
    recipe: Recipe


def load_trained(adapter: Path) -> Trained:
    """Return the model of a saved adapter.

    Raises:
        TrainingError: there is no adapter, it is not of sentiment, or its encoder could not be fetched.
    """
    check_files(adapter)
    recipe = Recipe.read(adapter / RECIPE_FILE)
    if recipe.task is not Task.SENTIMENT:
        raise TrainingError(f"{adapter} is a model of {recipe.task}, and this is for sentiment: name another adapter")
    folder = fetch_encoder(recipe.encoder)
    with quiet_libraries():
        model = load_model(adapter, load_encoder(folder, layers=recipe.layers))
    return Trained(model, tokenizer_json(folder), recipe)


def untouched(recipe: Recipe, *, for_training: bool = False) -> PreTrainedModel:
    """Return the encoder of a recipe as it came; with the recipe's dropout if it is `for_training`.

    Raises:
        TrainingError: it could not be fetched.
    """
    with quiet_libraries():
        return load_encoder(fetch_encoder(recipe.encoder), recipe.encoder_dropout if for_training else 0.0, recipe.layers)
