"""Every recipe that comes with the package trained, unless that was done, and all of them measured in one run."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from transformers.trainer_utils import get_last_checkpoint

from training.data import Split, load_snippets, of_split
from training.evaluation.asked import Asked
from training.evaluation.report import Report
from training.evaluation.run import Model, evaluate
from training.evaluation.sets import HOME, EvaluationSet
from training.examples import from_snippets
from training.finetune.trainer import Watch
from training.recipe import Recipe
from training.recipes import recipe_file
from training.steps import Say
from training.train import METRICS_FILE, Order, train


def train_all(names: Sequence[str], out: Path, asked: Asked, say: Say) -> Report:
    """Train each named recipe into a folder of `out`, and measure them all, the first as its export too.

    A model that is there already is not trained again; one that broke off goes on from its last epoch.

    Raises:
        TrainingError: there is no such recipe, or what was asked to be measured needs data that are not there.
    """
    folders = {Path(name).stem: out / Path(name).stem for name in names}
    for name, folder in zip(names, folders.values(), strict=True):
        _train(name, folder, say)
    home = EvaluationSet(HOME, from_snippets(of_split(load_snippets(), Split.TEST)))
    models = [Model("torch", folder, name) for name, folder in folders.items()]
    first = models[0]
    return evaluate([Model("onnx", first.adapter, f"{first.name}, exported"), *models], home, asked, say)


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
