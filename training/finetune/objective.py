"""What a fine-tune makes small: the loss on soft labels, and what is added to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from peft.tuners.adalora import AdaLoraLayer
from torch import Tensor, nn

from training.recipe import Loss, Method, Recipe

ORTHOGONALITY = 0.1
"""Weight of the term that keeps AdaLoRA's singular vectors apart."""


@dataclass(frozen=True, slots=True)
class Objective:
    """The loss of a recipe. `weights` [labels] is what each label counts, if not all the same."""

    recipe: Recipe
    weights: Tensor | None = None

    def __call__(self, model: nn.Module, logits: Tensor, embedding: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Return the mean loss [] over logits [batch, labels] and embeddings [batch, hidden].

        `batch` has the soft targets, [batch, labels], and `reference`, [batch, hidden], where embeddings are to be kept.
        """
        logits = logits.float()
        weights = None if self.weights is None else self.weights.to(logits.device)
        loss = nn.functional.cross_entropy(logits, batch["targets"], weight=weights)
        if self.recipe.loss is Loss.ORDINAL:
            loss = loss + cumulative_distance(logits, batch["targets"])
        if self.recipe.preserve:
            loss = loss + self.recipe.preserve * drift(embedding, batch["reference"])
        if self.recipe.method is Method.ADALORA:
            loss = loss + ORTHOGONALITY * orthogonality(model)
        return loss


def cumulative_distance(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared distance [] of cumulative shares of ordered labels, from logits and targets [batch, labels].

    To say negative of a positive text costs more than to say neutral. Hou et al., "Squared Earth Mover's Distance-based
    Loss for Training Deep Neural Networks", 2016.
    """
    gap = logits.softmax(dim=-1).cumsum(dim=-1) - targets.cumsum(dim=-1)
    return gap.square().sum(dim=-1).mean()


def drift(embedding: Tensor, reference: Tensor) -> Tensor:
    """Return one minus the mean cosine [] between embeddings and where they were, both [batch, hidden]."""
    return (1.0 - nn.functional.cosine_similarity(embedding.float(), reference, dim=-1)).mean()


def orthogonality(model: nn.Module) -> Tensor:
    """Return the mean squared Frobenius distance [] of AdaLoRA's singular vectors from orthonormal ones."""
    layers = [module for module in model.modules() if isinstance(module, AdaLoraLayer)]
    sides = [side for layer in layers for side in _sides(layer)]
    return torch.stack([_off_identity(side) for side in sides]).mean()


def _sides(layer: AdaLoraLayer) -> list[Tensor]:
    return [*layer.lora_A.parameters(), *(b.T for b in layer.lora_B.parameters())]


def _off_identity(rows: Tensor) -> Tensor:
    return (rows @ rows.T - torch.eye(len(rows), device=rows.device)).square().sum()


def class_weights(targets: Tensor) -> Tensor:
    """Return the weight [labels] of each label that makes all count the same, with a mean of one over targets [n, labels]."""
    share = targets.mean(dim=0).clamp(min=1e-6)
    return 1.0 / (share * share.numel())
