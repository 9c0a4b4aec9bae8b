"""The recipe of a fine-tuning run: one frozen value, saved with its result."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from training.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every choice of a run. The defaults are those of the committed adapter."""

    seed: int = 7
    """Seeds the initial weights, dropout and the order of the data."""
    epochs: float = 4.0
    """Most passes over the training split; early stopping may end sooner."""
    patience: int = 2
    """Evaluations (one an epoch) without a better validation macro-F1 before the run stops."""
    batch_size: int = 32
    """Texts a step; batches hold texts of similar length."""
    learning_rate: float = 5e-4
    """Peak of the linear schedule. LoRA takes about ten times what a full fine-tune does."""
    warmup_share: float = 0.06
    """Share of the steps over which the learning rate rises."""
    weight_decay: float = 0.05
    """AdamW's decay of the trained weights."""
    lora_rank: int = 12
    """Rank of each update; 12 on all linear layers makes the adapter one megabyte at half precision."""
    lora_alpha: int = 24
    """Scale of the updates: alpha / rank."""
    lora_dropout: float = 0.0
    """Dropout before each low-rank update; on a processor it takes a third of the time of a step."""
    encoder_dropout: float = 0.1
    """Dropout on the hidden states inside the frozen encoder; without it the second epoch is the best."""
    head_dropout: float = 0.1
    """Dropout on the pooled embedding."""
    label_sigma: float = 0.35
    """Rating points of noise around a mean rating, which turns it into soft labels (see `training.model`)."""
    max_length: int = 128
    """Tokens a text is cut to while training; the average is 25."""
    bf16: bool = True
    """Compute in bfloat16 where that is safe; the weights stay in float32."""

    def write(self, path: Path) -> None:
        """Write the recipe as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", "utf-8")

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Read a recipe that `write` wrote.

        Raises:
            TrainingError: the file has a field this version does not know.
        """
        values = json.loads(path.read_text("utf-8"))
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise TrainingError(f"{path.name}: unknown field {unknown[0]!r}")
        return cls(**values)
