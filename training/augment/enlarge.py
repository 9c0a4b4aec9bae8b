"""A training part with more to learn from: disturbed copies and behavioural templates beside the labelled texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from training.augment.perturb import augment
from training.augment.templates import behavioural
from training.data import label_of
from training.finetune.texts import Text
from training.model import soft_labels
from training.recipe import Recipe


def enlarge(texts: Sequence[Text], recipe: Recipe) -> list[Text]:
    """Return the texts, disturbed copies of a share of them, and behavioural sentences, in that order."""
    made = behavioural(recipe.behavioural, recipe.seed)
    soft = soft_labels(torch.tensor([one.rating for one in made]), recipe.label_sigma).tolist()
    sentences = [Text(one.text, label_of(one.rating), tuple(targets)) for one, targets in zip(made, soft, strict=True)]
    return [*texts, *augment(texts, recipe.disturbed, recipe.seed), *sentences]
