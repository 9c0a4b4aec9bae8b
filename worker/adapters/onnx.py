"""The model in this process, for a machine with no Triton; the one module that knows onnxruntime. Imported only when chosen."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors  # type: ignore[import-untyped]

from worker.errors import ContractError, ModelError, TidingsError
from worker.messages import ModelRef
from worker.ports import ModelInfo, TokenBatch
from worker.score.contract import INPUTS, batch_problem

Logits = NDArray[np.float32]

UNBOUNDED_BATCH = 2**31 - 1
"""What `info` gives as `max_batch_size`: here nothing but memory limits a batch."""

_DATATYPES = {"tensor(int64)": "INT64", "tensor(int32)": "INT32", "tensor(float)": "FP32", "tensor(float16)": "FP16"}
_UNREADABLE = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
_CLOSED = "the in-process model was closed"


class OnnxModel:
    """An ONNX file run on this machine's CPU; see `worker.ports.Model`.

    Args:
        path: model.onnx, as `tidings export` wrote it.
        ref: what the model is called; there is no server that could say so.
        threads: for one batch; by default one per core.
        in_flight: batches run at one time, the others wait their turn.
        outputs: names of the output tensors, from the contract; an answer has their columns side by side.

    Raises:
        ContractError: there is no such file, or it is no ONNX model.
    """

    def __init__(
        self,
        path: Path,
        ref: ModelRef,
        *,
        threads: int | None = None,
        in_flight: int = 1,
        outputs: Sequence[str] = ("logits",),
    ) -> None:
        self._session = _open(path, threads)
        self._ref = ref
        self._outputs = list(outputs)
        self._pool = ThreadPoolExecutor(in_flight, thread_name_prefix="onnx")
        self._closed = threading.Event()

    def info(self) -> ModelInfo:
        """Say what the file itself says."""
        return ModelInfo(
            name=self._ref.name,
            versions=(self._ref.version,),
            platform="onnxruntime_onnx",
            max_batch_size=UNBOUNDED_BATCH,
            inputs=_tensors(self._session.get_inputs()),
            outputs=_tensors(self._session.get_outputs()),
            server=f"onnxruntime {ort.__version__}, in process",
        )

    def submit(self, batch: TokenBatch) -> "Future[Logits]":
        """Start inference; the future raises ModelError: `refused` if the model fails on the batch, `unavailable` if closed."""
        problem = batch_problem(batch)
        if problem:
            return _failed(ContractError(problem))
        try:
            return self._pool.submit(self._run, batch)
        except RuntimeError:  # the pool's way to say that it was shut down
            return _failed(ModelError("unavailable", _CLOSED))

    def close(self) -> None:
        """Fail what waits, and wait for the batches that are running. May be repeated."""
        self._closed.set()
        self._pool.shutdown()

    def _run(self, batch: TokenBatch) -> Logits:
        if self._closed.is_set():
            raise ModelError("unavailable", _CLOSED)
        try:
            parts = self._session.run(self._outputs, {name: getattr(batch, name) for name in INPUTS})
        except (ort_errors.InvalidArgument, ValueError) as error:
            raise ModelError("refused", f"{self._ref.name} cannot take the batch: {_first_line(error)}") from error
        except (ort_errors.Fail, ort_errors.RuntimeException) as error:
            raise ModelError("refused", f"{self._ref.name} failed: {_first_line(error)}") from error
        result: Logits = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return result


def _open(path: Path, threads: int | None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or 0
    # Idle threads that spin take the cores from tokenising: on two busy cores, 150 to 166 texts per CPU second against 104 to
    # 117 with spinning (MiniLM-L6, 64 texts of 32 tokens, one batch at a time), and no faster by the clock.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except ort_errors.NoSuchFile as error:
        raise ContractError(f"{path} does not exist; `tidings export` makes it") from error
    except _UNREADABLE as error:
        raise ContractError(f"{path} is no model that ONNX Runtime can run: {_first_line(error)}") from error


def _tensors(tensors: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {tensor.name: (_DATATYPES.get(tensor.type, tensor.type), _dimensions(tensor.shape[1:])) for tensor in tensors}


def _dimensions(shape: Sequence[int | str | None]) -> tuple[int, ...]:
    """Give -1 for an open dimension, which ONNX names or leaves out."""
    return tuple(size if isinstance(size, int) else -1 for size in shape)


def _failed(error: TidingsError) -> "Future[Logits]":
    future: Future[Logits] = Future()
    future.set_exception(error)
    return future


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
