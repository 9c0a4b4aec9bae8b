"""Building the exported model in a scratch folder: merge, write ONNX, prove. `export` decides whether it is needed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from training.adapter import adapter_sha256
from training.calibrate import read_temperature
from training.compress.int8 import as_variant
from training.contract import MAX_LENGTH, Made, contract
from training.data import Split, load_snippets, of_split
from training.encoder import shown_name
from training.examples import Example, from_snippets
from training.files import sha256_of, sha256_of_text
from training.model import merge
from training.onnx_file import write_onnx
from training.predict import TorchModel, exported_model
from training.proof import Proof, Subject, prove
from training.repository import MODEL_FILE, ModelFiles, ServingSpec, config_pbtxt, write_model
from training.steps import Say
from training.tokens import load_tokenizer, token_ids
from training.trained import load_trained


def build(adapter: Path, folder: Path, spec: ServingSpec, say: Say) -> dict[str, Any]:
    """Put the adapter's model at `folder` and return its contract.

    Raises:
        GateError: a gate failed; `folder` is left as it was.
    """
    say("Merging the adapter and writing ONNX")
    trained, temperature = load_trained(adapter), read_temperature(adapter)
    tokenizer = trained.tokenizer
    with tempfile.TemporaryDirectory(prefix="tidings-export-") as scratch:
        onnx = Path(scratch) / MODEL_FILE
        write_onnx(merge(trained.model), onnx)
        as_variant(onnx, spec.variant, lambda: _calibration(tokenizer))
        proof = _prove(adapter, onnx, Subject(_examples(), tokenizer, temperature, spec.variant), say)
        made = Made(adapter_sha256(adapter), sha256_of(onnx), sha256_of_text(tokenizer), shown_name(trained.recipe.encoder))
        written = contract(spec, made, temperature, proof.figures, proof.gates)
        write_model(folder, ModelFiles(config_pbtxt(spec), written, tokenizer, onnx))
    return written


def _examples() -> list[Example]:
    return from_snippets(of_split(load_snippets(), Split.TEST))


def _calibration(tokenizer: str) -> list[list[int]]:
    """Texts of the training split: what the scales of int8 are taken from must not be what it is judged on."""
    texts = [snippet.text for snippet in of_split(load_snippets(), Split.TRAIN)]
    return token_ids(load_tokenizer(tokenizer, MAX_LENGTH), texts)


def _prove(adapter: Path, onnx: Path, subject: Subject, say: Say) -> Proof:
    """The reference is the adapter as it was trained, not merged: merging is part of what is held to parity."""
    return prove(exported_model(onnx, subject.variant), TorchModel(load_trained(adapter).model), subject, say)
