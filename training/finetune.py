"""Fine-tuning: a LoRA adapter and a head on the frozen encoder, with early stopping on validation macro-F1.

LoRA: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import EarlyStoppingCallback, EvalPrediction, PreTrainedModel, Trainer, TrainingArguments, set_seed

from training import metrics
from training.data import LABELS, Snippet
from training.model import SentimentModel, new_model, soft_labels
from training.recipe import Recipe
from training.tokens import load_tokenizer, pad, token_ids

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """What a run measured of itself: the best validation macro-F1, the epochs done and the wall time in seconds."""

    validation_macro_f1: float
    epochs: float
    seconds: float


class SoftLabelTrainer(Trainer):
    """A Trainer whose loss is the cross-entropy against soft labels."""

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,  # noqa: ARG002 - the base class passes it by name
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and the logits [batch, 3] too if asked."""
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        loss = nn.functional.cross_entropy(logits.float(), inputs["targets"])
        return (loss, {"loss": loss, "logits": logits}) if return_outputs else loss


def finetune(
    recipe: Recipe, encoder: PreTrainedModel, tokenizer: str, train: Sequence[Snippet], validation: Sequence[Snippet]
) -> tuple[SentimentModel, TrainingRun]:
    """Train a fresh adapter on `train`, stopping on `validation`; return the best model and what the run measured.

    `tokenizer` is the content of the tokenizer's file. The encoder is changed in place: its linear layers get the adapter.
    Checkpoints live in a temporary folder that is gone when this returns or raises, Ctrl-C included.
    """
    set_seed(recipe.seed)
    model = new_model(encoder, recipe)
    with tempfile.TemporaryDirectory(prefix="tidings-train-") as folder:
        trainer = SoftLabelTrainer(
            model=model,
            args=_arguments(recipe, folder),
            train_dataset=rows_of(train, tokenizer, recipe),
            eval_dataset=rows_of(validation, tokenizer, recipe),
            data_collator=collate,
            compute_metrics=_macro_f1,
            callbacks=[EarlyStoppingCallback(early_stopping_patience=recipe.patience)],
        )
        started = time.perf_counter()
        trainer.train()
    best = trainer.state.best_metric
    run = TrainingRun(float(best or 0.0), float(trainer.state.epoch or 0.0), time.perf_counter() - started)
    return model.eval(), run


def rows_of(snippets: Sequence[Snippet], tokenizer: str, recipe: Recipe) -> list[Row]:
    """Return one row a snippet: token ids, soft targets and the label's index."""
    cutter = load_tokenizer(tokenizer, recipe.max_length)
    targets = soft_labels(torch.tensor([s.rating for s in snippets]), recipe.label_sigma).tolist()
    rows = zip(token_ids(cutter, [s.text for s in snippets]), targets, snippets, strict=True)
    return [{"input_ids": ids, "targets": soft, "labels": LABELS.index(s.label)} for ids, soft, s in rows]


def collate(rows: Sequence[Row]) -> dict[str, Tensor]:
    """Return one batch, padded to its longest row."""
    ids, mask = pad([row["input_ids"] for row in rows])
    return {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy(mask),
        "targets": torch.tensor([row["targets"] for row in rows]),
        "labels": torch.tensor([row["labels"] for row in rows]),
    }


def _macro_f1(prediction: EvalPrediction) -> dict[str, float]:
    predicted = np.asarray(prediction.predictions).argmax(axis=1)
    return {"macro_f1": float(metrics.macro_f1(metrics.confusion(np.asarray(prediction.label_ids), predicted)))}


def _arguments(recipe: Recipe, folder: str) -> TrainingArguments:
    return TrainingArguments(
        output_dir=folder,
        seed=recipe.seed,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=64,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_share,
        weight_decay=recipe.weight_decay,
        bf16=recipe.bf16,
        use_cpu=not torch.cuda.is_available(),
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        save_only_model=True,
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        greater_is_better=True,
        label_names=["labels"],
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=False,
        logging_steps=100,
        dataloader_pin_memory=False,
    )
