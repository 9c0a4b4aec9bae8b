"""The sentiment model: encoder, mean pooling, linear head; and how it is loaded and saved.

Mean pooling over the real tokens, because that is how the encoder was trained to say what a text means.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.utils.save_and_load import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import BertConfig, BertModel, PreTrainedModel

from training.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS, HEAD_WEIGHTS, RECIPE_FILE, check_files
from training.data import LABELS, THRESHOLD
from training.encoder import shown_name
from training.errors import TrainingError
from training.methods import with_method
from training.recipe import Method, Recipe

PT = {"format": "pt"}


class SentimentModel(nn.Module):
    """Encoder, mean pooling and a linear head over the labels: three of sentiment, or as many as a task has."""

    def __init__(self, encoder: nn.Module, hidden_size: int, dropout: float = 0.0, labels: int = len(LABELS)) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, labels)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, *, with_embedding: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return logits [batch, 3] for token ids and mask [batch, tokens], both int64; the mask is 1 on real tokens.

        `with_embedding` returns the text's embedding [batch, hidden] too, from the same pass.
        """
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        embedding = mean_pool(hidden, attention_mask)
        logits: Tensor = self.head(self.dropout(embedding))
        return (logits, embedding) if with_embedding else logits

    @torch.no_grad()
    def take_off_prior(self, prior: Tensor, strength: float) -> None:
        """Take `strength` of what the labels' shares `prior` [3] in the training data add to the logits off the head's bias.

        A head learns how common each label was where it was trained; elsewhere that is a prejudice. Menon et al.,
        "Long-tail learning via logit adjustment", ICLR 2021.
        """
        self.head.bias.sub_(strength * prior.clamp(min=1e-6).log().to(self.head.bias))


def mean_pool(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Return the mean [batch, hidden] over the real tokens of [batch, tokens, hidden]."""
    mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)


def soft_labels(ratings: Tensor, sigma: float, threshold: float = THRESHOLD) -> Tensor:
    """Return the probability [n, 3] of each label for mean ratings [n] known up to normal noise `sigma`.

    A text rated 0.45 is not plainly neutral: with about twenty raters whose ratings spread by about one point, the mean
    itself has an error of a quarter point. Training on what that noise leaves of the label keeps the order of the labels
    and the closeness to a threshold, which hard labels throw away.
    """
    below = torch.special.ndtr((-threshold - ratings) / sigma)
    above = torch.special.ndtr((ratings - threshold) / sigma)
    return torch.stack([below, 1.0 - below - above, above], dim=1)


def new_model(encoder: PreTrainedModel, recipe: Recipe, steps: int = 1) -> SentimentModel:
    """Return a model to train: the encoder ready for the recipe's method, and a fresh head; `steps` is the run's length."""
    hidden_size: int = encoder.config.hidden_size
    return SentimentModel(with_method(encoder, recipe, steps), hidden_size, recipe.head_dropout)


def load_encoder(folder: Path, dropout: float = 0.0, layers: int = 0) -> PreTrainedModel:
    """Return the pretrained encoder, without the pooler that mean pooling has no use for; `layers` cuts it after so many.

    Raises:
        TrainingError: it has fewer layers than that.
    """
    config = BertConfig.from_pretrained(folder, local_files_only=True)
    if layers > config.num_hidden_layers:
        raise TrainingError(f"the encoder has {config.num_hidden_layers} layers, not {layers}")
    config.num_hidden_layers = layers or config.num_hidden_layers
    config.hidden_dropout_prob, config.attention_probs_dropout_prob = dropout, 0.0
    encoder: PreTrainedModel = BertModel.from_pretrained(folder, config=config, add_pooling_layer=False, local_files_only=True)
    return encoder


def save_adapter(model: SentimentModel, recipe: Recipe, folder: Path) -> None:
    """Write what was trained at half precision, the head, the adapter's configuration and the recipe to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.half().contiguous() for name, value in _trained(model, recipe)}, folder / ADAPTER_WEIGHTS, PT)
    save_file({name: value.contiguous() for name, value in model.head.state_dict().items()}, folder / HEAD_WEIGHTS, PT)
    _write_config(model, recipe, folder)
    recipe.write(folder / RECIPE_FILE)


def load_model(adapter: Path, encoder: PreTrainedModel) -> SentimentModel:
    """Return the model of a saved adapter, in evaluation mode; `encoder` is the one that its recipe names.

    Raises:
        TrainingError: `adapter` does not hold an adapter, or not one for this encoder.
    """
    check_files(adapter)
    recipe = Recipe.read(adapter / RECIPE_FILE)
    hidden_size: int = encoder.config.hidden_size
    model = SentimentModel(tuned_encoder(adapter, recipe, encoder), hidden_size)
    model.head.load_state_dict(load_file(adapter / HEAD_WEIGHTS))
    return model.eval()


def tuned_encoder(adapter: Path, recipe: Recipe, encoder: PreTrainedModel) -> nn.Module:
    """Return the encoder with what the adapter's training made of it.

    Raises:
        TrainingError: the adapter's weights do not fit this encoder.
    """
    if recipe.method is Method.LORA:
        lora: nn.Module = PeftModel.from_pretrained(encoder, str(adapter), autocast_adapter_dtype=True)
        return lora
    tuned = with_method(encoder, recipe)
    _fill(tuned, load_file(adapter / ADAPTER_WEIGHTS))
    return tuned


def merge(model: SentimentModel) -> SentimentModel:
    """Add low-rank updates into the encoder's own weights, in place, and return the model; other methods stay as they are.

    The sums are done in float64 and rounded once, so that they come out the same on another processor.
    """
    if isinstance(model.encoder, PeftModel):
        model.encoder = model.encoder.double().merge_and_unload().float()
    return model.eval()


def _trained(model: SentimentModel, recipe: Recipe) -> Iterator[tuple[str, Tensor]]:
    """What is to be saved of the encoder: LoRA in peft's own format, which its other tools read; else by the weights' names."""
    if isinstance(model.encoder, PeftModel) and recipe.method is Method.LORA:
        # "auto" would ask a hub on the internet whether the embeddings were resized, once the adapter came from disk
        yield from get_peft_model_state_dict(model.encoder, save_embedding_layers=False).items()
        return
    for name, value in model.encoder.named_parameters():
        if value.requires_grad or "ranknum" in name:
            yield name, value.detach()


@torch.no_grad()
def _fill(encoder: nn.Module, saved: dict[str, Tensor]) -> None:
    weights = dict(encoder.named_parameters())
    for name, value in saved.items():
        if name not in weights or weights[name].shape != value.shape:
            raise TrainingError(f"the adapter's {name} does not fit this encoder")
        weights[name].copy_(value)


def _write_config(model: SentimentModel, recipe: Recipe, folder: Path) -> None:
    config: dict[str, Any] = {"method": recipe.method.value}
    if isinstance(model.encoder, PeftModel) and recipe.method is Method.LORA:
        config = {**model.encoder.peft_config["default"].to_dict(), "inference_mode": True}
    config["base_model_name_or_path"] = shown_name(recipe.encoder)
    text = json.dumps(config, indent=2, sort_keys=True, default=sorted)
    (folder / ADAPTER_CONFIG).write_text(text + "\n", "utf-8")
