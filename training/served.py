"""The model to evaluate, with what its answers need: the adapter under torch, or its export under ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training.calibrate import read_temperature
from training.contract import MAX_LENGTH
from training.encoder import fetch_encoder
from training.export import export
from training.model import load_encoder, load_model
from training.paths import adapter_dir
from training.predict import LogitsModel, OnnxModel, TorchModel
from training.quiet import quiet_libraries
from training.repository import MODEL_FILE, VERSION
from training.steps import Say


@dataclass(frozen=True, slots=True)
class Served:
    """A model with the temperature of its probabilities and the most tokens it is given."""

    model: LogitsModel
    temperature: float
    max_length: int = MAX_LENGTH


def load_served(runtime: str, adapter: Path | None, say: Say) -> Served:
    """Return the adapter's model on "torch", or on "onnx" as exported.

    The committed adapter's export is the one in `triton_repo`, made if it is not there; another adapter is exported to
    a folder that is gone afterwards.

    Raises:
        TrainingError: there is no such adapter, or its export does not pass its gates.
    """
    folder = adapter or adapter_dir()
    if runtime == "torch":
        with quiet_libraries():
            return Served(TorchModel(load_model(folder, load_encoder(fetch_encoder()))), read_temperature(folder))
    with _repository(adapter) as repository:
        exported = export(folder, repository, say=say)
        return Served(OnnxModel(exported.folder / VERSION / MODEL_FILE), read_temperature(folder))


@contextmanager
def _repository(adapter: Path | None) -> Iterator[Path | None]:
    if adapter is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="tidings-evaluate-") as folder:
        yield Path(folder) / "triton_repo"
