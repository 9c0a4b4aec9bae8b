"""The second model: the encoder as it came, which says what a text means; built, proved and written like the first."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from training.contract import BUCKETS, MAX_LENGTH, SCHEMA_VERSION, Made
from training.data import Snippet, Source, Split, load_snippets, of_split
from training.encoder import ENCODER_NAME, fetch_encoder
from training.errors import GateError
from training.files import sha256_of, sha256_of_text
from training.gates import gap_below
from training.model import load_encoder, mean_pool
from training.onnx_file import OPSET, write_onnx
from training.predict import LogitsModel, OnnxModel
from training.quiet import quiet_libraries
from training.repository import (
    BACKGROUND_FILE,
    INPUTS,
    MODEL_FILE,
    TOKENIZER_FILE,
    VERSION,
    ModelFiles,
    ServingSpec,
    config_pbtxt,
    write_model,
)
from training.steps import Say
from training.tokens import PAD_ID, load_tokenizer, pad, token_ids, tokenizer_json

TOLERANCE = 1e-4
PER_SOURCE = 400
_PROVED = 64
Floats = NDArray[np.float32]
Vectors = Callable[[Tensor, Tensor], Tensor]
"""Unit vectors [batch, dimensions] for ids and mask, both [batch, tokens]."""


class EmbeddingModel(nn.Module):
    """The encoder, mean pooling, and the length of each vector made 1: how its makers trained it to compare texts.

    Reimers and Gurevych 2019, "Sentence-BERT", https://arxiv.org/abs/1908.10084.
    """

    def __init__(self, encoder: PreTrainedModel) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return unit vectors [batch, dimensions] for token ids and mask [batch, tokens], both int64."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return nn.functional.normalize(mean_pool(hidden, attention_mask), dim=1)


@dataclass(frozen=True, slots=True)
class Gaps:
    """By how much a number of the exported model's vectors differs: from torch, and from itself among other texts."""

    torch: float
    neighbours: float


def background_texts(snippets: Sequence[Snippet]) -> list[str]:
    """Return so many texts of each source of the training split, one line each, drawn by their hash."""
    chosen: list[str] = []
    for source in Source:
        lines = {" ".join(s.text.split()) for s in of_split(snippets, Split.TRAIN) if s.source is source}
        chosen += sorted(lines - {""}, key=lambda line: hashlib.sha256(line.encode()).hexdigest())[:PER_SOURCE]
    return chosen


def build_embedding(folder: Path, spec: ServingSpec, encoder_sha256: str, say: Say) -> dict[str, Any]:
    """Put the encoder's model at `folder` and return its contract.

    Raises:
        GateError: the exported model's vectors are others than torch's, or depend on their neighbours in a batch.
    """
    say("Writing the encoder as ONNX")
    encoder = fetch_encoder()
    with quiet_libraries():
        model = EmbeddingModel(load_encoder(encoder)).eval()
    tokenizer, texts = tokenizer_json(encoder), background_texts(load_snippets())
    with tempfile.TemporaryDirectory(prefix="tidings-export-") as scratch:
        onnx = Path(scratch) / MODEL_FILE
        write_onnx(model, onnx, outputs=(spec.output,))
        say("Checking parity with torch, and that no vector depends on its neighbours")
        gaps = prove(model, OnnxModel(onnx, spec.output), rows_to_prove(texts, tokenizer))
        background = as_file(texts)
        made = Made(encoder_sha256, sha256_of(onnx), sha256_of_text(tokenizer), ENCODER_NAME)
        written = _contract(spec, made, background, gaps)
        write_model(folder, ModelFiles(config_pbtxt(spec), written, tokenizer, onnx, {BACKGROUND_FILE: background}))
    return written


def rows_to_prove(texts: Sequence[str], tokenizer: str) -> list[list[int]]:
    """Return the token ids of some of the background's texts, evenly drawn: all would take minutes and show no more."""
    return token_ids(load_tokenizer(tokenizer, MAX_LENGTH), texts[:: max(1, len(texts) // _PROVED)])


def as_file(texts: Sequence[str]) -> str:
    """Return the content of the background's file, one text a line."""
    return "".join(f"{text}\n" for text in texts)


def promised(output: str, dimensions: int, background: str) -> dict[str, Any]:
    """Return what a contract says of vectors; `background` is the content of its file."""
    return {
        "output": output,
        "dimensions": dimensions,
        "background": {"file": BACKGROUND_FILE, "sha256": sha256_of_text(background)},
    }


def parity(gaps: Gaps) -> dict[str, float]:
    """Return what a contract says of how vectors were proved."""
    return {"torch_gap_below": gap_below(gaps.torch), "neighbours_gap_below": gap_below(gaps.neighbours)}


def prove(
    model: Callable[[Tensor, Tensor], Tensor],
    exported: LogitsModel,
    rows: Sequence[Sequence[int]],
    tolerance: float = TOLERANCE,
) -> Gaps:
    """Hold the exported model to torch, text by text, and to itself when the texts share a batch padded to every bucket.

    `model` returns unit vectors [batch, dimensions] for ids and mask, both [batch, tokens].

    Raises:
        GateError: a number of a vector moved by more than the tolerance.
    """
    alone = np.concatenate([exported.logits(*pad([row])) for row in rows])
    reference = np.concatenate([_torch(model, row) for row in rows])
    gaps = Gaps(_gap(reference, alone), max(_among(exported, rows, alone, bucket) for bucket in BUCKETS))
    if max(gaps.torch, gaps.neighbours) > tolerance:
        raise GateError(
            f"embeddings: a number moved by {gaps.torch:.2g} from torch's and by {gaps.neighbours:.2g} among other texts "
            f"(allowed: {tolerance:g}); the model is not exported"
        )
    return gaps


def _among(exported: LogitsModel, rows: Sequence[Sequence[int]], alone: Floats, bucket: int) -> float:
    fitting = [index for index, row in enumerate(rows) if len(row) <= bucket]
    return _gap(alone[fitting], exported.logits(*pad([rows[index] for index in fitting], bucket))) if fitting else 0.0


def _gap(one: Floats, other: Floats) -> float:
    return float(np.abs(one - other).max())


@torch.inference_mode()
def _torch(model: Vectors, row: Sequence[int]) -> Floats:
    ids, mask = map(torch.from_numpy, pad([row]))
    return np.asarray(model(ids, mask).numpy(), dtype=np.float32)


def _contract(spec: ServingSpec, made: Made, background: str, gaps: Gaps) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "model": {
            "name": spec.name,
            "version": VERSION,
            "base": made.base,
            "encoder_sha256": made.adapter,
            "onnx_sha256": made.onnx,
            "precision": "fp32",
            "opset": OPSET,
        },
        "inputs": list(INPUTS),
        "embedding": promised(spec.output, spec.columns, background),
        "max_length": MAX_LENGTH,
        "buckets": list(BUCKETS),
        "max_batch_size": spec.max_batch_size,
        "pad_id": PAD_ID,
        "tokenizer": {"file": TOKENIZER_FILE, "sha256": made.tokenizer},
        "parity": parity(gaps),
    }
