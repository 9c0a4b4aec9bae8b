"""`contract.json`: what the worker may rely on, written beside the model it describes.

Figures are rounded so that exporting the same adapter on another machine writes the same file; `onnx_sha256` is the one
field that may differ there, because the exporter's own version shows in the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.data import ARCHIVE_SHA256, DATASET_NAME, LABELS, SPLIT_RULE, THRESHOLD
from training.device import Device
from training.evaluate import OVERALL, Comparison
from training.gates import Agreement
from training.onnx_file import OPSET
from training.repository import INPUTS, OUTPUT, TOKENIZER_FILE, VERSION, ServingSpec
from training.tokens import PAD_ID

SCHEMA_VERSION = 1
BUCKETS = (16, 32, 64, 128, 256)
"""What a GPU's engines are compiled for: few shapes, each with batches as large as can be."""
FINE_BUCKETS = (*range(4, 49), *range(50, 73, 2), *range(76, 129, 4), *range(136, 257, 8))
"""For a CPU, which takes any shape and as long for padding as for text: 0.6 % of what is sent is padding, for 31 %."""
MAX_LENGTH = BUCKETS[-1]


def buckets_for(device: Device) -> tuple[int, ...]:
    """Return the lengths in tokens to which the worker pads, the same for all variants on such a device."""
    return FINE_BUCKETS if device is Device.CPU else BUCKETS


@dataclass(frozen=True, slots=True)
class Made:
    """The SHA-256 of what a model was made of and of what it was made into; `base` is its encoder's name."""

    adapter: str
    onnx: str
    tokenizer: str
    base: str


def contract(
    spec: ServingSpec, made: Made, temperature: float, figures: Mapping[str, Comparison], gates: Mapping[str, Agreement]
) -> dict[str, Any]:
    """Return the contract; `figures` are of the test split, `gates` by the name of what they held."""
    return {
        "schema_version": SCHEMA_VERSION,
        "model": {
            "name": spec.name,
            "version": VERSION,
            "base": made.base,
            "adapter_sha256": made.adapter,
            "onnx_sha256": made.onnx,
            "precision": spec.variant.value,
            "opset": OPSET,
        },
        "labels": list(LABELS),
        "inputs": list(INPUTS),
        "output": OUTPUT,
        "max_length": MAX_LENGTH,
        "buckets": list(buckets_for(spec.device)),
        "max_batch_size": spec.max_batch_size,
        "pad_id": PAD_ID,
        "tokenizer": {"file": TOKENIZER_FILE, "sha256": made.tokenizer},
        "calibration": {"method": "temperature", "temperature": temperature},
        "data": {"name": DATASET_NAME, "sha256": ARCHIVE_SHA256, "threshold": THRESHOLD, "split": SPLIT_RULE},
        "metrics": _metrics(figures),
        "parity": {name: _gate(found) for name, found in gates.items()},
    }


def _metrics(figures: Mapping[str, Comparison]) -> dict[str, Any]:
    sources = {name: _part(part) for name, part in figures.items() if name != OVERALL}
    return {"split": "test", **_part(figures[OVERALL]), "sources": sources}


def _part(part: Comparison) -> dict[str, Any]:
    return {
        "rows": part.rows,
        "macro_f1": round(part.model.macro_f1, 4),
        "accuracy": round(part.model.accuracy, 4),
        "ece": None if part.model.ece is None else round(part.model.ece, 4),
        "vader_macro_f1": round(part.vader.macro_f1, 4),
    }


def _gate(found: Agreement) -> dict[str, Any]:
    return {
        "answers": found.answers,
        "labels_changed": found.labels_changed,
        "probability_gap_below": found.gap_below,
    }
