"""Triton's `onnxruntime` and `openvino` backends in Python, for the local stack: the same model repository, no NVIDIA image.

Triton loads this file for every model with `backend: "onnxruntime"` or `"openvino"`, because the PyPI build of Triton carries
the Python backend only ("Python-based backends",
https://github.com/triton-inference-server/backend/blob/main/docs/python_based_backends.md). Both run on the CPU; they differ
by the `session.py` that lies beside this file in the folder Triton is shown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from merging import Array, batch_size, group_by_shape, merge, split  # type: ignore[import-not-found]
from session import (  # type: ignore[import-not-found]
    BACKEND,
    RUN_ERRORS,
    ConfigError,
    can_batch,
    describe,
    open_session,
)

_DEFAULT_MAX_BATCH_SIZE = 4  # what the official backend fills in when the configuration names none
_RUN_ERRORS = (*RUN_ERRORS, ValueError)


class TritonPythonModel:
    """One instance of one model: Triton starts a process per entry of `instance_group`."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Fill in what `config.pbtxt` leaves out, as the official backend does: tensors, batch size, batching."""
        config = auto_complete_model_config.as_dict()
        version_dirs = _version_dirs(Path(pb_utils.get_model_dir()))
        if not version_dirs or (config["input"] and config["output"]):
            return auto_complete_model_config
        session = open_session(version_dirs[-1].parent, version_dirs[-1].name, config)
        if not config["max_batch_size"] and not config["input"] and can_batch(session):
            auto_complete_model_config.set_max_batch_size(_DEFAULT_MAX_BATCH_SIZE)
            auto_complete_model_config.set_dynamic_batching()
        batched = auto_complete_model_config.as_dict()["max_batch_size"] > 0
        for tensor in session.get_inputs():
            auto_complete_model_config.add_input(describe(tensor, batched=batched))
        for tensor in session.get_outputs():
            auto_complete_model_config.add_output(describe(tensor, batched=batched))
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Open the session.

        Args:
            args: Triton's strings: `model_config` (JSON), `model_repository` (the model's folder), `model_version`,
                `model_instance_kind`.

        Raises:
            TritonModelException: the model cannot be served as configured; Triton shows the message and stays up.
        """
        config = json.loads(args["model_config"])
        if args["model_instance_kind"] == "GPU":
            raise pb_utils.TritonModelException(f"the local {BACKEND} backend runs on the CPU: use KIND_CPU or KIND_AUTO")
        try:
            self._session = open_session(Path(args["model_repository"]), args["model_version"], config)
        except ConfigError as error:
            raise pb_utils.TritonModelException(str(error)) from error
        self._batched = config["max_batch_size"] > 0
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request, in order; one that fails gets an error of its own and spoils no other."""
        responses: dict[int, Any] = {}
        inputs: dict[int, dict[str, Array]] = {}
        for index, request in enumerate(requests):
            if request.is_cancelled():
                responses[index] = _failed("the request was cancelled", pb_utils.TritonError.CANCELLED)
            else:
                inputs[index] = self._read(request)
        for group in self._groups(inputs):
            answers = self._answer([requests[index] for index in group], [inputs[index] for index in group])
            responses.update(zip(group, answers, strict=True))
        return [responses[index] for index in range(len(requests))]

    def _read(self, request: Any) -> dict[str, Array]:
        tensors = ((name, pb_utils.get_input_tensor_by_name(request, name)) for name in self._inputs)
        return {name: tensor.as_numpy() for name, tensor in tensors if tensor is not None}

    def _groups(self, inputs: dict[int, dict[str, Array]]) -> list[list[int]]:
        if not self._batched:
            return [[index] for index in inputs]
        groups: list[list[int]] = group_by_shape(inputs.items())
        return groups

    def _answer(self, requests: Sequence[Any], inputs: Sequence[dict[str, Array]]) -> list[Any]:
        try:
            outputs = self._run(inputs)
        except _RUN_ERRORS as error:
            if len(requests) == 1:
                return [_failed(f"{type(error).__name__}: {error}")]
            pairs = zip(requests, inputs, strict=True)
            return [self._answer([request], [tensors])[0] for request, tensors in pairs]
        return [_succeeded(request, tensors) for request, tensors in zip(requests, outputs, strict=True)]

    def _run(self, inputs: Sequence[dict[str, Array]]) -> list[dict[str, Array]]:
        values = self._session.run(self._outputs, merge(inputs))
        outputs: dict[str, Array] = dict(zip(self._outputs, values, strict=True))
        if not self._batched:
            return [outputs]
        parts: list[dict[str, Array]] = split(outputs, [batch_size(tensors) for tensors in inputs])
        return parts


def _version_dirs(model_dir: Path) -> list[Path]:
    """The numbered version folders, oldest first."""
    folders = (path for path in model_dir.iterdir() if path.is_dir() and path.name.isdigit())
    return sorted(folders, key=lambda path: int(path.name))


def _succeeded(request: Any, tensors: dict[str, Array]) -> Any:
    wanted = set(request.requested_output_names())
    return pb_utils.InferenceResponse(
        output_tensors=[pb_utils.Tensor(name, array) for name, array in tensors.items() if name in wanted]
    )


def _failed(message: str, code: Any = None) -> Any:
    error = pb_utils.TritonError(message) if code is None else pb_utils.TritonError(message, code)
    return pb_utils.InferenceResponse(output_tensors=[], error=error)
