"""Structured pruning of a BERT encoder: whole layers, attention heads and feed-forward neurons, out of the matrices themselves.

What is pruned is gone: the matrices are smaller, so any runtime is quicker for it. Nothing here trains; a pruned model is
fine-tuned or distilled afterwards (see `training.compress.distil`).

Importance: Michel, Levy and Neubig, "Are Sixteen Heads Really Better than One?", NeurIPS 2019, equation 2: the expected size
of the loss's gradient by a mask over heads; the same for the neurons of the feed-forward part, as in Prasanna, Rogers and
Rumshisky, "When BERT Plays the Lottery, All Tickets Are Winning", EMNLP 2020.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import BertModel
from transformers.models.bert.modeling_bert import BertLayer

from training.errors import TrainingError
from training.model import SentimentModel

Batch = Mapping[str, Tensor]
"""`input_ids` and `attention_mask` [batch, tokens], int64, and `targets` [batch, 3], as `finetune.collate` gives them."""


@dataclass(frozen=True, slots=True)
class Importance:
    """How much the loss depends on each part: float32 `heads` [layers][heads] and `neurons` [layers][intermediate size]."""

    heads: tuple[Tensor, ...]
    neurons: tuple[Tensor, ...]


def plain_bert(encoder: nn.Module) -> BertModel:
    """Return the encoder as what it is.

    Raises:
        TrainingError: it is not a BERT, or it still has an adapter in it.
    """
    if not isinstance(encoder, BertModel):
        raise TrainingError(f"only a plain BERT can be compressed, not {type(encoder).__name__}: merge its adapter first")
    return encoder


def layers_of(encoder: nn.Module) -> list[BertLayer]:
    """Return the encoder's layers.

    Raises:
        TrainingError: it is not a plain BERT.
    """
    return [layer for layer in plain_bert(encoder).encoder.layer if isinstance(layer, BertLayer)]


def importance(model: SentimentModel, batches: Iterable[Batch]) -> Importance:
    """Return the importance of every head and neuron over the texts of `batches`, heads normalised within each layer.

    Dropout is off and no weight changes. The masks are one a text, so that texts whose gradients differ in sign add up.
    """
    masks, sums = _Masks(layers_of(model.encoder)), list[Tensor]()
    with masks:
        for batch in batches:
            seen = masks.gradients(model, batch)
            sums = [total + more for total, more in zip(sums, seen, strict=True)] if sums else seen
    if not sums:
        raise TrainingError("no texts to tell important heads from others by")
    count = len(sums) // 2
    return Importance(tuple(heads / (heads.norm() + 1e-12) for heads in sums[:count]), tuple(sums[count:]))


def least(scores: Sequence[Tensor], share: float, at_least: int = 1) -> dict[int, list[int]]:
    """Return which parts to prune, by layer: the share of all with the least scores, `at_least` parts a layer left over."""
    ranked = sorted((float(score), layer, part) for layer, row in enumerate(scores) for part, score in enumerate(row))
    wanted, pruned = round(share * len(ranked)), dict[int, list[int]]()
    for _, layer, part in ranked:
        if sum(map(len, pruned.values())) == wanted:
            break
        if len(scores[layer]) - len(pruned.get(layer, ())) > at_least:
            pruned.setdefault(layer, []).append(part)
    return {layer: sorted(parts) for layer, parts in sorted(pruned.items())}


def least_each(scores: Sequence[Tensor], keep: int) -> dict[int, list[int]]:
    """Return which parts to prune so that each layer keeps its `keep` most important ones."""
    return {layer: sorted(row.argsort(descending=True)[keep:].tolist()) for layer, row in enumerate(scores)}


def drop_layers(encoder: nn.Module, keep: Sequence[int]) -> None:
    """Keep the layers with these numbers, from 0, in this order; in place.

    Raises:
        TrainingError: there is no such layer, or none is kept.
    """
    layers = layers_of(encoder)
    if not keep or not set(keep) <= set(range(len(layers))):
        raise TrainingError(f"the encoder has layers 0 to {len(layers) - 1}: cannot keep {list(keep)}")
    kept = [layers[number] for number in keep]
    for number, layer in enumerate(kept):
        layer.attention.self.layer_idx = number
    bert = plain_bert(encoder)
    bert.encoder.layer = nn.ModuleList(kept)
    bert.config.num_hidden_layers = len(kept)


def prune_heads(encoder: nn.Module, heads: Mapping[int, Collection[int]]) -> None:
    """Remove attention heads, given by layer, from the four matrices of their layers; in place.

    Raises:
        TrainingError: a layer would have no head left: drop the layer.
    """
    layers = layers_of(encoder)
    for number, pruned in heads.items():
        attention = layers[number].attention
        kept = _kept(attention.self.num_attention_heads, pruned, f"layer {number} would have no head left: drop the layer")
        width = attention.self.attention_head_size
        columns = torch.cat([torch.arange(head * width, (head + 1) * width) for head in kept])
        for name in ("query", "key", "value"):
            setattr(attention.self, name, keep_outputs(getattr(attention.self, name), columns))
        attention.output.dense = keep_inputs(attention.output.dense, columns)
        set_heads(layers[number])


def prune_neurons(encoder: nn.Module, neurons: Mapping[int, Collection[int]]) -> None:
    """Remove feed-forward neurons, given by layer, from both matrices of their layers; in place.

    Raises:
        TrainingError: a layer would have no neuron left.
    """
    layers = layers_of(encoder)
    for number, pruned in neurons.items():
        layer = layers[number]
        kept = torch.tensor(_kept(layer.intermediate.dense.out_features, pruned, f"layer {number} would have no neuron left"))
        layer.intermediate.dense = keep_outputs(layer.intermediate.dense, kept)
        layer.output.dense = keep_inputs(layer.output.dense, kept)


def set_heads(layer: BertLayer) -> None:
    """Tell a layer's attention how many heads its matrices have."""
    attention = layer.attention.self
    attention.all_head_size = attention.query.out_features
    attention.num_attention_heads = attention.all_head_size // attention.attention_head_size


