"""The score side's way with a failing model, over gRPC: what the server sees, and what becomes of each text."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]
import numpy as np
import pytest

from tests.support.kserve import Answer, Kserve, fails, logits_answer, row_sums, serving
from worker.adapters.triton import TritonModel
from worker.messages import ModelRef
from worker.score.batching import Batcher, BatchLimits, Tokenised
from worker.score.breaker import BreakerLimits
from worker.score.inference import Inference, InferenceLimits

REF = ModelRef("sentiment", "1")
LIMITS = BatchLimits(buckets=(8,), max_tokens=512, max_texts=16, deadline_ms=1)
POISON = 666
WAIT_S = 20
"""Far longer than anything here takes."""


class Bench:
    """An `Inference` over a real connection, with a clock that goes a tenth of a second with each look at it."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self.now_s = 0.0
        self.model = TritonModel(url, REF, timeout_s=timeout_s)
        self.batcher: Batcher[int] = Batcher(LIMITS)
        limits = InferenceLimits(2, 0, (1, 2, 3), max_attempts=3, breaker=BreakerLimits(5, 1.0, 0.1))
        self.inference = Inference(self.model, self.batcher, limits, self._look)
        self.answers: dict[int, float] = {}
        self.refused: dict[int, str] = {}

    def _look(self) -> float:
        self.now_s += 0.1
        return self.now_s

    def add(self, *ids: int) -> None:
        """Queue texts, each of this one token."""
        for number in ids:
            self.batcher.add(Tokenised([number], self.now_s * 1000, number))

    def work_until(self, done: Callable[[], bool]) -> None:
        """Dispatch and collect until it is so."""
        for _ in range(2_000):
            self.inference.dispatch()
            for batch, logits in self.inference.collect(0.01):
                for text, row in zip(batch.texts, logits, strict=True):
                    assert text.item not in self.answers
                    self.answers[text.item] = float(row[0])
            self.refused.update({r.text.item: r.fault.detail for r in self.inference.take_refused()})
            if done():
                return
        pytest.fail(f"not done: {self.answers}, {self.refused}, {self.inference.breaker}")


@contextmanager
def bench(server: Kserve, timeout_s: float = WAIT_S) -> Iterator[Bench]:
    """A bench on this server."""
    with serving(server) as url:
        made = Bench(url, timeout_s)
        with closing(made.model):
            yield made


def has_poison(request: Any) -> bool:
    """Whether the poison text is in the request."""
    return bool((np.frombuffer(request.raw_input_contents[0], np.int64) == POISON).any())


def when_poisoned(answer: Answer) -> Answer:
    """Answer as told where there is poison in the batch, else as ever."""
    return lambda request, context: (answer if has_poison(request) else row_sums)(request, context)


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "OUT_OF_RANGE", "INTERNAL", "UNKNOWN"])
def test_a_text_that_the_server_refuses_stands_alone_in_the_end(code: str) -> None:
    """Whatever status it is refused with; its neighbours are answered, each with its own logits."""
    server = Kserve(when_poisoned(fails(grpc.StatusCode[code], "no such token")))
    with bench(server) as made:
        made.add(*range(1, 12), POISON)
        made.work_until(lambda: len(made.answers) + len(made.refused) == 12)
        assert made.answers == {number: number for number in range(1, 12)}
        assert list(made.refused) == [POISON]
        assert made.refused[POISON].endswith(f"failed ({code}): no such token")


def test_a_text_that_hangs_is_cancelled_at_its_deadline_and_given_up() -> None:
    """The server sees each cancellation; the others are answered meanwhile."""
    cancelled = threading.Semaphore(0)

    def hang(_request: Any, context: grpc.ServicerContext) -> Any:
        gone = threading.Event()
        context.add_callback(gone.set)
        assert gone.wait(WAIT_S)
        cancelled.release()

    with bench(Kserve(when_poisoned(hang)), timeout_s=0.3) as made:
        made.add(1, 2, 3, POISON)
        made.work_until(lambda: len(made.answers) + len(made.refused) == 4)
        assert made.answers == {1: 1, 2: 2, 3: 3}
        assert made.refused[POISON].endswith("did not answer within 0.3 s")
        assert all(cancelled.acquire(timeout=WAIT_S) for _ in range(5)), "twice in company, three times alone"


def test_a_late_answer_is_ignored() -> None:
    """It comes after the deadline, when the same text has been sent again: each text is answered once, and rightly."""
    calls: list[int] = []
    late = threading.Event()

    def slow_at_first(request: Any, context: grpc.ServicerContext) -> Any:
        calls.append(1)
        if len(calls) > 1:
            return row_sums(request, context)
        gone = threading.Event()
        context.add_callback(gone.set)
        assert gone.wait(WAIT_S)
        late.set()
        return logits_answer(np.full((2, 3), 99, np.float32))

    with bench(Kserve(slow_at_first), timeout_s=0.3) as made:
        made.add(1, 2)
        made.work_until(lambda: len(made.answers) == 2)
        assert late.wait(WAIT_S)
        made.add(3)
        made.work_until(lambda: len(made.answers) == 3)
        assert (made.answers, made.refused) == ({1: 1, 2: 2, 3: 3}, {})


OUTAGES: dict[str, Answer] = {
    "errors": fails(grpc.StatusCode.INTERNAL),
    "unloaded": fails(grpc.StatusCode.NOT_FOUND, "Request for unknown model"),
    "overloaded": fails(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size"),
    "forbidden": fails(grpc.StatusCode.PERMISSION_DENIED),
    "two labels": lambda request, _context: logits_answer(np.zeros((request.inputs[0].shape[0], 2), np.float32)),
    "another type": lambda request, _context: logits_answer(
        np.zeros((request.inputs[0].shape[0], 3), np.float64), datatype="FP64"
    ),
    "no numbers": lambda request, _context: logits_answer(np.full((request.inputs[0].shape[0], 3), np.nan, np.float32)),
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_server_that_fails_at_everything_costs_no_text(outage: str) -> None:
    """The breaker opens, the server is asked now and then, and when it is itself again all are answered."""
    server = Kserve(OUTAGES[outage])
    with bench(server) as made:
        made.add(1, 2, 3)
        made.work_until(lambda: made.inference.breaker.openings >= 3)
        assert (made.answers, made.refused) == ({}, {})
        assert made.inference.breaker.detail
        server.answer = row_sums
        made.work_until(lambda: len(made.answers) == 3)
        assert made.answers == {1: 1, 2: 2, 3: 3}
        assert made.inference.breaker.phase == "closed"


def test_a_server_that_is_down_and_comes_back_costs_no_text() -> None:
    """Nobody listens; later somebody does, at the same address."""
    with serving(Kserve()) as url:
        pass
    made = Bench(url, WAIT_S)
    with closing(made.model):
        made.add(1, 2)
        made.work_until(lambda: made.inference.breaker.openings >= 2)
        assert made.inference.breaker.reason in {"unavailable", "pause_over"}
        with serving(Kserve(), url):
            made.work_until(lambda: len(made.answers) == 2)
    assert (made.answers, made.refused) == ({1: 1, 2: 2}, {})
