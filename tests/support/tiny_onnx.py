"""A very small classifier with the inputs and the output of the real one: embeddings, their masked mean, one linear layer."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from worker.ports import TokenBatch

VOCABULARY = 512
_WIDTH = 16

_random = np.random.default_rng(2)
EMBEDDINGS = _random.normal(size=(VOCABULARY, _WIDTH)).astype(np.float32)
WEIGHTS = _random.normal(size=(_WIDTH, 3)).astype(np.float32)

CONFIG = """name: "sentiment"
backend: "onnxruntime"
max_batch_size: 64
input [
  { name: "input_ids" data_type: TYPE_INT64 dims: [ -1 ] },
  { name: "attention_mask" data_type: TYPE_INT64 dims: [ -1 ] }
]
output [ { name: "logits" data_type: TYPE_FP32 dims: [ 3 ] } ]
dynamic_batching { max_queue_delay_microseconds: 1000 }
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
"""config.pbtxt of a repository that serves it."""


ENCODER_CONFIG = CONFIG.replace("sentiment", "embedding").replace('"logits"', '"vector"').replace("[ 3 ]", f"[ {_WIDTH} ]")
"""config.pbtxt of one that serves `tiny_encoder`."""


def tiny_encoder() -> bytes:
    """Return the ONNX file of the model that stops at the mean, and gives it the length 1."""
    return _model("vector", helper.make_node("LpNormalization", ["mean"], ["vector"], axis=1, p=2), _WIDTH)


def tiny_model(scale: float = 1.0) -> bytes:
    """Return the ONNX file; `scale` multiplies its logits: it is surer of itself, or the other way round."""
    return _model("logits", helper.make_node("MatMul", ["mean", "weights"], ["logits"]), 3, scale)


def _model(output: str, last: onnx.NodeProto, width: int, scale: float = 1.0) -> bytes:
    constants = {
        "embeddings": EMBEDDINGS,
        "weights": WEIGHTS * np.float32(scale),
        "last": np.array([-1]),
        "tokens": np.array([1]),
    }
    nodes = [
        helper.make_node("Gather", ["embeddings", "input_ids"], ["embedded"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["embedded", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["column", "tokens"], ["count"], keepdims=0),
        helper.make_node("Div", ["total", "count"], ["mean"]),
        last,
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "t"]) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["b", width])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def expected_logits(batch: TokenBatch) -> NDArray[np.float32]:
    """Return what the model should say, computed with numpy alone."""
    mask = batch.attention_mask[:, :, None].astype(np.float32)
    mean: NDArray[np.float32] = (EMBEDDINGS[batch.input_ids] * mask).sum(axis=1) / mask.sum(axis=1)
    return mean @ WEIGHTS


def write_repository(folder: Path) -> Path:
    """Lay the model out as Triton's model repository and return `folder`."""
    version = folder / "sentiment" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(tiny_model())
    (folder / "sentiment" / "config.pbtxt").write_text(CONFIG)
    return folder
