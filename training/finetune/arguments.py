"""The arguments of transformers' Trainer that every run of this package shares."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import TrainingArguments


class Pace(Protocol):
    """What a run's choices say of its pace; both a `Recipe` and a `Distillation` do."""

    @property
    def seed(self) -> int: ...  # noqa: D102 - as in Recipe
    @property
    def epochs(self) -> float: ...  # noqa: D102
    @property
    def batch_size(self) -> int: ...  # noqa: D102
    @property
    def learning_rate(self) -> float: ...  # noqa: D102
    @property
    def warmup_share(self) -> float: ...  # noqa: D102
    @property
    def weight_decay(self) -> float: ...  # noqa: D102


def arguments(pace: Pace, folder: Path, **more: Any) -> TrainingArguments:
    """Return the arguments of a run whose checkpoints go to `folder`: an evaluation an epoch, the best by macro-F1.

    `more` are those that only this run has.
    """
    return TrainingArguments(
        output_dir=str(folder),
        seed=pace.seed,
        num_train_epochs=pace.epochs,
        per_device_train_batch_size=pace.batch_size,
        per_device_eval_batch_size=64,
        learning_rate=pace.learning_rate,
        warmup_steps=pace.warmup_share,
        weight_decay=pace.weight_decay,
        use_cpu=not torch.cuda.is_available(),
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch",
        save_total_limit=1,
        metric_for_best_model="macro_f1",
        greater_is_better=True,
        label_names=["labels"],
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=False,
        logging_steps=100,
        dataloader_pin_memory=False,
        **more,
    )
