"""Open an ONNX Runtime session the way Triton's own `onnxruntime` backend would for the same `config.pbtxt`.

The parameters and their defaults follow https://github.com/triton-inference-server/onnxruntime_backend ("Model Config
Options"). This file runs inside Triton's Python environment and imports nothing of Tidings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort  # type: ignore[import-untyped]
from onnxruntime.capi.onnxruntime_pybind11_state import (  # type: ignore[import-untyped]
    Fail,
    InvalidArgument,
    RuntimeException,
)

BACKEND = "onnxruntime"
RUN_ERRORS = (Fail, InvalidArgument, RuntimeException)
"""What a run raises for tensors that the model cannot take."""
DEFAULT_MODEL_FILENAME = "model.onnx"

_GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    0: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}
_EXECUTION_MODES = {0: ort.ExecutionMode.ORT_SEQUENTIAL, 1: ort.ExecutionMode.ORT_PARALLEL}
_TRITON_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(double)": "TYPE_FP64",
    "tensor(float)": "TYPE_FP32",
    "tensor(float16)": "TYPE_FP16",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(string)": "TYPE_STRING",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(uint8)": "TYPE_UINT8",
}


class ConfigError(ValueError):
    """The model's config.pbtxt asks for something this backend cannot give."""


def integer_parameter(config: Mapping[str, Any], key: str, default: int) -> int:
    """Read `parameters { key: ... value: { string_value: "2" } }` as an integer.

    Raises:
        ConfigError: the value is not an integer; the message names the key.
    """
    text = config.get("parameters", {}).get(key, {}).get("string_value", "")
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f'parameter "{key}" must be an integer, got "{text}"') from None


def _choose(choices: Mapping[int, Any], value: int, what: str) -> Any:
    if value not in choices:
        raise ConfigError(f"{what} must be one of {sorted(choices)}, got {value}")
    return choices[value]


def session_options(config: Mapping[str, Any]) -> ort.SessionOptions:
    """Turn a Triton model configuration (as a dict) into ONNX Runtime session options.

    Raises:
        ConfigError: a parameter has a value outside what the backend documents.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = integer_parameter(config, "intra_op_thread_count", 0) or _fair_share(config)
    options.inter_op_num_threads = integer_parameter(config, "inter_op_thread_count", 0)
    mode = integer_parameter(config, "execution_mode", 0)
    options.execution_mode = _choose(_EXECUTION_MODES, mode, 'parameter "execution_mode"')
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    options.graph_optimization_level = _choose(_GRAPH_LEVELS, level, "optimization.graph.level")
    # Idle threads that spin take the cores from Kafka, Redis and the worker, which share this machine: beside two busy
    # processes a batch of 2 texts took 297 ms with spinning and 28 ms without. A server of its own may well spin.
    options.add_session_config_entry("session.intra_op.allow_spinning", str(integer_parameter(config, "allow_spinning", 0)))
    options.enable_cpu_mem_arena = bool(integer_parameter(config, "enable_mem_arena", 1))
    options.enable_mem_pattern = bool(integer_parameter(config, "enable_mem_pattern", 1))
    return options


def _fair_share(config: Mapping[str, Any]) -> int:
    """Return an instance's share of the cores. The official backend gives every instance as many threads as there are cores.

    Threads of one batch wait for one another in each layer: beside a broker, two instances of one thread each did 1.5 times as
    many texts as one of two.
    """
    instances = sum(int(group.get("count") or 1) for group in config.get("instance_group", ()))
    return max(1, len(os.sched_getaffinity(0)) // max(1, instances))


def open_session(model_dir: Path, version: str, config: Mapping[str, Any]) -> ort.InferenceSession:
    """Load `<model_dir>/<version>/<default_model_filename>` on the CPU.

    Raises:
        ConfigError: the file is absent, or the configuration is out of range.
    """
    path = model_dir / version / (config.get("default_model_filename") or DEFAULT_MODEL_FILENAME)
    if not path.is_file():
        raise ConfigError(f"no ONNX model at {path}")
    return ort.InferenceSession(str(path), session_options(config), providers=["CPUExecutionProvider"])


def can_batch(session: ort.InferenceSession) -> bool:
    """True when every input and output leaves its first dimension open."""
    tensors = [*session.get_inputs(), *session.get_outputs()]
    return all(tensor.shape and not isinstance(tensor.shape[0], int) for tensor in tensors)


def describe(tensor: ort.NodeArg, *, batched: bool) -> dict[str, Any]:
    """Describe an ONNX input or output as Triton's ModelInput/ModelOutput dict: name, data_type, dims (-1 is open).

    Raises:
        ConfigError: the tensor's type has no Triton counterpart (a map or a sequence, say).
    """
    if tensor.type not in _TRITON_TYPES:
        raise ConfigError(f'tensor "{tensor.name}" has type {tensor.type}, which Triton cannot carry')
    shape = tensor.shape[1:] if batched else tensor.shape
    dims = [size if isinstance(size, int) else -1 for size in shape]
    return {"name": tensor.name, "data_type": _TRITON_TYPES[tensor.type], "dims": dims}
