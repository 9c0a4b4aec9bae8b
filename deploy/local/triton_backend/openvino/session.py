"""Compile an ONNX model with OpenVINO the way Triton's own `openvino` backend would for the same `config.pbtxt`.

The parameters follow https://github.com/triton-inference-server/openvino_backend ("Parameters"). What `session.py` of the
`onnxruntime` backend offers, this one does too. It runs inside Triton's Python environment and imports nothing of Tidings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov  # type: ignore[import-untyped]

BACKEND = "openvino"
RUN_ERRORS = (RuntimeError,)
"""What a run raises for tensors that the model cannot take."""
DEFAULT_MODEL_FILENAME = "model.xml"

_TRITON_TYPES = {
    "boolean": "TYPE_BOOL",
    "f16": "TYPE_FP16",
    "f32": "TYPE_FP32",
    "f64": "TYPE_FP64",
    "i8": "TYPE_INT8",
    "i16": "TYPE_INT16",
    "i32": "TYPE_INT32",
    "i64": "TYPE_INT64",
    "u8": "TYPE_UINT8",
    "u16": "TYPE_UINT16",
    "u32": "TYPE_UINT32",
    "u64": "TYPE_UINT64",
}
_NUMBERS = ("INFERENCE_NUM_THREADS", "COMPILATION_NUM_THREADS")
_HINTS = ("LATENCY", "THROUGHPUT")


class ConfigError(ValueError):
    """The model's config.pbtxt asks for something this backend cannot give."""


@dataclass(frozen=True)
class Tensor:
    """An input or output of the model; an open dimension is -1."""

    name: str
    type: str
    shape: tuple[int, ...]


class Session:
    """A compiled model that answers by the names of its tensors."""

    def __init__(self, model: ov.CompiledModel) -> None:
        self._model = model

    def get_inputs(self) -> list[Tensor]:
        """Return the inputs."""
        return [_tensor(port) for port in self._model.inputs]

    def get_outputs(self) -> list[Tensor]:
        """Return the outputs."""
        return [_tensor(port) for port in self._model.outputs]

    def run(self, names: Sequence[str], inputs: Mapping[str, npt.NDArray[np.generic]]) -> list[npt.NDArray[np.generic]]:
        """Return the named outputs.

        Raises:
            ValueError: an input is missing, for which OpenVINO would take what the last run left.
            RuntimeError: the model cannot take the inputs.
        """
        if missing := sorted({tensor.name for tensor in self.get_inputs()} - set(inputs)):
            raise ValueError(f"the request has no input {', '.join(missing)}")
        answer = self._model(dict(inputs))
        return [answer[name] for name in names]


def options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a Triton model configuration (as a dict) into OpenVINO's properties.

    Without `HINT_BF16` the precision is stated, not left to the processor: the same model gives the same answers everywhere.

    Raises:
        ConfigError: a parameter has a value outside what the backend documents.
    """
    given = {key: value.get("string_value", "") for key, value in config.get("parameters", {}).items()}
    chosen: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if _yes(given, "HINT_BF16") else "f32",
        "PERFORMANCE_HINT": _one_of(given, "PERFORMANCE_HINT", _HINTS),
    }
    for key in _NUMBERS:
        if key in given:
            chosen[key] = _number(given, key)
    if (streams := given.get("NUM_STREAMS", "")) != "":
        chosen["NUM_STREAMS"] = streams if streams in {"AUTO", "NUMA"} else _number(given, "NUM_STREAMS")
    return chosen


def open_session(model_dir: Path, version: str, config: Mapping[str, Any]) -> Session:
    """Compile `<model_dir>/<version>/<default_model_filename>` for the CPU.

    Raises:
        ConfigError: the file is absent or not a model, or the configuration is out of range.
    """
    path = model_dir / version / (config.get("default_model_filename") or DEFAULT_MODEL_FILENAME)
    if not path.is_file():
        raise ConfigError(f"no OpenVINO or ONNX model at {path}")
    properties = options(config)
    try:
        return Session(ov.Core().compile_model(str(path), "CPU", properties))
    except RuntimeError as error:
        raise ConfigError(f"OpenVINO cannot load {path}: {error}") from error


def can_batch(session: Session) -> bool:
    """True when every input and output leaves its first dimension open."""
    tensors = [*session.get_inputs(), *session.get_outputs()]
    return all(tensor.shape and tensor.shape[0] == -1 for tensor in tensors)


def describe(tensor: Tensor, *, batched: bool) -> dict[str, Any]:
    """Describe an input or output as Triton's ModelInput/ModelOutput dict: name, data_type, dims (-1 is open).

    Raises:
        ConfigError: the tensor's type has no Triton counterpart.
    """
    if tensor.type not in _TRITON_TYPES:
        raise ConfigError(f'tensor "{tensor.name}" has type {tensor.type}, which Triton cannot carry')
    shape = tensor.shape[1:] if batched else tensor.shape
    return {"name": tensor.name, "data_type": _TRITON_TYPES[tensor.type], "dims": list(shape)}


def _tensor(port: Any) -> Tensor:
    shape = tuple(-1 if size.is_dynamic else size.get_length() for size in port.partial_shape)
    return Tensor(port.any_name, port.element_type.to_string(), shape)


def _yes(given: Mapping[str, str], key: str) -> bool:
    text = given.get(key, "NO").upper()
    if text not in {"YES", "NO"}:
        raise ConfigError(f'parameter "{key}" must be YES or NO, got "{given[key]}"')
    return text == "YES"


def _one_of(given: Mapping[str, str], key: str, choices: Sequence[str]) -> str:
    text = given.get(key, choices[0]).upper()
    if text not in choices:
        raise ConfigError(f'parameter "{key}" must be one of {", ".join(choices)}, got "{given[key]}"')
    return text


def _number(given: Mapping[str, str], key: str) -> int:
    if not given[key].isdigit():
        raise ConfigError(f'parameter "{key}" must be a number, zero or more, got "{given[key]}"')
    return int(given[key])
