"""Distillation: a student learns to answer as its teacher does, on rated texts and on texts that nobody rated.

The loss of a text is the divergence between the softened answers of both (times the squared temperature, which keeps its
gradient the size of the other's), for rated texts mixed with the cross-entropy against the soft label, plus how far the
student's embedding, led to the teacher's width, points from the teacher's. The teacher answers each text once, at the start.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015; the embedding term as in Sanh et al.,
"DistilBERT", 2019.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor, nn
from transformers import EarlyStoppingCallback, Trainer, set_seed

from training import metrics
from training.calibrate import fit_temperature
from training.compress.compact import Compact
from training.compress.rows import LABEL_SIGMA, answer
from training.data import LABELS, Snippet
from training.finetune.arguments import arguments
from training.finetune.trainer import macro_f1_of
from training.model import SentimentModel, soft_labels
from training.predict import TorchModel, logits_of
from training.quiet import quiet_libraries
from training.tokens import load_tokenizer, pad, token_ids

DISTILLATION_FILE = "distillation.json"
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Distillation:
    """Every choice of a distillation run; saved with the student."""

    seed: int = 7
    """Seeds fresh weights, dropout and the order of the texts."""
    epochs: float = 12.0
    """Most passes over all texts; early stopping may end sooner."""
    patience: int = 3
    """Evaluations (one an epoch) without a better validation macro-F1 before the run stops."""
    batch_size: int = 32
    """Texts a step; batches hold texts of similar length."""
    learning_rate: float = 3e-4
    """Peak of the linear schedule."""
    warmup_share: float = 0.06
    """Share of the steps over which the learning rate rises."""
    weight_decay: float = 0.01
    """AdamW's decay."""
    temperature: float = 2.0
    """Softens both answers, so that the student hears of the less likely labels too."""
    label_share: float = 0.3
    """The share of a rated text's loss that its soft label has; the teacher has the rest."""
    embedding_weight: float = 0.5
    """Weight of the angle between the embeddings, 0 to leave it out."""
    dropout: float = 0.1
    """Dropout on the student's pooled embedding."""
    max_length: int = 128
    """Tokens a text is cut to while learning."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """What there is to learn from: rated texts, texts that nobody rated, and rated ones to stop by."""

    rated: Sequence[Snippet]
    validation: Sequence[Snippet]
    unrated: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Answers:
    """A teacher's logits [n, 3] and embeddings [n, hidden] for n texts, float32."""

    logits: Tensor
    embeddings: Tensor


@dataclass(frozen=True, slots=True)
class DistillationRun:
    """What a run measured: the best validation macro-F1, the teacher's on the same texts, epochs done, seconds."""

    validation_macro_f1: float
    teacher_macro_f1: float
    epochs: float
    seconds: float


