"""Predictions for many texts, from the torch model, the exported one or VADER, each behind the same small protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import openvino  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from rich.progress import track
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # type: ignore[import-untyped]

from training.metrics import Floats, Ints
from training.model import SentimentModel
from training.repository import ON_OPENVINO, OUTPUT
from training.tokens import Ids, pad
from training.variant import Variant

VADER_THRESHOLD = 0.05


class LogitsModel(Protocol):
    """Anything that answers a padded batch with logits."""

    def logits(self, input_ids: Ids, attention_mask: Ids) -> NDArray[np.float32]:
        """Return float32 logits [batch, 3] for int64 ids and mask [batch, tokens]."""
        ...


class TorchModel:
    """The model as it was trained, in float32."""

    def __init__(self, model: SentimentModel) -> None:
        self._model = model.eval()
        self.size = sum(weights.nbytes for weights in model.parameters())

    @torch.inference_mode()
    def logits(self, input_ids: Ids, attention_mask: Ids) -> NDArray[np.float32]:
        """Return float32 logits [batch, 3] for int64 ids and mask [batch, tokens]."""
        logits = self._model(torch.from_numpy(input_ids), torch.from_numpy(attention_mask))
        return np.asarray(logits.numpy(), dtype=np.float32)


class OnnxModel:
    """An exported model on ONNX Runtime's CPU provider; `output` names the tensor that it is asked for."""

    def __init__(self, path: Path, output: str = OUTPUT) -> None:
        self._output = output
        self.size = path.stat().st_size
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def logits(self, input_ids: Ids, attention_mask: Ids) -> NDArray[np.float32]:
        """Return float32 logits [batch, 3] for int64 ids and mask [batch, tokens]."""
        answer = self._session.run([self._output], {"input_ids": input_ids, "attention_mask": attention_mask})
        return np.asarray(answer[0], dtype=np.float32)


class OpenVinoModel:
    """An exported model on OpenVINO, computing in `precision`: by default in bfloat16, where the processor can.

    What a file holds in int8 is computed in int8, whatever the precision of the rest.
    """

    def __init__(self, path: Path, output: str = OUTPUT, precision: str = "bf16") -> None:
        properties = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        self._model = openvino.Core().compile_model(str(path), "CPU", properties)
        self._output = output
        self.size = path.stat().st_size

    def logits(self, input_ids: Ids, attention_mask: Ids) -> NDArray[np.float32]:
        """Return float32 logits [batch, 3] for int64 ids and mask [batch, tokens]."""
        answer = self._model({"input_ids": input_ids, "attention_mask": attention_mask})
        return np.asarray(answer[self._output], dtype=np.float32)


def exported_model(path: Path, variant: Variant, output: str = OUTPUT) -> LogitsModel:
    """Return the exported model at `path` on the engine, and in the precision, that the variant is served by."""
    if variant not in ON_OPENVINO:
        return OnnxModel(path, output)
    return OpenVinoModel(path, output, precision="bf16" if variant is Variant.BF16 else "f32")


def size_of(model: LogitsModel) -> int:
    """Return the bytes that a model's weights take, on disk where it was exported; 0 if it does not say."""
    return int(getattr(model, "size", 0))


def logits_of(
    model: LogitsModel, rows: Sequence[Sequence[int]], batch_size: int = 32, progress: str | None = None
) -> NDArray[np.float32]:
    """Return float32 logits [rows, 3] in the rows' order, computed in batches of similar length.

    `progress` names a progress bar; without it there is none.
    """
    answers = np.empty((len(rows), 3), dtype=np.float32)
    batches = list(_by_length(rows, batch_size))
    for batch in track(batches, progress or "", disable=progress is None, transient=True):
        answers[batch] = model.logits(*pad([rows[index] for index in batch]))
    return answers


def probabilities(logits: NDArray[np.float32], temperature: float = 1.0) -> Floats:
    """Return calibrated probabilities, float64 [n, 3]: the softmax of logits over the temperature."""
    scaled = logits.astype(np.float64) / temperature
    odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def vader_labels(texts: Sequence[str]) -> Ints:
    """Return VADER's label indices: its compound score, in [-1, 1], at its authors' thresholds of plus and minus 0.05."""
    analyzer = SentimentIntensityAnalyzer()
    compounds = np.array([analyzer.polarity_scores(text)["compound"] for text in texts])
    return np.asarray(1 + (compounds >= VADER_THRESHOLD) - (compounds <= -VADER_THRESHOLD), dtype=np.int64)


def _by_length(rows: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
