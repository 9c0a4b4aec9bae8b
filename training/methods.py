"""What a fine-tune trains: all of the encoder, or a small part put into it.

Every method answers with an encoder that takes ids and mask and returns `last_hidden_state` [batch, tokens, hidden], so that
the model around it is the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from peft import AdaLoraConfig, LoraConfig, PromptTuningConfig, TaskType, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from training.recipe import Method, Recipe

_LAYER = re.compile(r"\blayer\.(\d+)\.")
_ADAPTED = "output.dense"


def with_method(encoder: PreTrainedModel, recipe: Recipe, steps: int = 1) -> nn.Module:
    """Return the encoder ready for the recipe's method; what the method does not train is frozen.

    `steps` is how many the run takes, after which AdaLoRA has spread its ranks.
    """
    if recipe.gradient_checkpointing:
        encoder.gradient_checkpointing_enable()  # type: ignore[no-untyped-call]
        encoder.enable_input_require_grads()  # type: ignore[no-untyped-call]
    encoder.requires_grad_(recipe.method is Method.FULL)
    ready = _METHODS[recipe.method](encoder, recipe, steps)
    _freeze(ready, recipe.frozen_layers)
    return ready


def layer_of(name: str) -> int | None:
    """Return the number of the layer that a weight's name says it belongs to, from 0, or None."""
    found = _LAYER.search(name)
    return int(found[1]) if found else None


def _freeze(encoder: nn.Module, layers: int) -> None:
    for name, weights in encoder.named_parameters():
        layer = layer_of(name)
        if layers and ((layer is not None and layer < layers) or "embeddings." in name):
            weights.requires_grad_(False)


def _adapted_layers(encoder: PreTrainedModel, recipe: Recipe) -> list[int] | None:
    count: int = encoder.config.num_hidden_layers
    return list(range(recipe.frozen_layers, count)) if recipe.frozen_layers else None


def _lora(encoder: PreTrainedModel, recipe: Recipe, steps: int) -> nn.Module:
    """Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022."""
    del steps
    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules="all-linear",
        layers_to_transform=_adapted_layers(encoder, recipe),
    )
    return get_peft_model(encoder, config)


def _adalora(encoder: PreTrainedModel, recipe: Recipe, steps: int) -> nn.Module:
    """Zhang et al., "Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning", ICLR 2023.

    Starts at one and a half times the rank, and has taken the least important ones away after two thirds of the run.
    """
    steps = max(steps, 6)
    config = AdaLoraConfig(
        init_r=recipe.lora_rank + recipe.lora_rank // 2,
        target_r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        tinit=steps // 6,
        tfinal=steps // 3,
        deltaT=max(1, steps // 60),
        total_step=steps,
        target_modules=_linear_layers(encoder),
    )
    return get_peft_model(encoder, config)


def _linear_layers(encoder: PreTrainedModel) -> list[str]:
    """AdaLoRA does not know "all-linear"."""
    return [name for name, module in encoder.named_modules() if isinstance(module, nn.Linear)]


def _adapters(encoder: PreTrainedModel, recipe: Recipe, steps: int) -> nn.Module:
    """Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", ICML 2019: two in each layer."""
    del steps
    for name, module in list(encoder.named_modules()):
        if name.endswith(_ADAPTED) and isinstance(module, nn.Linear):
            parent = encoder.get_submodule(name.rpartition(".")[0])
            parent.register_module("dense", Bottleneck(module, recipe.adapter_size))
    return encoder


class Bottleneck(nn.Module):
    """A linear layer with a small two-layer network added to what it says; at first it adds nothing."""

    def __init__(self, linear: nn.Linear, size: int) -> None:
        super().__init__()
        self.linear = linear
        self.down = nn.Linear(linear.out_features, size)
        self.up = nn.Linear(size, linear.out_features)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return [..., out] for [..., in]."""
        said: Tensor = self.linear(hidden)
        added: Tensor = self.up(nn.functional.gelu(self.down(said)))
        return said + added


def _prompt(encoder: PreTrainedModel, recipe: Recipe, steps: int) -> nn.Module:
    """Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", EMNLP 2021."""
    del steps
    config = PromptTuningConfig(task_type=TaskType.FEATURE_EXTRACTION, num_virtual_tokens=recipe.prompt_tokens)
    config.num_transformer_submodules = 1
    prompted = Prompted(get_peft_model(encoder, config))
    with torch.no_grad():
        _start_as_words(prompted, encoder, recipe)
    return prompted


def _start_as_words(prompted: Prompted, encoder: PreTrainedModel, recipe: Recipe) -> None:
    """A prompt that starts as words of the vocabulary learns sooner than one that starts as noise (Lester et al., 2021)."""
    words = encoder.get_parameter("embeddings.word_embeddings.weight")
    drawn = torch.randint(len(words), (recipe.prompt_tokens,), generator=torch.Generator().manual_seed(recipe.seed))
    for name, weights in prompted.named_parameters():
        if "prompt_encoder" in name:
            weights.copy_(words[drawn])


class Prompted(nn.Module):
    """An encoder behind trained tokens, which the text's own hidden states are cut free of again."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> BaseModelOutput:
        """Return the hidden states of the text, [batch, tokens, hidden]."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return BaseModelOutput(last_hidden_state=hidden[:, hidden.shape[1] - input_ids.shape[1] :])


def _as_it_is(encoder: PreTrainedModel, recipe: Recipe, steps: int) -> nn.Module:
    del recipe, steps
    return encoder


_METHODS: Mapping[Method, Callable[[PreTrainedModel, Recipe, int], nn.Module]] = {
    Method.FULL: _as_it_is,
    Method.HEAD: _as_it_is,
    Method.LORA: _lora,
    Method.ADALORA: _adalora,
    Method.ADAPTERS: _adapters,
    Method.PROMPT: _prompt,
}
