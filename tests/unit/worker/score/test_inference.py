import numpy as np
import pytest

from worker.errors import ContractError, RetryableError
from worker.score.batching import Batch, Batcher, BatchLimits, Tokenised
from worker.score.inference import Inference, InferenceLimits
from worker.testing.model import FailureOf, FakeModel, hashed_logits

LIMITS = BatchLimits(buckets=(8,), max_tokens=16, max_texts=2, deadline_ms=50)


class Bench:
    """An `Inference` with a clock that stands until it is turned, and a model that answers on `release`."""

    def __init__(self, in_flight: int = 2, failure: FailureOf = lambda _call, _batch: None) -> None:
        self.now_s = 100.0
        self.model = FakeModel(manual=True, failure=failure)
        self.batcher: Batcher[int] = Batcher(LIMITS)
        self.inference = Inference(self.model, self.batcher, InferenceLimits(in_flight, 0), lambda: self.now_s)

    def add(self, *items: int) -> None:
        """Queue texts, each with its item as its only token."""
        for item in items:
            self.batcher.add(Tokenised([item + 1], self.now_s * 1000, item))

    def collected(self) -> list[list[int]]:
        """The items of the batches that came back; their logits must be their own."""
        return [self._items(batch, logits) for batch, logits in self.inference.collect(0)]

    def answered(self) -> list[list[int]]:
        """Dispatch, release everything at the model, collect."""
        self.inference.dispatch()
        while self.model.waiting:
            self.model.release()
        return self.collected()

    def _items(self, batch: Batch[int], logits: np.ndarray) -> list[int]:  # type: ignore[type-arg]
        assert logits.tolist() == [hashed_logits(text.ids) for text in batch.texts]
        return [text.item for text in batch.texts]


def failing(*calls: int) -> FailureOf:
    """Fail these calls, counted from 0."""
    return lambda call, _batch: RetryableError("the model is away") if call in calls else None


@pytest.mark.parametrize("in_flight", [1, 2, 3])
def test_no_more_than_allowed_is_in_flight(in_flight: int) -> None:
    """Full batches wait while the model has its share, and one leaves for each that comes back."""
    bench = Bench(in_flight)
    bench.add(*range(12))
    bench.inference.dispatch()
    assert bench.model.waiting == in_flight
    bench.model.release()
    assert bench.collected() == [[0, 1]]
    bench.inference.dispatch()
    assert bench.model.waiting == in_flight


def test_answers_come_back_in_any_order() -> None:
    """Each with its own texts, in the order in which the model answered."""
    bench = Bench(3)
    bench.add(*range(6))
    bench.inference.dispatch()
    for index in (2, 0, 0):
        bench.model.release(index)
    assert bench.collected() == [[4, 5], [0, 1], [2, 3]]
    assert bench.collected() == []


def test_what_is_not_full_waits_while_the_model_is_busy() -> None:
    """An idle model takes what is there; a busy one gets the rest by size or by deadline."""
    bench = Bench(3)
    bench.add(0)
    bench.inference.dispatch()
    bench.add(1)
    bench.inference.dispatch()
    assert bench.model.waiting == 1
    bench.now_s += 0.05
    bench.inference.dispatch()
    assert bench.model.waiting == 2


def test_a_batch_that_failed_is_sent_again() -> None:
    """It comes back with its answer once, after a pause, and before what came later."""
    bench = Bench(1, failing(0))
    bench.add(0, 1, 2, 3)
    assert bench.answered() == []
    assert bench.inference.failures == 1
    bench.now_s += 0.2
    assert bench.answered() == [[0, 1]]
    assert bench.inference.failures == 0
    assert bench.answered() == [[2, 3]]


def test_a_model_that_failed_is_left_alone() -> None:
    """For 0.1 s doubling to 5 s, less jitter of at most half, whatever waits; then it is asked again."""
    bench = Bench(1, failing(*range(10)))
    bench.add(0, 1, 2, 3)
    for attempt in range(10):
        assert bench.answered() == []
        assert len(bench.model.shapes) == attempt + 1
        pause_s = min(5.0, 0.1 * 2**attempt)
        bench.now_s += pause_s * 0.49
        bench.inference.dispatch()
        assert bench.model.waiting == 0
        bench.now_s += pause_s * 0.52
    assert bench.answered() == [[0, 1]]


def test_all_that_was_in_flight_is_kept_when_the_model_goes() -> None:
    """Three batches fail together; three come back."""
    bench = Bench(3, failing(0, 1, 2))
    bench.add(*range(6))
    assert bench.answered() == []
    bench.now_s += 1
    assert bench.answered() == [[0, 1], [2, 3], [4, 5]]


def test_cleared_batches_do_not_come_back() -> None:
    """What waits, what is to be tried again and what is in flight are all dropped; late answers are ignored."""
    bench = Bench(2, failing(0))
    bench.add(*range(6))
    bench.inference.dispatch()
    bench.model.release()
    assert bench.collected() == []
    bench.inference.clear()
    bench.model.release()
    assert bench.collected() == []
    bench.now_s += 1
    assert bench.answered() == []
    bench.add(7)
    assert bench.answered() == [[7]]


def test_late_answers_hold_their_place_in_flight() -> None:
    """A cleared batch is still at the model: until it answers, no other is sent in its place."""
    bench = Bench(1)
    bench.add(0, 1)
    bench.inference.dispatch()
    bench.inference.clear()
    bench.add(2, 3)
    bench.inference.dispatch()
    assert bench.model.waiting == 1
    bench.model.release()
    assert bench.collected() == []
    assert bench.answered() == [[2, 3]]


def test_a_late_failure_does_not_bring_a_cleared_batch_back() -> None:
    """Nor does it hold up what came after the clearing."""
    bench = Bench(1, failing(0))
    bench.add(0, 1)
    bench.inference.dispatch()
    bench.inference.clear()
    bench.add(2, 3)
    assert bench.answered() == []
    assert bench.inference.failures == 0
    assert bench.answered() == [[2, 3]]


def test_an_error_that_will_not_pass_is_raised() -> None:
    """A model that breaks its contract is no matter of trying again."""
    bench = Bench(1, lambda _call, _batch: ContractError("another shape"))
    bench.add(0)
    bench.inference.dispatch()
    bench.model.release()
    with pytest.raises(ContractError, match="another shape"):
        bench.collected()


def test_collecting_waits_for_the_first_answer_only() -> None:
    """With an answer there, a long timeout costs nothing; with none it ends by itself."""
    bench = Bench(2)
    bench.add(0, 1, 2, 3)
    bench.inference.dispatch()
    bench.model.release()
    assert [[text.item for text in batch.texts] for batch, _ in bench.inference.collect(60)] == [[0, 1]]
    assert list(bench.inference.collect(0.001)) == []