class Pupil(nn.Module):
    """A student with the map that leads its embedding to the teacher's width; the map is for learning alone."""

    def __init__(self, student: SentimentModel, width: int) -> None:
        super().__init__()
        self.student = student
        self.lead = nn.Linear(student.head.in_features, width, bias=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [batch, 3] and embeddings of the teacher's width, for ids and mask [batch, tokens]."""
        logits, embedding = answer(self.student, input_ids, attention_mask)
        return logits, self.lead(embedding)


class DistillationTrainer(Trainer):
    """A Trainer whose loss is that of this module."""

    choices: Distillation

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,  # noqa: ARG002 - the base class passes it by name
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and the logits [batch, 3] too if asked."""
        logits, embedding = model(inputs["input_ids"], inputs["attention_mask"])
        loss = distillation_loss(logits, embedding, inputs, self.choices)
        return (loss, {"loss": loss, "logits": logits}) if return_outputs else loss


def distillation_loss(logits: Tensor, embedding: Tensor, taught: dict[str, Tensor], choices: Distillation) -> Tensor:
    """Return the mean loss of a batch; `taught` has `teacher` [n, 3], `embedding` [n, width], `targets` [n, 3], `rated` [n]."""
    soft = nn.functional.log_softmax(logits / choices.temperature, dim=1)
    heard = nn.functional.log_softmax(taught["teacher"] / choices.temperature, dim=1)
    apart = nn.functional.kl_div(soft, heard, log_target=True, reduction="none").sum(dim=1) * choices.temperature**2
    missed = nn.functional.cross_entropy(logits, taught["targets"], reduction="none")
    share = choices.label_share * taught["rated"]
    turned = 1 - nn.functional.cosine_similarity(embedding, taught["embedding"], dim=1)
    return ((1 - share) * apart + share * missed + choices.embedding_weight * turned).mean()


@torch.inference_mode()
def ask(teacher: Compact, texts: Sequence[str], max_length: int, progress: str | None = None) -> Answers:
    """Return the teacher's answers, in the texts' order; `progress` names a progress bar, without it there is none."""
    rows = token_ids(load_tokenizer(teacher.tokenizer, max_length), texts)
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    logits = torch.empty(len(rows), len(LABELS))
    embeddings = torch.empty(len(rows), teacher.model.head.in_features)
    starts = range(0, len(order), 32)
    for start in track(starts, progress or "", disable=progress is None, transient=True):
        chosen = order[start : start + 32]
        logits[chosen], embeddings[chosen] = answer(teacher.model, *map(torch.from_numpy, pad([rows[i] for i in chosen])))
    return Answers(logits, embeddings)


def distil(teacher: Compact, student: Compact, lessons: Lessons, choices: Distillation) -> tuple[Compact, DistillationRun]:
    """Teach the student and return it, calibrated on the validation texts, with what the run measured.

    The student's model is changed in place. Checkpoints live in a temporary folder that is gone when this returns or raises,
    Ctrl-C included.
    """
    set_seed(choices.seed)
    started = time.perf_counter()
    student.model.dropout.p = choices.dropout
    validation = ask(teacher, [snippet.text for snippet in lessons.validation], choices.max_length)
    pupil = Pupil(student.model, validation.embeddings.shape[1])
    with tempfile.TemporaryDirectory(prefix="tidings-distil-") as folder, quiet_libraries(bars=True):
        trainer = DistillationTrainer(
            model=pupil,
            args=arguments(choices, Path(folder), save_strategy="epoch", save_only_model=True, load_best_model_at_end=True),
            train_dataset=_rows_to_learn(teacher, student, lessons, choices),
            eval_dataset=_rows(student, choices, lessons.validation, (), validation),
            data_collator=_collate,
            compute_metrics=macro_f1_of,
            callbacks=[EarlyStoppingCallback(early_stopping_patience=choices.patience)],
        )
        trainer.choices = choices
        trainer.train()
    best, epochs = float(trainer.state.best_metric or 0.0), float(trainer.state.epoch or 0.0)
    run = DistillationRun(best, _teacher_macro_f1(validation, lessons), epochs, time.perf_counter() - started)
    return _calibrated(student, lessons.validation), run


def write_run(folder: Path, choices: Distillation, run: DistillationRun) -> None:
    """Write the choices and what came of them beside a student."""
    content = {"choices": asdict(choices), "run": asdict(run)}
    (folder / DISTILLATION_FILE).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def _rows_to_learn(teacher: Compact, student: Compact, lessons: Lessons, choices: Distillation) -> list[Row]:
    texts = [*(snippet.text for snippet in lessons.rated), *lessons.unrated]
    answers = ask(teacher, texts, choices.max_length, progress="Asking the teacher")
    return _rows(student, choices, lessons.rated, lessons.unrated, answers)


def _rows(
    student: Compact, choices: Distillation, rated: Sequence[Snippet], unrated: Sequence[str], answers: Answers
) -> list[Row]:
    """Return one row a text, the rated ones first, as the answers are; what nobody rated has an even target of no weight."""
    cutter = load_tokenizer(student.tokenizer, choices.max_length)
    ids = token_ids(cutter, [*(snippet.text for snippet in rated), *unrated])
    even = torch.full((len(unrated), len(LABELS)), 1 / len(LABELS))
    targets = torch.cat([soft_labels(torch.tensor([s.rating for s in rated]), LABEL_SIGMA), even])
    labels = [LABELS.index(snippet.label) for snippet in rated] + [0] * len(unrated)
    return [
        {
            "input_ids": row,
            "teacher": answers.logits[index],
            "embedding": answers.embeddings[index],
            "targets": targets[index],
            "rated": float(index < len(rated)),
            "labels": labels[index],
        }
        for index, row in enumerate(ids)
    ]


def _collate(rows: Sequence[Row]) -> dict[str, Tensor]:
    ids, mask = map(torch.from_numpy, pad([row["input_ids"] for row in rows]))
    stacked = {name: torch.stack([row[name] for row in rows]) for name in ("teacher", "embedding", "targets")}
    plain = {name: torch.tensor([row[name] for row in rows]) for name in ("rated", "labels")}
    return {"input_ids": ids, "attention_mask": mask, **stacked, **plain}


def _calibrated(student: Compact, validation: Sequence[Snippet]) -> Compact:
    rows = token_ids(load_tokenizer(student.tokenizer, 256), [snippet.text for snippet in validation])
    logits = logits_of(TorchModel(student.model.cpu()), rows)
    return Compact(student.model.eval(), student.tokenizer, fit_temperature(logits, _labels(validation)))


def _teacher_macro_f1(answers: Answers, lessons: Lessons) -> float:
    predicted = answers.logits.argmax(dim=1).numpy()
    return float(metrics.macro_f1(metrics.confusion(_labels(lessons.validation), predicted)))


def _labels(snippets: Sequence[Snippet]) -> metrics.Ints:
    return np.array([LABELS.index(snippet.label) for snippet in snippets], dtype=np.int64)
