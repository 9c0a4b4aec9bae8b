"""The sentiment model: encoder, mean pooling, linear head; and how it is loaded and saved.

Mean pooling over the real tokens, because that is how the encoder was trained to say what a text means.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.save_and_load import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import BertModel, PreTrainedModel

from training.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS, HEAD_WEIGHTS, RECIPE_FILE, check_files
from training.data import LABELS, THRESHOLD
from training.encoder import ENCODER_NAME
from training.recipe import Recipe


class SentimentModel(nn.Module):
    """Encoder, mean pooling and a linear head over the three labels."""

    def __init__(self, encoder: nn.Module, hidden_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, len(LABELS))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits [batch, 3] for token ids and mask [batch, tokens], both int64; the mask is 1 on real tokens."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        logits: Tensor = self.head(self.dropout(mean_pool(hidden, attention_mask)))
        return logits


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


def new_model(encoder: PreTrainedModel, recipe: Recipe) -> SentimentModel:
    """Return a model to train: the encoder frozen, LoRA on all its linear layers, and a fresh head."""
    lora = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules="all-linear",
    )
    hidden_size: int = encoder.config.hidden_size
    return SentimentModel(get_peft_model(encoder, lora), hidden_size, recipe.head_dropout)


def load_encoder(folder: Path, dropout: float = 0.0) -> PreTrainedModel:
    """Return the pretrained encoder, without the pooler that mean pooling has no use for."""
    encoder: PreTrainedModel = BertModel.from_pretrained(
        folder,
        add_pooling_layer=False,
        local_files_only=True,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=0.0,
    )
    return encoder


def save_adapter(model: SentimentModel, recipe: Recipe, folder: Path) -> None:
    """Write the LoRA weights at half precision, the head, the adapter's configuration and the recipe to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    peft_model = model.encoder
    if not isinstance(peft_model, PeftModel):
        raise TypeError("only a model made by `new_model` or `load_model` has an adapter to save")
    weights = {name: value.half().contiguous() for name, value in get_peft_model_state_dict(peft_model).items()}
    save_file(weights, folder / ADAPTER_WEIGHTS, {"format": "pt"})
    save_file({name: value.contiguous() for name, value in model.head.state_dict().items()}, folder / HEAD_WEIGHTS)
    _write_config(peft_model, folder)
    recipe.write(folder / RECIPE_FILE)


def load_model(adapter: Path, encoder: PreTrainedModel) -> SentimentModel:
    """Return the model of a saved adapter, in evaluation mode.

    Raises:
        TrainingError: `adapter` does not hold an adapter.
    """
    check_files(adapter)
    hidden_size: int = encoder.config.hidden_size
    peft_model = PeftModel.from_pretrained(encoder, str(adapter), autocast_adapter_dtype=True)
    model = SentimentModel(peft_model, hidden_size)
    model.head.load_state_dict(load_file(adapter / HEAD_WEIGHTS))
    return model.eval()


def merge(model: SentimentModel) -> SentimentModel:
    """Add the LoRA updates into the encoder's own weights, in place, and return the model.

    The sums are done in float64 and rounded once, so that they come out the same on another processor.
    """
    if isinstance(model.encoder, PeftModel):
        model.encoder = model.encoder.double().merge_and_unload().float()
    return model.eval()


def _write_config(peft_model: PeftModel, folder: Path) -> None:
    config = peft_model.peft_config["default"].to_dict()
    config["base_model_name_or_path"] = ENCODER_NAME
    config["inference_mode"] = True
    text = json.dumps(config, indent=2, sort_keys=True, default=sorted)
    (folder / ADAPTER_CONFIG).write_text(text + "\n", "utf-8")
