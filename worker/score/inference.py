"""Keep the model busy: a bounded number of batches in flight, failed ones tried again after a pause."""

import random
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from worker.errors import RetryableError
from worker.ports import Model
from worker.score.batching import Batch, Batcher, pad

log = structlog.get_logger(__name__)
T = TypeVar("T")
_MAX_PAUSE_S = 5.0


class InferenceLimits(msgspec.Struct, frozen=True):
    """At most `in_flight` batches at the model; `pad_id` fills the space behind a text's tokens."""

    in_flight: int
    pad_id: int


class _Answer(msgspec.Struct, Generic[T], frozen=True):
    epoch: int
    batch: Batch[T]
    logits: "Future[NDArray[np.float32]]"


class Inference(Generic[T]):
    """Sends batches to the model and hands back the answers, on the caller's thread.

    A model that fails is left alone for a while, 0.1 s doubling to 5 s with jitter, and the batch is sent again: a batch is
    never dropped but by `clear`.
    """

    def __init__(self, model: Model, batcher: Batcher[T], limits: InferenceLimits, monotonic: Callable[[], float]) -> None:
        self._model = model
        self._batcher = batcher
        self._limits = limits
        self._monotonic = monotonic
        self._answers: SimpleQueue[_Answer[T]] = SimpleQueue()
        self._retries: deque[Batch[T]] = deque()
        self._in_flight = 0
        self._epoch = 0
        self._submit_after = 0.0
        self.failures = 0
        """Failures since the last answer."""

    def dispatch(self) -> None:
        """Send every batch that is due, as far as there is room in flight."""
        now = self._monotonic()
        while now >= self._submit_after and self._in_flight < self._limits.in_flight:
            batch = self._retries.popleft() if self._retries else self._batcher.take(now * 1000, idle=self._in_flight == 0)
            if batch is None:
                return
            self._submit(batch)

    def collect(self, timeout_s: float) -> Iterator[tuple[Batch[T], NDArray[np.float32]]]:
        """Yield the batches that have come back with their logits (texts, labels); wait for the first for `timeout_s`."""
        try:
            answer = self._answers.get(timeout=timeout_s) if timeout_s > 0 else self._answers.get_nowait()
            while True:
                self._in_flight -= 1
                if answer.epoch == self._epoch and (logits := self._logits(answer)) is not None:
                    yield answer.batch, logits
                answer = self._answers.get_nowait()
        except Empty:
            return

    def clear(self) -> None:
        """Drop what waits and what is in flight; answers that still come are ignored."""
        self._epoch += 1
        self._batcher.clear()
        self._retries.clear()

    def _submit(self, batch: Batch[T]) -> None:
        self._in_flight += 1
        epoch = self._epoch
        logits = self._model.submit(pad(batch, self._limits.pad_id))
        logits.add_done_callback(lambda done: self._answers.put(_Answer(epoch, batch, done)))

    def _logits(self, answer: _Answer[T]) -> NDArray[np.float32] | None:
        try:
            logits = answer.logits.result()
        except RetryableError as error:
            self._back_off(answer.batch, error)
            return None
        if self.failures:
            log.info("the model answers again", after_failures=self.failures)
        self.failures = 0
        return logits

    def _back_off(self, batch: Batch[T], error: RetryableError) -> None:
        pause_s = min(_MAX_PAUSE_S, 0.1 * 2 ** min(self.failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
        self.failures += 1
        self._retries.append(batch)
        self._submit_after = self._monotonic() + pause_s
        log.warning("the model failed, trying again", error=str(error), failures=self.failures, pause_s=round(pause_s, 2))
