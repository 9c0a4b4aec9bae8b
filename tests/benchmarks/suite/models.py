"""The model alone: every engine that can run the exported file here, at every batch, on texts tokenised before and sorted."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.suite.machine import ROOT
from tests.benchmarks.suite.texts import some
from worker.ports import TokenBatch
from worker.score.contract import Contract, parse_contract
from worker.score.tokenizer import Tokenizer

REPOSITORY = ROOT / "triton_repo" / "sentiment"
Run = Callable[[TokenBatch], Any]
Rows = Sequence[Sequence[int]]


class Way(NamedTuple):
    """An engine, and how many texts it is given at once."""

    engine: str
    batch: int


def contract() -> Contract:
    """Return the shipped model's contract."""
    return parse_contract((REPOSITORY / "contract.json").read_bytes())


def onnx_file() -> Path:
    """Return where the exported model is."""
    return REPOSITORY / contract().model.version / "model.onnx"


def tokenised(count: int, start: int = 0) -> list[list[int]]:
    """Return the token ids of so many texts, in the order of the texts."""
    made = contract()
    return Tokenizer((REPOSITORY / made.tokenizer.file).read_bytes(), made.max_length).encode(some(count, start))


def engines() -> dict[str, Callable[[], Run]]:
    """Return what opens each engine that is installed, by its name; all cores, precision as exported."""
    found: dict[str, Callable[[], Run]] = {"onnxruntime": _onnxruntime, "onnxruntime-per-core": _onnxruntime_per_core}
    try:
        import openvino  # type: ignore[import-untyped] # noqa: F401, PLC0415 - an extra
    except ImportError:
        return found
    return {**found, "openvino": _openvino, "openvino-per-core": _openvino_per_core}


def _onnxruntime() -> Run:
    import onnxruntime as ort  # type: ignore[import-untyped] # noqa: PLC0415 - an extra

    session = ort.InferenceSession(onnx_file(), providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, _inputs(batch))[0]


class InFlight:
    """Sends batches, and waits for the oldest answer once so many are out."""

    def __init__(self, submit: Callable[[TokenBatch], Future[Any]], most: int) -> None:
        self._submit = submit
        self._most = most
        self._out: deque[Future[Any]] = deque()

    def __call__(self, batch: TokenBatch) -> None:
        """Send a batch, once there is room."""
        self._out.append(self._submit(batch))
        while len(self._out) >= self._most:
            self._out.popleft().result()

    def finish(self) -> None:
        """Wait for all that is still out."""
        while self._out:
            self._out.popleft().result()


def _onnxruntime_per_core() -> Run:
    """Each core has a batch of its own, so that none waits for another in every layer."""
    import onnxruntime as ort  # noqa: PLC0415 - an extra

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(onnx_file(), options, providers=["CPUExecutionProvider"])
    return _per_core([lambda batch: session.run(None, _inputs(batch))] * _cores())


def _per_core(runs: Sequence[Run]) -> InFlight:
    """Give each run a thread, and the next batch to whichever is free."""
    pool, free = ThreadPoolExecutor(len(runs)), SimpleQueue[Run]()
    for run in runs:
        free.put(run)

    def one(batch: TokenBatch) -> None:
        run = free.get()
        try:
            run(batch)
        finally:
            free.put(run)

    return InFlight(lambda batch: pool.submit(one, batch), len(runs) + 1)


def _inputs(batch: TokenBatch) -> dict[str, NDArray[np.int64]]:
    return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _openvino() -> Run:
    return _asking(_compiled({}).create_infer_request())


def _openvino_per_core() -> Run:
    """As many streams as cores, each with a thread of its own."""
    made = _compiled({"NUM_STREAMS": str(_cores()), "INFERENCE_NUM_THREADS": str(_cores())})
    return _per_core([_asking(made.create_infer_request()) for _ in range(_cores())])


def _asking(request: Any) -> Run:
    return lambda batch: request.infer(_inputs(batch))


def _compiled(hints: dict[str, str]) -> Any:
    import openvino as ov  # noqa: PLC0415 - an extra

    # In float32 unless the contract says otherwise: by itself OpenVINO takes bfloat16 where the processor has it.
    precision = "bf16" if contract().model.precision == "bf16" else "f32"
    return ov.Core().compile_model(onnx_file(), "CPU", {"INFERENCE_PRECISION_HINT": precision, **hints})


def sorted_batches(rows: Rows, size: int) -> list[TokenBatch]:
    """Sort by length and cut into batches, each padded to its longest: the least padding that there can be."""
    ordered = sorted(rows, key=len)
    return [padded(ordered[start : start + size], None) for start in range(0, len(ordered), size)]


def bucket_batches(rows: Rows, buckets: Sequence[int], tokens: int, texts: int) -> list[TokenBatch]:
    """Cut into the batches that a worker with a full topic makes."""
    ordered = sorted(rows, key=len)
    edges = np.asarray(buckets)
    return [
        padded(part, bucket)
        for bucket, group in groupby(ordered, key=lambda row: int(edges[np.searchsorted(edges, len(row))]))
        for part in _cut(list(group), max(1, min(texts, tokens // bucket)))
    ]


def _cut(rows: Rows, size: int) -> Iterator[Rows]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def padded(rows: Rows, length: int | None) -> TokenBatch:
    """Return rows as arrays, padded to a length, by default that of the longest."""
    width = length or max(map(len, rows))
    ids: NDArray[np.int64] = np.full((len(rows), width), contract_pad(), np.int64)
    mask = np.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, : len(row)], mask[place, : len(row)] = row, 1
    return TokenBatch(ids, mask)


def contract_pad() -> int:
    """Return the id that fills the space behind a text."""
    return _PAD


_PAD = contract().pad_id


def pace(run: Run, batches: Sequence[TokenBatch]) -> float:
    """Return how many texts a second the engine does."""
    began_s = time.perf_counter()
    for batch in batches:
        run(batch)
    if isinstance(run, InFlight):
        run.finish()
    return sum(len(batch.input_ids) for batch in batches) / (time.perf_counter() - began_s)


def waste(rows: Rows, buckets: Sequence[int]) -> float:
    """Return the share of token places that padding to these buckets fills."""
    lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
    edges = np.asarray(buckets)
    return float(1 - lengths.sum() / edges[np.searchsorted(edges, lengths)].sum())
