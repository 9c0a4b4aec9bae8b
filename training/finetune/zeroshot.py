"""A model of no labelled text at all: each label is described in words, and a text belongs where its embedding is nearest.

Yin, Hay and Roth, "Benchmarking Zero-shot Text Classification", EMNLP 2019. The nearest description of unit length is a linear
function of the embedding, so that the result is a head like any other, and is exported as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from transformers import PreTrainedModel

from training.data import LABELS
from training.errors import TrainingError
from training.finetune.texts import embeddings_of
from training.model import SentimentModel, new_model
from training.recipe import Method, Recipe
from training.tokens import load_tokenizer, token_ids

DESCRIPTIONS: Mapping[str, tuple[str, ...]] = {
    "negative": ("This is bad, I am unhappy with it.", "What a terrible disappointment.", "Losses, failure and anger."),
    "neutral": ("This is a plain fact.", "The meeting is at ten on Monday.", "It was announced and described."),
    "positive": ("This is good, I am happy with it.", "What a wonderful success.", "Gains, victory and joy."),
}
SHARPNESS = 20.0
"""What a cosine of one is worth as a logit; the temperature is fitted afterwards where there are labels to fit it on."""


def zeroshot(
    recipe: Recipe,
    encoder: PreTrainedModel,
    tokenizer: str,
    background: Sequence[str],
    descriptions: Mapping[str, Sequence[str]] = DESCRIPTIONS,
) -> SentimentModel:
    """Return a model that knows the labels by their descriptions alone.

    `background` are unlabelled texts of the kind to be judged: their mean is taken off, since all embeddings of an encoder
    share a direction that says nothing.

    Raises:
        TrainingError: a label has no description, or there are no background texts.
    """
    missing = [label for label in LABELS if not descriptions.get(label)]
    if missing or not background:
        raise TrainingError(f"no description of {missing[0]}" if missing else "zero-shot needs texts of the kind to be judged")
    model = new_model(encoder, replace(recipe, method=Method.HEAD))
    cutter = load_tokenizer(tokenizer, recipe.max_length)
    around = embeddings_of(encoder, token_ids(cutter, background))
    middle, length = around.mean(axis=0), float(np.linalg.norm(around - around.mean(axis=0), axis=1).mean())
    means = [embeddings_of(encoder, token_ids(cutter, descriptions[label])).mean(axis=0) - middle for label in LABELS]
    weight = np.stack([SHARPNESS * mean / (np.linalg.norm(mean) * max(length, 1e-9)) for mean in means])
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(weight))
        model.head.bias.copy_(torch.from_numpy(-weight @ middle))
    return model.eval()
