"""The training loop: transformers' Trainer with the objective, learning rates and weights of a recipe."""

from __future__ import annotations

import importlib.util
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    set_seed,
)
from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.trainer_utils import get_last_checkpoint

from training import metrics
from training.errors import TrainingError
from training.finetune.adversary import FastGradient
from training.finetune.arguments import arguments
from training.finetune.objective import Objective, class_weights
from training.finetune.texts import Row, Text, collate, rows_of, with_reference
from training.finetune.weights import STATE_FILE, Weights
from training.methods import layer_of
from training.model import SentimentModel, new_model
from training.precision import bf16_pays
from training.recipe import Method, Recipe

Heard = Callable[[int, float], None]


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """What a run measured of itself: the best validation macro-F1, the epochs done and the wall time in seconds."""

    validation_macro_f1: float
    epochs: float
    seconds: float
    trained_weights: int = 0
    trained_share: float = 0.0
    way: str = ""
    """How the model was made, where that was not a fine-tune on the whole training part."""
    embedding_cosine: float = 0.0
    """How near the second head comes to the untouched encoder on texts held back; 0 if there is none."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who looks on. `checkpoints` is a folder that outlives a broken run, from which `resume` goes on; `logs` TensorBoard's.

    `heard` is told the epoch and macro-F1 of each evaluation, and may raise to end the run.
    """

    checkpoints: Path | None = None
    resume: bool = False
    logs: Path | None = None
    heard: Heard | None = None


@dataclass(slots=True)
class Material:
    """What a run is made of; `tokenizer` is the content of the tokenizer's file."""

    encoder: PreTrainedModel
    tokenizer: str
    train: Sequence[Text]
    validation: Sequence[Text]
    model: SentimentModel | None = None
    """The model to go on from; without one a new one is made on the encoder."""
    rows: list[Row] = field(default_factory=list)


