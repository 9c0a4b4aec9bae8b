"""Building the exported model in a scratch folder: merge, write ONNX, prove. `export` decides whether it is needed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from training import embedding
from training.adapter import adapter_sha256
from training.calibrate import read_temperature
from training.compress.int8 import as_variant
from training.contract import MAX_LENGTH, Made, contract
from training.data import Split, load_snippets, of_split
from training.embedding import as_file, background_texts, rows_to_prove
from training.encoder import shown_name
from training.examples import Example, from_snippets
from training.files import sha256_of, sha256_of_text
from training.meaning import TwoAnswers, load_meaning
from training.model import merge
from training.onnx_file import write_onnx
from training.predict import TorchModel, exported_model
from training.proof import Proof, Subject, prove
from training.repository import (
    BACKGROUND_FILE,
    EMBEDDING_OUTPUT,
    MODEL_FILE,
    ModelFiles,
    ServingSpec,
    config_pbtxt,
    write_model,
)
from training.steps import Say
from training.tokens import load_tokenizer, token_ids
from training.trained import load_trained
from training.variant import Variant

MEANING_TOLERANCE = {Variant.FP32: 1e-4, Variant.FP16: 2e-3, Variant.BF16: 1e-2, Variant.INT8: 5e-2}
"""By how much a number of a unit vector may differ from torch's and among neighbours, whose root mean square is 0.05."""


def build(adapter: Path, folder: Path, spec: ServingSpec, say: Say) -> dict[str, Any]:
    """Put the adapter's model at `folder` and return its contract.

    Raises:
        GateError: a gate failed; `folder` is left as it was.
    """
    say("Merging the adapter and writing ONNX")
    trained, temperature, meaning = load_trained(adapter), read_temperature(adapter), load_meaning(adapter)
    tokenizer = trained.tokenizer
    with tempfile.TemporaryDirectory(prefix="tidings-export-") as scratch:
        onnx = Path(scratch) / MODEL_FILE
        model = merge(trained.model)
        write_onnx(TwoAnswers(model, meaning) if meaning else model, onnx, outputs=tuple(spec.outputs))
        as_variant(onnx, spec.variant, lambda: _calibration(tokenizer))
        proof = _prove(adapter, onnx, Subject(_examples(), tokenizer, temperature, spec.variant), say)
        made = Made(adapter_sha256(adapter), sha256_of(onnx), sha256_of_text(tokenizer), shown_name(trained.recipe.encoder))
        written = contract(spec, made, temperature, proof.figures, proof.gates)
        more = _add_meaning(written, adapter, onnx, spec) if meaning else {}
        write_model(folder, ModelFiles(config_pbtxt(spec), written, tokenizer, onnx, more))
    return written


def _add_meaning(written: dict[str, Any], adapter: Path, onnx: Path, spec: ServingSpec) -> dict[str, str]:
    """Prove the second answer, promise it in the contract, and return the file that goes with it."""
    trained, meaning = load_trained(adapter), load_meaning(adapter)
    assert meaning is not None  # noqa: S101 - the caller asked
    two, texts = TwoAnswers(trained.model, meaning).eval(), background_texts(load_snippets())
    exported = exported_model(onnx, spec.variant, EMBEDDING_OUTPUT)
    rows = rows_to_prove(texts, trained.tokenizer)
    gaps = embedding.prove(lambda ids, mask: two(ids, mask)[1], exported, rows, MEANING_TOLERANCE[spec.variant])
    written["embedding"] = embedding.promised(EMBEDDING_OUTPUT, spec.embedding, as_file(texts))
    written["parity"]["embedding"] = embedding.parity(gaps)
    return {BACKGROUND_FILE: as_file(texts)}


def _examples() -> list[Example]:
    return from_snippets(of_split(load_snippets(), Split.TEST))


def _calibration(tokenizer: str) -> list[list[int]]:
    """Texts of the training split: what the scales of int8 are taken from must not be what it is judged on."""
    texts = [snippet.text for snippet in of_split(load_snippets(), Split.TRAIN)]
    return token_ids(load_tokenizer(tokenizer, MAX_LENGTH), texts)


def _prove(adapter: Path, onnx: Path, subject: Subject, say: Say) -> Proof:
    """The reference is the adapter as it was trained, not merged: merging is part of what is held to parity."""
    return prove(exported_model(onnx, subject.variant), TorchModel(load_trained(adapter).model), subject, say)