def keep_outputs(linear: nn.Linear, rows: Tensor) -> nn.Linear:
    """Return the linear layer with these outputs alone."""
    smaller = nn.Linear(linear.in_features, len(rows), bias=linear.bias is not None)
    smaller.weight.data = linear.weight.data[rows].clone()
    if linear.bias is not None:
        smaller.bias.data = linear.bias.data[rows].clone()
    return smaller


def keep_inputs(linear: nn.Linear, columns: Tensor) -> nn.Linear:
    """Return the linear layer with these inputs alone."""
    smaller = nn.Linear(len(columns), linear.out_features, bias=linear.bias is not None)
    smaller.weight.data = linear.weight.data[:, columns].clone()
    if linear.bias is not None:
        smaller.bias.data = linear.bias.data.clone()
    return smaller


def _kept(count: int, pruned: Collection[int], otherwise: str) -> list[int]:
    kept = [part for part in range(count) if part not in pruned]
    if not kept:
        raise TrainingError(otherwise)
    return kept


class _Masks:
    """Masks of ones over what each layer's two output matrices are given, while the context is open."""

    def __init__(self, layers: Sequence[BertLayer]) -> None:
        heads = [(layer.attention.output.dense, layer.attention.self.num_attention_heads) for layer in layers]
        neurons = [(layer.output.dense, layer.output.dense.in_features) for layer in layers]
        self._places = [*heads, *neurons]
        self._ones: list[Tensor] = [torch.empty(0)] * len(self._places)
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> _Masks:
        self._hooks = [
            dense.register_forward_pre_hook(self._masking(place, parts)) for place, (dense, parts) in enumerate(self._places)
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def gradients(self, model: SentimentModel, batch: Batch) -> list[Tensor]:
        """Return the sum over the batch's texts of each mask's gradient, without its sign."""
        training = model.training
        with torch.enable_grad():
            logits = model.eval()(batch["input_ids"], batch["attention_mask"])
            loss = nn.functional.cross_entropy(logits, batch["targets"], reduction="sum")
            found = torch.autograd.grad(loss, self._ones)
        model.train(training)
        return [gradient.abs().sum(dim=0) for gradient in found]

    def _masking(self, place: int, parts: int) -> Callable[[nn.Module, tuple[Tensor]], Tensor]:
        def mask(_: nn.Module, given: tuple[Tensor]) -> Tensor:
            [hidden] = given
            ones = torch.ones(len(hidden), parts, requires_grad=True)
            self._ones[place] = ones
            each = math.prod(hidden.shape[2:]) // parts
            return hidden * ones.repeat_interleave(each, dim=1).unsqueeze(1)

        return mask
