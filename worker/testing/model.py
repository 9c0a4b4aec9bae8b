"""A model without a network: logits as a pure function of each text's own tokens."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import msgspec
import numpy as np
from numpy.typing import NDArray

from worker.errors import ContractError, ModelError, TidingsError
from worker.messages import LABELS, ModelRef
from worker.ports import ModelInfo, TokenBatch
from worker.score.contract import INPUTS, AnyContract, Contract, ModelIdentity, NamedFile, Temperature, batch_problem

Logits = NDArray[np.float32]
LogitsOf = Callable[[Sequence[int]], Sequence[float]]
FailureOf = Callable[[int, TokenBatch], TidingsError | None]
HangsOf = Callable[[int, TokenBatch], bool]

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
        model=ModelIdentity(
            name=REF.name,
            version=REF.version,
            base="fake",
            adapter_sha256=_DIGEST,
            onnx_sha256=_DIGEST,
            precision="fp32",
            opset=17,
        ),
        labels=LABELS,
        inputs=INPUTS,
        output="logits",
        max_length=64,
        buckets=(16, 32, 64),
        max_batch_size=64,
        pad_id=0,
        tokenizer=NamedFile("tokenizer.json", _DIGEST),
        calibration=Temperature("temperature", 1.0),
    )


def info_of(contract: AnyContract) -> ModelInfo:
    """Return what a server says of a model that keeps the contract."""
    return ModelInfo(
        name=contract.model.name,
        versions=(contract.model.version,),
        platform="fake",
        max_batch_size=contract.max_batch_size,
        inputs=dict.fromkeys(contract.inputs, ("INT64", (-1,))),
        outputs={name: ("FP32", (width,)) for name, width in contract.outputs.items()},
        server="in memory",
    )


INFO = info_of(contract())
"""What a `FakeModel` says of itself unless told otherwise."""


class FakeModel:
    """Answers at once, or when told to; keeps `worker.ports.Model`, its batch limit included.

    Args:
        logits: one text's token ids, without padding, to its logits.
        failure: the number of the call, from 0, and its batch to the error it ends in, or None.
        hangs: the number of the call and its batch to whether it gets no answer: `expire` ends it at its deadline.
        manual: answer only on `release`; gives a test the order of answers.
        info: what `info` returns.

    Attributes:
        shapes: (texts, tokens) of every batch submitted, in order.
        logits, failure, hangs: as above; a test may change them, as a server may be replaced.
        timeout_s: when a call that hangs fails, by `monotonic`, the clock in seconds; it stands still unless a test sets one.
    """

    def __init__(
        self,
        logits: LogitsOf = hashed_logits,
        *,
        failure: FailureOf = lambda _call, _batch: None,
        hangs: HangsOf = lambda _call, _batch: False,
        manual: bool = False,
        info: ModelInfo = INFO,
    ) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.logits, self.failure, self.hangs = logits, failure, hangs
        self.timeout_s = 10.0
        self.monotonic: Callable[[], float] = lambda: 0.0
        self._manual = manual
        self._info = info
        self._lock = threading.Lock()
        self._closed = False
        self._waiting: list[_Call] = []
        self._hanging: list[_Call] = []

    @property
    def waiting(self) -> int:
        """How many batches are in flight."""
        return len(self._waiting)

    def info(self) -> ModelInfo:
        """Say what the constructor was told."""
        if self._closed:
            raise ModelError("unavailable", "the fake model was closed")
        return self._info

    def submit(self, batch: TokenBatch) -> "Future[Logits]":
        """See `worker.ports.Model`."""
        with self._lock:
            call = _Call(len(self.shapes), batch, Future(), self.monotonic() + self.timeout_s)
            self.shapes.append(batch.input_ids.shape)
            queue = None if self._closed else self._queue(call)
            if queue is not None:
                queue.append(call)
        if queue is None:
            self._answer(call)
        return call.future

    def release(self, index: int = 0) -> None:
        """Answer one of the batches in flight, by default the oldest."""
        self._answer(self._waiting.pop(index))

    def expire(self) -> None:
        """Fail the calls that hang and whose deadline has come."""
        due = [call for call in self._hanging if self.monotonic() >= call.deadline_s]
        self._hanging = [call for call in self._hanging if call not in due]
        for call in due:
            call.future.set_exception(ModelError("no_answer", f"the fake model did not answer within {self.timeout_s:g} s"))

    def close(self) -> None:
        """Fail what is in flight and everything after."""
        with self._lock:
            self._closed = True
            abandoned, self._waiting, self._hanging = [*self._waiting, *self._hanging], [], []
        for call in abandoned:
            self._answer(call)

    def _queue(self, call: "_Call") -> "list[_Call] | None":
        if self.hangs(call.number, call.batch):
            return self._hanging
        return self._waiting if self._manual else None

    def _answer(self, call: "_Call") -> None:
        error = self._error(call)
        if error:
            call.future.set_exception(error)
        else:
            call.future.set_result(self._run(call.batch))

    def _error(self, call: "_Call") -> TidingsError | None:
        if self._closed:
            return ModelError("unavailable", "the fake model was closed")
        if problem := batch_problem(call.batch):
            return ContractError(problem)
        if len(call.batch.input_ids) > self._info.max_batch_size:
            detail = f"at most {self._info.max_batch_size} texts, got {len(call.batch.input_ids)}"
            return ModelError("refused", detail)
        return self.failure(call.number, call.batch)

    def _run(self, batch: TokenBatch) -> Logits:
        rows = zip(batch.input_ids, batch.attention_mask, strict=True)
        return np.array([self.logits(ids[mask == 1].tolist()) for ids, mask in rows], dtype=np.float32)


class _Call(msgspec.Struct, eq=False):
    number: int
    batch: TokenBatch
    future: "Future[Logits]"
    deadline_s: float