def cross_entropy(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Return the plain cross-entropy [] of logits and targets [batch, labels], which an evaluation tells."""
    return nn.functional.cross_entropy(logits, batch["targets"])


def macro_f1_of(prediction: EvalPrediction) -> dict[str, float]:
    """Return the macro-F1 of logits [n, 3] against label indices [n], as a Trainer asks for it."""
    predicted = np.asarray(prediction.predictions).argmax(axis=1)
    return {"macro_f1": float(metrics.macro_f1(metrics.confusion(np.asarray(prediction.label_ids), predicted)))}


@dataclass(frozen=True, slots=True)
class Job:
    """What a task brings to a run: a model, a loss, the rows of both parts, and how rows make a batch and are judged.

    `objective` takes the model, logits, embeddings and the batch; `plain` is the loss that an evaluation tells; `judge` answers
    with `macro_f1`, by which the best weights are chosen.
    """

    model: SentimentModel
    objective: Callable[[nn.Module, Tensor, Tensor, dict[str, Tensor]], Tensor]
    train: list[Row]
    validation: list[Row]
    plain: Callable[[Tensor, dict[str, Tensor]], Tensor] = cross_entropy
    collate: Callable[[Sequence[Row]], dict[str, Tensor]] = collate
    judge: Callable[[EvalPrediction], dict[str, float]] = macro_f1_of


class Finetuner(Trainer):
    """A Trainer with an objective, layer-wise learning rates, adversarial steps and averaged weights."""

    def __init__(self, recipe: Recipe, job: Job, weights: Weights, heard: Heard | None, **given: Any) -> None:
        super().__init__(**given)
        self.recipe = recipe
        self.job = job
        self.weights = weights
        self.heard = heard
        self.adversary = FastGradient(given["model"], recipe.adversary) if recipe.adversary else None

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,  # noqa: ARG002 - the base class passes it by name
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and the logits [batch, labels] too if asked."""
        logits, embedding = model(inputs["input_ids"], inputs["attention_mask"], with_embedding=True)
        if return_outputs:
            loss = self.job.plain(logits.float(), inputs)
            return loss, {"loss": loss, "logits": logits}
        return self.job.objective(model, logits, embedding, inputs)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Go through a batch and back; with an adversary, twice."""
        if self.adversary is None:
            return super().training_step(model, inputs, num_items_in_batch)
        with self.adversary.watching():
            loss = super().training_step(model, inputs, num_items_in_batch)
        with self.adversary.disturbing():
            return (loss + super().training_step(model, inputs, num_items_in_batch)) / 2

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Make AdamW with a learning rate for each layer."""
        if self.optimizer is None:
            trained: Any = model or self.model
            self.optimizer = torch.optim.AdamW(parameter_groups(trained, self.recipe), fused=False)
        return self.optimizer

    def evaluate(self, *args: Any, **named: Any) -> dict[str, float]:
        """Evaluate the averaged weights, if they are averaged, and keep them if they are the best."""
        with self.weights.averaged():
            found: dict[str, float] = super().evaluate(*args, **named)
            self.weights.keep_if_better(found["eval_macro_f1"])
        if self.heard:
            self.heard(round(self.state.epoch or 0), found["eval_macro_f1"])
        return found


class _Following(TrainerCallback):
    """Moves the average after each step, hands AdaLoRA its steps, and keeps the weights beside each checkpoint."""

    def __init__(self, recipe: Recipe, weights: Weights) -> None:
        self._recipe, self._weights = recipe, weights

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        """AdaLoRA judges by the gradients, which are gone once the step is over."""
        del args, control
        if self._recipe.method is Method.ADALORA:
            named["model"].encoder.base_model.update_and_allocate(state.global_step + 1)

    def on_step_end(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        """One step more in the average."""
        del args, state, control, named
        self._weights.follow()

    def on_save(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        """The average and the best are no part of Trainer's own checkpoint."""
        del control, named
        self._weights.save(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Return AdamW's groups: a learning rate for each layer, and no weight decay on biases and norms.

    The head has the full rate; each layer below it `layer_decay` times that of the one above, the embeddings the lowest.
    """
    named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    layers = max((layer_of(name) or 0 for name, _ in model.named_parameters()), default=0) + 1
    groups: dict[tuple[int | None, bool], list[Tensor]] = {}
    for name, value in named:
        groups.setdefault((_depth(name, layers), value.ndim > 1), []).append(value)
    return [
        {
            "params": values,
            "lr": _rate(recipe, depth),
            "weight_decay": recipe.weight_decay if decays else 0.0,
        }
        for (depth, decays), values in groups.items()
    ]


def _rate(recipe: Recipe, depth: int | None) -> float:
    if depth is None:
        return recipe.head_learning_rate or recipe.learning_rate
    return recipe.learning_rate * recipe.layer_decay**depth


def _depth(name: str, layers: int) -> int | None:
    """How far below the last layer a weight lies; None for the head."""
    if name.startswith("head."):
        return None
    layer = layer_of(name)
    if layer is None:
        return layers if "embeddings." in name else 0
    return layers - 1 - layer


def finetune(recipe: Recipe, material: Material, watch: Watch | None = None) -> tuple[SentimentModel, TrainingRun]:
    """Train a model on `material.train`, stopping on `material.validation`; return the best and what the run measured.

    The encoder is changed in place. Without a folder for them, checkpoints are gone when this returns or raises, Ctrl-C
    included.

    Raises:
        TrainingError: a part is empty, or there is nothing to resume from.
    """
    if not material.train or not material.validation:
        raise TrainingError("a fine-tune needs texts to train on and others to validate with; one part is empty")
    set_seed(recipe.seed)
    rows = _rows(recipe, material)
    targets = torch.tensor([row["targets"] for row in rows])
    model = material.model or new_model(material.encoder, recipe, steps_of(recipe, len(rows)))
    objective = Objective(recipe, class_weights(targets) if recipe.class_weights else None)
    run = learn(recipe, Job(model, objective, rows, rows_of(material.validation, material.tokenizer, recipe.max_length)), watch)
    model.take_off_prior(targets.mean(dim=0), recipe.prior_strength)
    return model.eval(), run


def learn(recipe: Recipe, job: Job, watch: Watch | None = None) -> TrainingRun:
    """Train the job's model, which ends with the best of its weights, and return what the run measured.

    Raises:
        TrainingError: there is nothing to resume from.
    """
    watch = watch or Watch()
    weights = Weights(job.model, recipe.average)
    more = {"bf16": recipe.bf16 and bf16_pays(), "save_strategy": "epoch" if watch.checkpoints else "no"}
    with _folder(watch) as folder:
        trainer = Finetuner(
            recipe,
            job,
            weights,
            watch.heard,
            model=job.model,
            args=arguments(recipe, folder, **more),
            train_dataset=job.train,
            eval_dataset=job.validation,
            data_collator=job.collate,
            compute_metrics=job.judge,
            callbacks=_callbacks(recipe, weights, watch),
        )
        started = time.perf_counter()
        trainer.train(resume_from_checkpoint=_resumed(folder, weights) if watch.resume else None)
    weights.restore_best()
    return _run(job.model, trainer, time.perf_counter() - started)


def _callbacks(recipe: Recipe, weights: Weights, watch: Watch) -> list[TrainerCallback]:
    callbacks = [EarlyStoppingCallback(early_stopping_patience=recipe.patience), _Following(recipe, weights)]
    if watch.logs:
        callbacks.append(_curves(watch.logs))
    return callbacks


def _curves(folder: Path) -> TrainerCallback:
    if importlib.util.find_spec("tensorboard") is None:
        raise TrainingError('curves need TensorBoard: pip install "tidings[tensorboard]", or leave out --tensorboard')
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra of its own

    writer = SummaryWriter(log_dir=str(folder))
    return TensorBoardCallback(writer)  # type: ignore[no-untyped-call]


def _rows(recipe: Recipe, material: Material) -> list[Row]:
    rows = rows_of(material.train, material.tokenizer, recipe.max_length)
    return with_reference(rows, material.encoder) if recipe.preserve else rows


def _run(model: SentimentModel, trainer: Finetuner, seconds: float) -> TrainingRun:
    best, epochs = float(trainer.state.best_metric or 0.0), float(trainer.state.epoch or 0.0)
    trained = sum(value.numel() for value in model.parameters() if value.requires_grad)
    return TrainingRun(best, epochs, seconds, trained, trained / sum(value.numel() for value in model.parameters()))


def steps_of(recipe: Recipe, rows: int) -> int:
    """Return how many steps a run over so many rows takes."""
    return math.ceil(math.ceil(rows / recipe.batch_size) * recipe.epochs)


@contextmanager
def _folder(watch: Watch) -> Iterator[Path]:
    with ExitStack() as stack:
        if watch.checkpoints:
            watch.checkpoints.mkdir(parents=True, exist_ok=True)
            yield watch.checkpoints
        else:
            yield Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidings-train-")))


def _resumed(folder: Path, weights: Weights) -> str:
    last = get_last_checkpoint(str(folder))  # type: ignore[no-untyped-call]
    if last is None or not (Path(last) / STATE_FILE).is_file():
        raise TrainingError(f"{folder} holds no checkpoint to go on from: leave out --resume")
    weights.load(Path(last))
    return str(last)
