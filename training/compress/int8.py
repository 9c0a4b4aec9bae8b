"""Eight-bit integers with scales that are fixed beforehand, and weights at half precision: each one ONNX file in, one out.

Dynamic int8 takes its scales over whatever batch a text is in, so an answer depends on its neighbours. Here NNCF fixes them on
calibration texts, after SmoothQuant has moved the outliers of the activations into the weights (Xiao et al., "SmoothQuant:
Accurate and Efficient Post-Training Quantization for Large Language Models", ICML 2023). The result holds QuantizeLinear and
DequantizeLinear pairs, which OpenVINO turns into int8 kernels.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.contract import BUCKETS
from training.errors import TrainingError
from training.repository import INPUTS
from training.tokens import Ids, pad
from training.variant import Variant

NORM = "LayerNormalization"
HALVED_FROM = 1024
"""Weights of fewer numbers stay in float32: biases and norms cost nothing."""


@dataclass(frozen=True, slots=True)
class Int8:
    """How a model is quantised."""

    alpha: float = 0.95
    """How much of the activations' outliers moves into the weights: 0 none, 1 all; below 0 there is no SmoothQuant."""
    samples: int = 300
    """Calibration texts."""
    float_layers: tuple[int, ...] = ()
    """Layers of the encoder, from 0, that stay in float32 because they are sensitive."""
    saturation_safe: bool = True
    """Halve the weights' range, so that sums of products fit 16 bits on processors without VNNI, too."""


def quantise(fp32: Path, out: Path, rows: Sequence[Sequence[int]], how: Int8 | None = None) -> None:
    """Write the ONNX model `fp32` to `out` in int8, calibrated on the texts `rows` (token ids), padded as they are served.

    Raises:
        TrainingError: there are no texts, or no layer of a stated number.
    """
    how, nncf = how or Int8(), _nncf()
    if not rows:
        raise TrainingError("int8 needs texts to take its scales from")
    model = onnx.load(fp32)
    chosen = _spread(rows, how.samples)
    with _quiet():
        quantised = nncf.quantize(
            model,
            nncf.Dataset(list(_inputs(chosen))),
            subset_size=len(chosen),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER,
            ignored_scope=nncf.IgnoredScope(names=nodes_of_layers(model, how.float_layers), validate=False),
            advanced_parameters=_advanced(nncf, how),
        )
    onnx.checker.check_model(quantised)
    onnx.save(quantised, out)


def nodes_of_layers(model: onnx.ModelProto, layers: Iterable[int]) -> list[str]:
    """Return the names of the nodes that multiply matrices in these layers of the encoder.

    Matrices lose their names at the export, and equal biases become one. What tells the layers apart is their norms: one after
    the embeddings, then two in each layer, the first after attention, the second at the end.

    Raises:
        TrainingError: the model has no such layer.
    """
    found, wanted, norms = list[str](), set(layers), 0
    count = (sum(node.op_type == NORM for node in model.graph.node) - 1) // 2
    if unknown := wanted - set(range(count)):
        raise TrainingError(f"the model has no layer {min(unknown)}")
    for node in model.graph.node:
        norms += node.op_type == NORM
        if node.op_type == "MatMul" and norms and (norms - 1) // 2 in wanted:
            found.append(node.name)
    return found


def halve_weights(fp32: Path, out: Path) -> None:
    """Write the ONNX model `fp32` to `out` with its matrices in float16, half the size; it computes in float32 as before."""
    model = onnx.load(fp32)
    large = [weights for weights in model.graph.initializer if _is_large(weights)]
    casts = []
    for weights in large:
        name = weights.name
        half = numpy_helper.from_array(_to_half(weights), f"{name}_half")
        casts.append(helper.make_node("Cast", [half.name], [name], f"{name}_widened", to=TensorProto.FLOAT))
        weights.CopyFrom(half)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out)


def as_variant(path: Path, variant: Variant, rows: Callable[[], Sequence[Sequence[int]]]) -> None:
    """Turn the fp32 ONNX model at `path` into the file of the variant; `rows` gives the texts that int8 is calibrated on."""
    if variant is Variant.FP16:
        halve_weights(path, path)
    elif variant is Variant.INT8:
        quantise(path, path, rows())


def _nncf() -> Any:
    """NNCF takes seconds to import, and tells its makers of each run unless it is told that nobody is there to tell of."""
    os.environ.setdefault("NNCF_CI", "1")
    import nncf  # type: ignore[import-untyped] # noqa: PLC0415 - see above

    return nncf


def _advanced(nncf: Any, how: Int8) -> Any:
    return nncf.AdvancedQuantizationParameters(
        overflow_fix=nncf.OverflowFix.ENABLE if how.saturation_safe else nncf.OverflowFix.DISABLE,
        smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=how.alpha if how.alpha >= 0 else -1),
    )


def _spread(rows: Sequence[Sequence[int]], count: int) -> list[Sequence[int]]:
    """So many rows, evenly over all: neither the first source alone nor the shortest texts."""
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)
    return [rows[place] for place in places.tolist()]


def _inputs(rows: Iterable[Sequence[int]]) -> Iterator[dict[str, Ids]]:
    for row in rows:
        bucket = next((bucket for bucket in BUCKETS if len(row) <= bucket), len(row))
        yield dict(zip(INPUTS, pad([row], bucket), strict=True))


def _is_large(weights: TensorProto) -> bool:
    return weights.data_type == TensorProto.FLOAT and int(np.prod(weights.dims)) >= HALVED_FROM


def _to_half(weights: TensorProto) -> Any:
    values = numpy_helper.to_array(weights)
    if np.abs(values).max() > np.finfo(np.float16).max:
        raise TrainingError(f"{weights.name} does not fit half precision")
    return values.astype(np.float16)


@contextmanager
def _quiet() -> Iterator[None]:
    """NNCF tells of each pass and of options of its own; its progress bars belong where ours are, or --json is none."""
    logger = logging.getLogger("nncf")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        logger.setLevel(level)
