"""What a saved adapter consists of; apart from `model`, so that asking for its hash need not load torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from training.errors import TrainingError

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
HEAD_WEIGHTS = "head.safetensors"
RECIPE_FILE = "recipe.json"
CALIBRATION_FILE = "calibration.json"
MEANING_WEIGHTS = "meaning.safetensors"
"""The second head, of an adapter that says what texts mean too."""
TASK_FILE = "task.json"
"""In place of the calibration where the adapter is of another task than sentiment (`training.tasks`)."""
WEIGHT_FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, HEAD_WEIGHTS, RECIPE_FILE)


def adapter_sha256(folder: Path) -> str:
    """Return one SHA-256 over everything in the adapter that shapes its predictions.

    Raises:
        TrainingError: `folder` does not hold a complete adapter.
    """
    names = [*WEIGHT_FILES, TASK_FILE if is_of_a_task(folder) else CALIBRATION_FILE]
    check_files(folder, names)
    names += [MEANING_WEIGHTS] if (folder / MEANING_WEIGHTS).is_file() else []
    digest = hashlib.sha256()
    for name in names:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def meaning_width(folder: Path) -> int:
    """Return how many dimensions the vectors of an adapter's second head have; 0 if it has none."""
    from safetensors import safe_open  # noqa: PLC0415 - asked of a fresh repository, which need load nothing else

    path = folder / MEANING_WEIGHTS
    if not path.is_file():
        return 0
    with safe_open(path, framework="numpy") as weights:
        return int(weights.get_slice("bias").get_shape()[0])


def is_of_a_task(folder: Path) -> bool:
    """Say whether the adapter is of another task than sentiment."""
    return (folder / TASK_FILE).is_file()


def check_files(folder: Path, names: Iterable[str] = WEIGHT_FILES) -> None:
    """Return if `folder` has the files.

    Raises:
        TrainingError: one is missing.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise TrainingError(f"{folder} has no {missing[0]}: run `tidings train` first, or name another --adapter")
