"""Going on from a model with a new batch of texts, without forgetting what it knew.

Old texts are replayed beside the new ones, and the targets of those are drawn towards what the model said of them before:
Li and Hoiem, "Learning without Forgetting", 2016; Rolnick et al., "Experience Replay for Continual Learning", NeurIPS 2019.
A target that is part label and part what the old model said makes the cross-entropy the sum of both terms.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.finetune.texts import Text
from training.finetune.trainer import Material, TrainingRun, Watch, finetune
from training.metrics import confusion, macro_f1
from training.model import SentimentModel
from training.predict import TorchModel, logits_of, probabilities
from training.recipe import Recipe
from training.tokens import load_tokenizer, token_ids
from training.trained import load_trained, untouched


@dataclass(frozen=True, slots=True)
class Memory:
    """What is kept of the past: old texts as a share of the new, and how much of their targets is what the model said."""

    replay: float = 1.0
    distil: float = 0.5
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts to go on with: new ones to learn from and to stop by, and old ones to replay."""

    new: Sequence[Text]
    validation: Sequence[Text]
    old: Sequence[Text]


def go_on(
    adapter: Path, recipe: Recipe, batch: Batch, memory: Memory, watch: Watch | None = None
) -> tuple[SentimentModel, TrainingRun]:
    """Train the model of `adapter` further and return it; the recipe says how fast and how long, the adapter's own the rest.

    Raises:
        TrainingError: there is no adapter, or a part of the batch is empty.
    """
    trained = load_trained(adapter)
    kept = trained.recipe
    recipe = replace(recipe, encoder=kept.encoder, layers=kept.layers, method=kept.method, frozen_layers=kept.frozen_layers)
    texts = [*batch.new, *remembered(trained.model, trained.tokenizer, _drawn(batch, memory), memory.distil)]
    _thaw(trained.model)
    material = Material(untouched(recipe), trained.tokenizer, texts, batch.validation, trained.model)
    return finetune(replace(recipe, prior_strength=0.0), material, watch)


def remembered(model: SentimentModel, tokenizer: str, texts: Sequence[Text], share: float) -> list[Text]:
    """Return the texts with targets that are, to this share, what the model says of them now."""
    if not texts:
        return []
    said = probabilities(logits_of(TorchModel(model), token_ids(load_tokenizer(tokenizer, 128), [one.text for one in texts])))
    mixed = (1.0 - share) * np.array([one.targets for one in texts]) + share * said
    return [replace(one, targets=tuple(row)) for one, row in zip(texts, mixed.tolist(), strict=True)]


def macro_f1_on(model: SentimentModel, tokenizer: str, texts: Sequence[Text], labels: Sequence[str]) -> float:
    """Return the model's macro-F1 on labelled texts."""
    logits = logits_of(TorchModel(model), token_ids(load_tokenizer(tokenizer, 256), [one.text for one in texts]))
    true = np.array([labels.index(one.label) for one in texts], dtype=np.int64)
    return float(macro_f1(confusion(true, logits.argmax(axis=1))))


def _drawn(batch: Batch, memory: Memory) -> list[Text]:
    count = min(len(batch.old), round(memory.replay * len(batch.new)))
    return random.Random(memory.seed).sample(list(batch.old), count)  # noqa: S311 - drawn to be repeated


def _thaw(model: SentimentModel) -> None:
    """Peft loads an adapter frozen; what the method trains is to be trained again."""
    for name, weights in model.encoder.named_parameters():
        if "lora_" in name:
            weights.requires_grad_(True)
