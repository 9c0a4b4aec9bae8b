"""A whole run of a task: data, fine-tuning, thresholds, figures on the test part, card; kept only when complete."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import set_seed

from training.data import Split
from training.encoder import fetch_encoder
from training.errors import TrainingError
from training.files import atomic_folder
from training.finetune.objective import ORTHOGONALITY, orthogonality
from training.finetune.trainer import Job, TrainingRun, Watch, learn, steps_of
from training.methods import with_method
from training.model import SentimentModel, save_adapter
from training.predict import LogitsModel, TorchModel
from training.quiet import quiet_libraries
from training.recipe import Method, Recipe
from training.steps import Say, silent
from training.tasks.card import task_card
from training.tasks.counts import TaskFigures, figures
from training.tasks.heads import Answers, Head, TaskModel, answers_of, new_head, write_head
from training.tasks.labelled import Labelled, TaskCorpus, read_labelled
from training.tokens import load_tokenizer, token_ids, tokenizer_json
from training.train import CARD_FILE, EVALUATION_MAX_LENGTH, METRICS_FILE
from training.trained import untouched

OF_SENTIMENT = ("loss", "class_weights", "prior_strength", "disturbed", "behavioural", "preserve")
"""Choices that have a meaning for sentiment alone."""


@dataclass(frozen=True, slots=True)
class TaskObjective:
    """The head's loss as a run asks for it, with AdaLoRA's own term where that is the method."""

    recipe: Recipe
    head: Head

    def __call__(self, model: nn.Module, logits: Tensor, embedding: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Return the mean loss []; the embedding has no part in it."""
        del embedding
        loss = self.head.loss(logits.float(), batch, self.recipe.label_smoothing)
        if self.recipe.method is Method.ADALORA:
            loss = loss + ORTHOGONALITY * orthogonality(model)
        return loss


def train_task(recipe: Recipe, data: Path, out: Path, say: Say = silent, watch: Watch | None = None) -> TaskFigures:
    """Train a model of the recipe's task on a labelled file, put it at `out` with its card, and return its test figures.

    Raises:
        TrainingError: the recipe has a choice that is of sentiment, or the data or the encoder could not be read.
    """
    _check(recipe)
    say(f"Reading {data.name}")
    corpus = read_labelled(data, recipe.task, recipe.seed)
    with atomic_folder(out) as folder:
        say(f"Training on {len(corpus.parts[Split.TRAIN]):,} texts with {len(corpus.labels)} labels")
        with quiet_libraries(bars=True):
            head, model, run = _fitted(recipe, corpus, watch)
        save_adapter(model, recipe, folder)
        write_head(folder, recipe.task, head)
        say("Evaluating on the test part")
        found = _settled(folder, corpus)
        _write(folder, recipe, corpus, run, found)
    return found


def evaluate_task(model: LogitsModel, saved: TaskModel, texts: tuple[Labelled, ...]) -> TaskFigures:
    """Return the figures of a model, under torch or exported, on labelled texts."""
    answers = _answers(model, saved, texts)
    counts = saved.head.count(answers, texts, saved.tokenizer, EVALUATION_MAX_LENGTH)
    return figures(counts, saved.head.labels, [one.group for one in texts])


def _check(recipe: Recipe) -> None:
    plain = {field.name: field.default for field in fields(Recipe)}
    for name in OF_SENTIMENT:
        if getattr(recipe, name) != plain[name]:
            raise TrainingError(f"{name} is for sentiment and has no meaning for {recipe.task}: leave it at {plain[name]}")


def _fitted(recipe: Recipe, corpus: TaskCorpus, watch: Watch | None) -> tuple[Head, SentimentModel, TrainingRun]:
    set_seed(recipe.seed)
    head = new_head(recipe.task, corpus.labels)
    tokenizer, encoder = tokenizer_json(fetch_encoder(recipe.encoder)), untouched(recipe, for_training=True)
    rows = {split: head.rows(texts, tokenizer, recipe.max_length) for split, texts in corpus.parts.items()}
    hidden_size: int = encoder.config.hidden_size
    tuned = with_method(encoder, recipe, steps_of(recipe, len(rows[Split.TRAIN])))
    job = Job(
        model=head.model(tuned, hidden_size, recipe.head_dropout),
        objective=TaskObjective(recipe, head),
        train=rows[Split.TRAIN],
        validation=rows[Split.VALIDATION],
        plain=head.loss,
        collate=head.collate,
        judge=head.judge,
    )
    run = learn(recipe, job, watch)
    return head, job.model.eval(), run


def _settled(folder: Path, corpus: TaskCorpus) -> TaskFigures:
    """Fit what is fitted on validation, and measure, on the model as it was saved, at half precision."""
    saved = TaskModel(folder)
    validation, model = corpus.parts[Split.VALIDATION], TorchModel(saved.model)
    saved.head = saved.head.fitted(_answers(model, saved, validation), validation)
    write_head(folder, saved.recipe.task, saved.head)
    return evaluate_task(model, saved, corpus.parts[Split.TEST])


def _answers(model: LogitsModel, saved: TaskModel, texts: tuple[Labelled, ...]) -> Answers:
    ids = token_ids(load_tokenizer(saved.tokenizer, EVALUATION_MAX_LENGTH), [one.text for one in texts])
    return answers_of(model, ids, progress="Predicting")


def _write(folder: Path, recipe: Recipe, corpus: TaskCorpus, run: TrainingRun, found: TaskFigures) -> None:
    measured: dict[str, Any] = {
        "task": recipe.task.value,
        "run": asdict(run),
        "manifest": dict(corpus.manifest),
        "test": asdict(found),
    }
    (folder / METRICS_FILE).write_text(json.dumps(measured, indent=2, ensure_ascii=False) + "\n", "utf-8")
    (folder / CARD_FILE).write_text(task_card(recipe, measured, TaskModel(folder).head.settings()), "utf-8")
