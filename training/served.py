"""The model to evaluate, with what its answers need: the adapter under torch, an export of it, or a student."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training.adapter import is_of_a_task
from training.calibrate import read_temperature
from training.compress.compact import load_compact
from training.contract import MAX_LENGTH
from training.errors import TrainingError
from training.export import export
from training.onnx_file import write_onnx
from training.paths import adapter_dir
from training.predict import LogitsModel, TorchModel, exported_model
from training.repository import MODEL_FILE, TOKENIZER_FILE, VERSION, ServingSpec
from training.steps import Say
from training.trained import load_trained
from training.variant import Variant

STUDENT = "student"
"""The runtime of a student, which is no adapter."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model with its tokenizer's file content, the temperature of its probabilities and the most tokens it is given."""

    model: LogitsModel
    tokenizer: str
    temperature: float
    max_length: int = MAX_LENGTH


def load_served(runtime: str, adapter: Path | None, say: Say) -> Served:
    """Return the adapter's model on "torch", on "onnx" as exported, or exported as another variant by that one's name.

    The committed adapter's export is the one in `triton_repo`, made if it is not there; another adapter, or another variant, is
    exported to a folder that is gone afterwards. On "student", `adapter` is the folder of a student.

    Raises:
        TrainingError: there is no such adapter, it is not of sentiment, or its export does not pass its gates.
    """
    if runtime == STUDENT:
        return _student(adapter or adapter_dir())
    folder = adapter or adapter_dir()
    if is_of_a_task(folder):
        raise TrainingError(f"{folder} is of topics or entities, and this is for sentiment; its figures are in its README.md")
    if runtime == "torch":
        trained = load_trained(folder)
        return Served(TorchModel(trained.model), trained.tokenizer, read_temperature(folder))
    variant = Variant.FP32 if runtime == "onnx" else Variant(runtime)
    with _repository(adapter, variant) as repository:
        exported = export(folder, repository, ServingSpec(variant=variant), say=say)
        tokenizer = (exported.folder / TOKENIZER_FILE).read_text("utf-8")
        return Served(exported_model(exported.folder / VERSION / MODEL_FILE, variant), tokenizer, read_temperature(folder))


def _student(folder: Path) -> Served:
    student = load_compact(folder)
    with tempfile.TemporaryDirectory(prefix="tidings-evaluate-") as scratch:
        path = Path(scratch) / MODEL_FILE
        write_onnx(student.model, path)
        return Served(exported_model(path, Variant.FP32), student.tokenizer, student.temperature)


@contextmanager
def _repository(adapter: Path | None, variant: Variant) -> Iterator[Path | None]:
    if adapter is None and variant is Variant.FP32:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="tidings-evaluate-") as folder:
        yield Path(folder) / "triton_repo"
