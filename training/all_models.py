"""Every model that comes with the package made, unless that was done, and all of them measured in one run."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from transformers.trainer_utils import get_last_checkpoint

from training.compress import command_line
from training.compress.distil import DISTILLATION_FILE, Distillation
from training.compress.student import Cut
from training.data import Split, load_snippets, of_split
from training.errors import TrainingError
from training.evaluation.asked import Asked
from training.evaluation.report import Report
from training.evaluation.run import Model, evaluate
from training.evaluation.sets import HOME, EvaluationSet
from training.examples import from_snippets
from training.finetune.trainer import Watch
from training.recipe import Recipe
from training.recipes import recipe_file
from training.served import STUDENT
from training.steps import Say
from training.train import METRICS_FILE, Order, train
from training.variant import Variant

FAST = "fast"
TRANSFER = 20_000
"""Texts made for the student, as `tidings distil` makes them."""
SHAPE = Cut(layers=(0, 1), heads=6, neurons=384)
"""Of the student: two thin layers."""


def train_all(names: Sequence[str], out: Path, asked: Asked, say: Say) -> Report:
    """Train each named recipe into a folder of `out`, and measure them all, the first in every variant of its export too.

    "fast" is no recipe but the student of the first. A model that is there already is not trained again; one that broke off
    goes on from its last epoch. A variant that does not pass its gates is named with the reason.

    Raises:
        TrainingError: there is no such recipe, or what was asked to be measured needs data that are not there.
    """
    recipes = [name for name in names if name != FAST]
    if not recipes:
        raise TrainingError(f"{FAST} is the student of a model: name that one's recipe before it")
    folders = {Path(name).stem: out / Path(name).stem for name in recipes}
    for name, folder in zip(recipes, folders.values(), strict=True):
        _train(name, folder, say)
    home = EvaluationSet(HOME, from_snippets(of_split(load_snippets(), Split.TEST)))
    models = [Model("torch", folder, name) for name, folder in folders.items()]
    first = models[0]
    exports = [Model(v, first.adapter, f"{first.name}, exported as {v}") for v in (Variant.FP16, Variant.BF16, Variant.INT8)]
    students = [Model(STUDENT, _student(first, out / FAST, say), FAST)] if FAST in names else []
    return evaluate([Model("onnx", first.adapter, f"{first.name}, exported"), *models, *exports, *students], home, asked, say)


def _student(teacher: Model, folder: Path, say: Say) -> Path:
    if (folder / DISTILLATION_FILE).is_file():
        say(f"{FAST} is taught already: {folder}")
        return folder
    say(f"Teaching {FAST}")
    command_line.teach_into(command_line.Lesson(teacher.adapter, SHAPE, (), TRANSFER), Distillation(), folder)
    return folder


def _train(name: str, folder: Path, say: Say) -> None:
    if (folder / METRICS_FILE).is_file():
        say(f"{name} is trained already: {folder}")
        return
    checkpoints = folder.parent / f"{folder.name}.checkpoints"
    can_go_on = checkpoints.is_dir() and get_last_checkpoint(str(checkpoints)) is not None  # type: ignore[no-untyped-call]
    say(f"{'Going on with' if can_go_on else 'Training'} {name}")
    watch = Watch(checkpoints, resume=can_go_on)
    train(Recipe.read(recipe_file(name)), folder, say, Order(watch=watch))
    shutil.rmtree(checkpoints, ignore_errors=True)
