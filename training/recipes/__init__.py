"""Recipes that come with the package, by their names: `sentiment` made the shipped model, `lora` is its small sister."""

from __future__ import annotations

from pathlib import Path

from training.errors import TrainingError

SHIPPED = "sentiment"


def recipe_file(name: str) -> Path:
    """Return the file of a recipe: one of these, by its name, or a file of your own.

    Raises:
        TrainingError: it is neither.
    """
    here = Path(__file__).parent
    own, known = Path(name), here / f"{name}.json"
    if known.is_file():
        return known
    if own.is_file():
        return own
    names = ", ".join(sorted(path.stem for path in here.glob("*.json")))
    raise TrainingError(f"no recipe {name}: give the path of a JSON file, or one of {names}")
