"""Runs side by side: what each came to, and only those choices in which they differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.adapter import RECIPE_FILE
from training.errors import TrainingError
from training.recipe import Recipe

_METRICS = "metrics.json"


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its folder's name, its recipe, and what it measured."""

    name: str
    recipe: Recipe
    macro_f1: float
    ece: float | None
    """None where the task has none."""
    validation_macro_f1: float
    epochs: float
    seconds: float


def find_runs(folders: Sequence[Path]) -> list[Run]:
    """Return the runs in these folders, or one level below them, the best on the test split first.

    Raises:
        TrainingError: there is none.
    """
    places = [place for folder in folders for place in (folder, *sorted(folder.glob("*"))) if (place / _METRICS).is_file()]
    if not places:
        raise TrainingError(f"no finished run in {', '.join(map(str, folders))}: run `tidings train` first")
    return sorted((_read(place) for place in places), key=lambda run: -run.macro_f1)


def differences(runs: Sequence[Run]) -> list[str]:
    """Return the recipe's fields in which not all runs are alike, in their order."""
    recipes = [asdict(run.recipe) for run in runs]
    return [name for name in recipes[0] if len({recipe[name] for recipe in recipes}) > 1]


def as_json(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the runs as plain values."""
    return [asdict(run) for run in runs]


def _read(folder: Path) -> Run:
    try:
        measured = json.loads((folder / _METRICS).read_text("utf-8"))
        test, run = measured["test"], measured["run"]
        model = test["parts"]["overall"]["model"] if "parts" in test else test
        figures = (model["macro_f1"], model.get("ece"), run["validation_macro_f1"], run["epochs"], run["seconds"])
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{folder / _METRICS} is not what `tidings train` writes: {error!r}") from error
    return Run(folder.name, Recipe.read(folder / RECIPE_FILE), *figures)
