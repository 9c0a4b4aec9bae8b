"""A model without a network: logits as a pure function of each text's own tokens."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import msgspec
import numpy as np
from numpy.typing import NDArray

from worker.errors import ContractError, RetryableError, TidingsError
from worker.messages import LABELS, ModelRef
from worker.ports import ModelInfo, TokenBatch
from worker.score.contract import INPUTS, Contract, ModelIdentity, Temperature, TokenizerFile, batch_problem

Logits = NDArray[np.float32]
LogitsOf = Callable[[Sequence[int]], Sequence[float]]
FailureOf = Callable[[int, TokenBatch], TidingsError | None]

REF = ModelRef("sentiment", "1")
_DIGEST = "0" * 64


def hashed_logits(ids: Sequence[int]) -> list[float]:
    """Return three logits in [-4, 4) that depend on every one of the token ids, and are the same in every process."""
    digest = hashlib.blake2b(np.asarray(ids, dtype="<i8").tobytes(), digest_size=6).digest()
    return [int.from_bytes(digest[at : at + 2], "little") / 8192 - 4 for at in (0, 2, 4)]


def contract() -> Contract:
    """Return a contract that `FakeModel` keeps; change it with `msgspec.structs.replace`."""
    return Contract(
        schema_version=1,
        model=ModelIdentity(REF.name, REF.version, "fake", _DIGEST, _DIGEST, "fp32", 17),
        labels=LABELS,
        inputs=INPUTS,
        output="logits",
        max_length=64,
        buckets=(16, 32, 64),
        max_batch_size=64,
        pad_id=0,
        tokenizer=TokenizerFile("tokenizer.json", _DIGEST),
        calibration=Temperature("temperature", 1.0),
    )


INFO = ModelInfo(
    name=REF.name,
    versions=(REF.version,),
    platform="fake",
    max_batch_size=64,
    inputs=dict.fromkeys(INPUTS, ("INT64", (-1,))),
    outputs={"logits": ("FP32", (len(LABELS),))},
    server="in memory",
)
"""What a `FakeModel` says of itself unless told otherwise."""


class FakeModel:
    """Answers at once, or when told to; keeps `worker.ports.Model`, its batch limit included.

    Args:
        logits: one text's token ids, without padding, to its logits.
        failure: the number of the call, from 0, and its batch to the error it ends in, or None.
        manual: answer only on `release`; gives a test the order of answers.
        info: what `info` returns.

    Attributes:
        shapes: (texts, tokens) of every batch submitted, in order.
    """

    def __init__(
        self,
        logits: LogitsOf = hashed_logits,
        *,
        failure: FailureOf = lambda _call, _batch: None,
        manual: bool = False,
        info: ModelInfo = INFO,
    ) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self._logits_of = logits
        self._failure_of = failure
        self._manual = manual
        self._info = info
        self._lock = threading.Lock()
        self._closed = False
        self._waiting: list[_Call] = []

    @property
    def waiting(self) -> int:
        """How many batches are in flight."""
        return len(self._waiting)

    def info(self) -> ModelInfo:
        """Say what the constructor was told."""
        if self._closed:
            raise RetryableError("the fake model was closed")
        return self._info

    def submit(self, batch: TokenBatch) -> "Future[Logits]":
        """See `worker.ports.Model`."""
        with self._lock:
            call = _Call(len(self.shapes), batch, Future())
            self.shapes.append(batch.input_ids.shape)
            held = self._manual and not self._closed
            if held:
                self._waiting.append(call)
        if not held:
            self._answer(call)
        return call.future

    def release(self, index: int = 0) -> None:
        """Answer one of the batches in flight, by default the oldest."""
        self._answer(self._waiting.pop(index))

    def close(self) -> None:
        """Fail what is in flight and everything after."""
        with self._lock:
            self._closed = True
            abandoned, self._waiting = self._waiting, []
        for call in abandoned:
            self._answer(call)

    def _answer(self, call: "_Call") -> None:
        error = self._error(call)
        if error:
            call.future.set_exception(error)
        else:
            call.future.set_result(self._run(call.batch))

    def _error(self, call: "_Call") -> TidingsError | None:
        if self._closed:
            return RetryableError("the fake model was closed")
        problem = batch_problem(call.batch)
        if not problem and len(call.batch.input_ids) > self._info.max_batch_size:
            problem = f"at most {self._info.max_batch_size} texts, got {len(call.batch.input_ids)}"
        return ContractError(problem) if problem else self._failure_of(call.number, call.batch)

    def _run(self, batch: TokenBatch) -> Logits:
        rows = zip(batch.input_ids, batch.attention_mask, strict=True)
        return np.array([self._logits_of(ids[mask == 1].tolist()) for ids, mask in rows], dtype=np.float32)


class _Call(msgspec.Struct):
    number: int
    batch: TokenBatch
    future: "Future[Logits]"
