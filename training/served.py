"""The model to evaluate, with what its answers need: the adapter under torch, or its export under ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training.adapter import is_of_a_task
from training.calibrate import read_temperature
from training.contract import MAX_LENGTH
from training.errors import TrainingError
from training.export import export
from training.paths import adapter_dir
from training.predict import LogitsModel, OnnxModel, TorchModel
from training.repository import MODEL_FILE, TOKENIZER_FILE, VERSION
from training.steps import Say
from training.trained import load_trained


@dataclass(frozen=True, slots=True)
class Served:
    """A model with its tokenizer's file content, the temperature of its probabilities and the most tokens it is given."""

    model: LogitsModel
    tokenizer: str
    temperature: float
    max_length: int = MAX_LENGTH


def load_served(runtime: str, adapter: Path | None, say: Say) -> Served:
    """Return the adapter's model on "torch", or on "onnx" as exported.

    The committed adapter's export is the one in `triton_repo`, made if it is not there; another adapter is exported to
    a folder that is gone afterwards.

    Raises:
        TrainingError: there is no such adapter, it is not of sentiment, or its export does not pass its gates.
    """
    folder = adapter or adapter_dir()
    if is_of_a_task(folder):
        raise TrainingError(f"{folder} is of topics or entities, and this is for sentiment; its figures are in its README.md")
    if runtime == "torch":
        trained = load_trained(folder)
        return Served(TorchModel(trained.model), trained.tokenizer, read_temperature(folder))
    with _repository(adapter) as repository:
        exported = export(folder, repository, say=say)
        tokenizer = (exported.folder / TOKENIZER_FILE).read_text("utf-8")
        return Served(OnnxModel(exported.folder / VERSION / MODEL_FILE), tokenizer, read_temperature(folder))


@contextmanager
def _repository(adapter: Path | None) -> Iterator[Path | None]:
    if adapter is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="tidings-evaluate-") as folder:
        yield Path(folder) / "triton_repo"
