"""Export: merge the adapter, write ONNX, hold it to its gates, and only then put it into Triton's model repository."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.calibrate import read_temperature
from training.contract import Made, contract
from training.data import Split, load_snippets, of_split
from training.encoder import fetch_encoder
from training.examples import from_snippets
from training.files import sha256_of
from training.model import SentimentModel, adapter_sha256, load_encoder, load_model, merge
from training.onnx_file import write_onnx
from training.paths import adapter_dir, repository_dir
from training.predict import OnnxModel, TorchModel
from training.proof import Proof, Say, Subject, prove
from training.quiet import quiet_libraries
from training.repository import (
    CONFIG_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    VERSION,
    ModelFiles,
    ServingSpec,
    config_pbtxt,
    read_contract,
    write_model,
)
from training.tokens import tokenizer_json


@dataclass(frozen=True, slots=True)
class Exported:
    """A model in the repository: its folder, its contract, and whether it was there already."""

    folder: Path
    contract: dict[str, Any]
    was_fresh: bool


def export(
    adapter: Path | None = None,
    repository: Path | None = None,
    spec: ServingSpec | None = None,
    *,
    force: bool = False,
    say: Say = lambda _: None,
) -> Exported:
    """Export `adapter` into `repository` and return what is there now; nothing is done if that is it already.

    The defaults are the committed adapter and `triton_repo/`. `say` hears each step as it starts. `force` exports even
    what is fresh.

    Raises:
        GateError: the exported model is not the model that was trained; the repository is left as it was.
        TrainingError: there is no adapter, or the data or the encoder could not be fetched.
    """
    adapter, spec = adapter or adapter_dir(), spec or ServingSpec()
    folder = (repository or repository_dir()) / spec.name
    known = read_contract(folder)
    if known and not force and is_fresh(folder, known, adapter, spec):
        return Exported(folder, known, was_fresh=True)
    return Exported(folder, _export(adapter, folder, spec, say), was_fresh=False)


def is_fresh(folder: Path, known: dict[str, Any], adapter: Path, spec: ServingSpec) -> bool:
    """Say whether `folder` holds, byte for byte, what its contract `known` promises, made of this adapter."""
    expected = {
        folder / VERSION / MODEL_FILE: known["model"]["onnx_sha256"],
        folder / TOKENIZER_FILE: known["tokenizer"]["sha256"],
        folder / CONFIG_FILE: _sha256(config_pbtxt(spec)),
    }
    if known["model"]["adapter_sha256"] != adapter_sha256(adapter):
        return False
    return all(path.is_file() and sha256_of(path) == sha256 for path, sha256 in expected.items())


def _export(adapter: Path, folder: Path, spec: ServingSpec, say: Say) -> dict[str, Any]:
    tokenizer, temperature = tokenizer_json(fetch_encoder()), read_temperature(adapter)
    with tempfile.TemporaryDirectory(prefix="tidings-export-") as scratch:
        onnx = Path(scratch) / MODEL_FILE
        say("Merging the adapter and writing ONNX")
        write_onnx(merge(_load(adapter)), onnx)
        proof = _prove(adapter, onnx, tokenizer, temperature, say)
        made = Made(adapter_sha256(adapter), sha256_of(onnx), _sha256(tokenizer))
        written = contract(spec, made, temperature, proof.figures, proof.gates)
        write_model(folder, ModelFiles(config_pbtxt(spec), written, tokenizer, onnx))
    return written


def _prove(adapter: Path, onnx: Path, tokenizer: str, temperature: float, say: Say) -> Proof:
    """The reference is the adapter as it was trained, not merged: merging is part of what is held to parity."""
    examples = from_snippets(of_split(load_snippets(), Split.TEST))
    return prove(OnnxModel(onnx), TorchModel(_load(adapter)), Subject(examples, tokenizer, temperature), say)


def _load(adapter: Path) -> SentimentModel:
    with quiet_libraries():
        return load_model(adapter, load_encoder(fetch_encoder()))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
