"""A student into Triton's model repository, through the gates of every export."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from training.compress.compact import COMPACT_FILES, Compact, load_compact
from training.compress.int8 import as_variant
from training.contract import MAX_LENGTH, Made, contract
from training.data import Snippet, Split, load_snippets, of_split
from training.examples import from_snippets
from training.files import sha256_of, sha256_of_text
from training.onnx_file import write_onnx
from training.predict import TorchModel, exported_model
from training.proof import Subject, prove
from training.repository import MODEL_FILE, ModelFiles, ServingSpec, config_pbtxt, write_model
from training.steps import Say, silent
from training.tokens import load_tokenizer, token_ids


def serve_student(folder: Path, repository: Path, spec: ServingSpec, say: Say = silent) -> dict[str, Any]:
    """Put the student in `folder` at `repository`/`spec.name` with its own tokenizer, and return its contract.

    Its reference is itself under torch; how it compares with its teacher is for `tidings compress --sweep` to show.

    Raises:
        TrainingError: `folder` holds no student.
        GateError: the exported model is not the student; the repository is left as it was.
    """
    student, snippets = load_compact(folder), load_snippets()
    say("Writing the student as ONNX")
    with tempfile.TemporaryDirectory(prefix="tidings-export-") as scratch:
        onnx = Path(scratch) / MODEL_FILE
        write_onnx(student.model, onnx)
        as_variant(onnx, spec.variant, lambda: _calibration(student, snippets))
        examples = from_snippets(of_split(snippets, Split.TEST))
        subject = Subject(examples, student.tokenizer, student.temperature, spec.variant)
        proof = prove(exported_model(onnx, spec.variant), TorchModel(student.model), subject, say)
        made = Made(student_sha256(folder), sha256_of(onnx), sha256_of_text(student.tokenizer), "a student")
        written = contract(spec, made, student.temperature, proof.figures, proof.gates)
        write_model(repository / spec.name, ModelFiles(config_pbtxt(spec), written, student.tokenizer, onnx))
    return written


def student_sha256(folder: Path) -> str:
    """Return one SHA-256 over everything in the folder that shapes the student's predictions."""
    return hashlib.sha256("".join(sha256_of(folder / name) for name in COMPACT_FILES).encode()).hexdigest()


def _calibration(student: Compact, snippets: list[Snippet]) -> list[list[int]]:
    texts = [snippet.text for snippet in of_split(snippets, Split.TRAIN)]
    return token_ids(load_tokenizer(student.tokenizer, MAX_LENGTH), texts)
