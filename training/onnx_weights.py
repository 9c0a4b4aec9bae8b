"""A BERT that was exported to ONNX, turned back into the weights that transformers loads.

The exporter keeps the names of embeddings, biases and layer norms; the matrix of a linear layer becomes a transposed
constant named by number, and only the node that multiplies by it still tells whose it was:
`/encoder/layer.0/attention/self/query/MatMul` is `encoder.layer.0.attention.self.query.weight`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors.numpy import save_file

from training.errors import TrainingError

_ENDINGS = (".weight", ".bias")


def write_weights(model: Path, into: Path) -> int:
    """Write the weights in the ONNX file `model` as safetensors, named as transformers' `BertModel` names them; count them.

    Raises:
        TrainingError: the file has no linear layer that can be told by its node's name.
    """
    weights = dict(_weights(onnx.load(model).graph))
    if not any(name.startswith("encoder.layer.") and name.endswith("query.weight") for name in weights):
        raise TrainingError(f"{model.name} is not an export of a BERT whose layers can be told by their names")
    save_file(weights, into, {"format": "pt"})
    return len(weights)


def _weights(graph: onnx.GraphProto) -> Iterator[tuple[str, NDArray[np.float32]]]:
    constants = {constant.name: constant for constant in graph.initializer}
    for name, constant in constants.items():
        if name.endswith(_ENDINGS):
            yield name, numpy_helper.to_array(constant)
    for node in graph.node:
        matrix = next((name for name in node.input if name in constants), None)
        if node.op_type == "MatMul" and matrix is not None:
            owner = node.name.strip("/").removesuffix("/MatMul").replace("/", ".")
            yield f"{owner}.weight", np.ascontiguousarray(numpy_helper.to_array(constants[matrix]).T)
