"""Two models that are asked the same as if they were one: each batch goes to both, and their answers stand side by side."""

import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from worker.ports import Model, ModelInfo, TokenBatch

Answers = NDArray[np.float32]


class PairedModel:
    """The `worker.ports.Model` of two; an answer has the columns of the first and, behind them, those of the second.

    A batch fails if either fails on it, so that both are tried again together: what is refused by one is refused.
    """

    def __init__(self, first: Model, second: Model) -> None:
        self._first = first
        self._second = second

    def info(self) -> ModelInfo:
        """Ask for the first; whoever opened the second knows whom to ask for that."""
        return self._first.info()

    def submit(self, batch: TokenBatch) -> "Future[Answers]":
        """Ask both; the future ends when both have, so that no more is in flight than the caller knows of."""
        pair = _Pair(self._first.submit(batch), self._second.submit(batch))
        return pair.joined

    def close(self) -> None:
        """Drop both connections."""
        self._first.close()
        self._second.close()


class _Pair:
    def __init__(self, *parts: "Future[Answers]") -> None:
        self.joined: Future[Answers] = Future()
        self._parts = parts
        self._left = len(parts)
        self._lock = threading.Lock()
        for part in parts:
            part.add_done_callback(self._done)

    def _done(self, _part: "Future[Answers]") -> None:
        with self._lock:
            self._left -= 1
            if self._left:
                return
        error = next((error for part in self._parts if (error := part.exception())), None)
        with suppress(InvalidStateError):
            if error is None:
                self.joined.set_result(np.concatenate([part.result() for part in self._parts], axis=1))
            else:
                self.joined.set_exception(error)
