"""What a task brings to a run: the protocol, and the file beside the weights that says which head to read them with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import EvalPrediction, PreTrainedModel

from training.adapter import HEAD_WEIGHTS, RECIPE_FILE, TASK_FILE, check_files
from training.encoder import fetch_encoder
from training.errors import TrainingError
from training.finetune.texts import Row
from training.metrics import Floats, Ints
from training.model import SentimentModel, load_encoder, tuned_encoder
from training.predict import LogitsModel
from training.quiet import quiet_libraries
from training.recipe import Recipe, Task
from training.tasks.counts import Counts
from training.tasks.entities import EntityHead
from training.tasks.labelled import Labelled
from training.tasks.topics import TopicHead
from training.tokens import pad, tokenizer_json

Answers = list[NDArray[np.float32]]
"""The logits of each text: [labels] of topics, [tokens, tags] of entities."""


class Head(Protocol):
    """A task's head. `outputs` names the model's columns, `labels` what is counted."""

    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102 - see above
    @property
    def outputs(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def per_token(self) -> bool:
        """Whether the model answers each token, rather than the text."""
        ...

    def model(self, encoder: nn.Module, hidden_size: int, dropout: float = 0.0) -> SentimentModel:
        """Return the model around an encoder that is ready for its method."""
        ...

    def rows(self, texts: Sequence[Labelled], tokenizer: str, max_length: int) -> list[Row]:
        """Return one row a text: `input_ids`, and `labels` as the loss takes them."""
        ...

    def collate(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Return one batch, padded to its longest row."""
        ...

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor], smoothing: float = 0.0) -> Tensor:
        """Return the mean loss []."""
        ...

    def judge(self, prediction: EvalPrediction) -> dict[str, float]:
        """Return the `macro_f1` by which the best weights are chosen."""
        ...

    def fitted(self, answers: Answers, texts: Sequence[Labelled]) -> Head:
        """Return the head with what is fitted on the validation part."""
        ...

    def count(self, answers: Answers, texts: Sequence[Labelled], tokenizer: str, max_length: int) -> Counts:
        """Return the counts [texts, labels, 3] of what the answers say against what is there."""
        ...

    def judged(self, answers: Answers) -> tuple[Floats, Ints]:
        """Return the probabilities [n, columns] of the answers, one below the other, and each decision that follows."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return what `task.json` and the contract say of the head."""
        ...


_READERS: Mapping[Task, Callable[[Mapping[str, Any]], Head]] = {Task.TOPICS: TopicHead.of, Task.ENTITIES: EntityHead.of}


def new_head(task: Task, labels: tuple[str, ...]) -> Head:
    """Return the untrained head of a task."""
    return TopicHead(labels) if task is Task.TOPICS else EntityHead(labels)


def write_head(folder: Path, task: Task, head: Head) -> None:
    """Write `task.json` beside a model's weights."""
    content = {"task": task.value, **head.settings()}
    (folder / TASK_FILE).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


class TaskModel:
    """A saved model of a task as it is used again: in evaluation mode, with its head, tokenizer's file content and recipe."""

    def __init__(self, folder: Path) -> None:
        """Load it.

        Raises:
            TrainingError: there is no model of a task, or its encoder could not be fetched.
        """
        check_files(folder)
        self.recipe = Recipe.read(folder / RECIPE_FILE)
        self.head = read_head(folder, self.recipe.task)
        source = fetch_encoder(self.recipe.encoder)
        self.tokenizer = tokenizer_json(source)
        with quiet_libraries():
            encoder = load_encoder(source, layers=self.recipe.layers)
            self.model = _restored(folder, self.recipe, self.head, encoder)


def read_head(folder: Path, task: Task) -> Head:
    """Return the head that `write_head` wrote.

    Raises:
        TrainingError: there is none, or it is of another task.
    """
    if task is Task.SENTIMENT:
        raise TrainingError(f"{folder} is a sentiment model, which has no {TASK_FILE}")
    try:
        return _READERS[task](json.loads((folder / TASK_FILE).read_text("utf-8")))
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{folder / TASK_FILE} is not what `tidings train` writes: {error!r}") from error


def answers_of(model: LogitsModel, rows: Sequence[Sequence[int]], batch_size: int = 32, progress: str | None = None) -> Answers:
    """Return the logits of each row of token ids, in their order, without those of padding; `progress` names a bar."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    found: dict[int, NDArray[np.float32]] = {}
    starts = range(0, len(order), batch_size)
    for start in track(starts, progress or "", disable=progress is None, transient=True):
        chosen = order[start : start + batch_size]
        logits = model.logits(*pad([rows[index] for index in chosen]))
        found.update(
            (index, one[: len(rows[index])] if one.ndim == 2 else one) for index, one in zip(chosen, logits, strict=True)
        )
    return [found[index] for index in range(len(rows))]


def _restored(folder: Path, recipe: Recipe, head: Head, encoder: PreTrainedModel) -> SentimentModel:
    hidden_size: int = encoder.config.hidden_size
    model = head.model(tuned_encoder(folder, recipe, encoder), hidden_size)
    model.head.load_state_dict(load_file(folder / HEAD_WEIGHTS))
    return model.eval()
