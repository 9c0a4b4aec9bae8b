from collections.abc import Callable

import numpy as np
import pytest

from worker.errors import ContractError, ModelError, ModelErrorReason, TidingsError
from worker.ports import TokenBatch
from worker.score.batching import Batch, Batcher, BatchLimits, Tokenised
from worker.score.breaker import BreakerLimits, Phase
from worker.score.inference import Inference, InferenceLimits
from worker.testing.model import FailureOf, FakeModel, hashed_logits

LIMITS = BatchLimits(buckets=(8,), max_tokens=16, max_texts=2, deadline_ms=50)
WIDE = BatchLimits(buckets=(8,), max_tokens=512, max_texts=64, deadline_ms=50)
CANARY = 9_999
BREAKER = BreakerLimits(failures=5, max_pause_s=4.0, first_pause_s=0.5)


class Bench:
    """An `Inference` with a clock that stands until it is turned, and a model that answers on `release`."""

    def __init__(
        self,
        in_flight: int = 2,
        failure: FailureOf = lambda _call, _batch: None,
        limits: BatchLimits = LIMITS,
        *,
        manual: bool = True,
    ) -> None:
        self.now_s = 100.0
        self.model = FakeModel(manual=manual, failure=failure)
        self.model.monotonic = lambda: self.now_s
        self.batcher: Batcher[int] = Batcher(limits)
        asked = InferenceLimits(in_flight, 0, (CANARY,), max_attempts=4, breaker=BREAKER)
        self.inference = Inference(self.model, self.batcher, asked, lambda: self.now_s)

    def phase(self) -> Phase:
        """The breaker's."""
        phase: Phase = self.inference.breaker.phase
        return phase

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

    def worked_off(self, seconds: float = 60.0) -> tuple[list[int], list[int]]:
        """Let time pass; returns the items that were answered and those that were refused, in the order they came back."""
        answered: list[int] = []
        refused: list[int] = []
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s += 0.05
            self.model.expire()
            answered += [item for batch in self.answered() for item in batch]
            refused += [refusal.text.item for refusal in self.inference.take_refused()]
        return answered, refused

    def _items(self, batch: Batch[int], logits: np.ndarray) -> list[int]:  # type: ignore[type-arg]
        assert logits.tolist() == [hashed_logits(text.ids) for text in batch.texts]
        return [text.item for text in batch.texts]


def failing(*calls: int, reason: ModelErrorReason = "unavailable") -> FailureOf:
    """Fail these calls, counted from 0."""
    return lambda call, _batch: ModelError(reason, "the model is away") if call in calls else None


def holds(batch: TokenBatch, items: set[int]) -> bool:
    """Whether one of the items is in the batch."""
    return bool({item + 1 for item in items} & set(batch.input_ids[:, 0].tolist()))


def poisoned(*items: int, error: TidingsError | None = None) -> FailureOf:
    """Refuse every batch that one of these is in."""
    said = error or ModelError("refused", "cannot take it")
    return lambda _call, batch: said if holds(batch, set(items)) else None


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
    assert bench.inference.breaker.failures == 1
    bench.now_s += 0.2
    assert bench.answered() == [[0, 1]]
    assert bench.inference.breaker.failures == 0
    assert bench.answered() == [[2, 3]]


def test_a_model_that_is_away_is_left_alone() -> None:
    """After five failures in a row nothing is sent but a canary now and then, with pauses that grow; then all goes on."""
    bench = Bench(1, failing(*range(10)))
    bench.add(0, 1, 2, 3)
    assert bench.worked_off(2.0) == ([], [])
    assert bench.phase() != "closed"
    assert bench.model.shapes[:5] == [(2, 8)] * 5
    assert set(bench.model.shapes[5:]) == {(1, 1)}
    assert bench.inference.breaker.reason in {"unavailable", "pause_over"}
    asked = len(bench.model.shapes)
    assert bench.worked_off(2.0)[1] == []
    assert len(bench.model.shapes) <= asked + 2
    assert bench.worked_off(60.0) == ([0, 1, 2, 3], [])
    assert bench.phase() == "closed"


def test_the_canary_alone_closes_the_breaker() -> None:
    """Batches wait until it was answered, and it is asked once; then they all leave."""
    bench = Bench(2, failing(*range(6)))
    bench.add(0, 1, 2, 3)
    while bench.phase() == "closed":
        bench.now_s += 1
        bench.answered()
    bench.now_s += 1
    bench.inference.dispatch()
    assert (bench.phase(), bench.model.waiting) == ("half_open", 1)
    bench.inference.dispatch()
    assert bench.model.waiting == 1
    bench.model.release()
    assert bench.collected() == []
    assert bench.phase() == "closed"
    assert sorted(bench.answered()) == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    "poison",
    [{5}, {0}, {63}, {5, 6}, {0, 63}, {1, 2, 3, 4, 5}, set(range(64))],
    ids=lambda poison: f"{len(poison)}-{min(poison)}",
)
@pytest.mark.parametrize("in_flight", [1, 3])
def test_poison_is_found_and_the_rest_goes_on(poison: set[int], in_flight: int) -> None:
    """One among many, two in one batch, neighbours, all of them: those alone are refused, every other text is answered once."""
    bench = Bench(in_flight, poisoned(*poison), WIDE)
    bench.add(*range(64))
    answered, refused = bench.worked_off()
    assert sorted(answered) == sorted(set(range(64)) - poison)
    assert sorted(refused) == sorted(poison)
    assert bench.phase() == "closed"


def test_a_lonely_poison_text_is_refused_too() -> None:
    """Nothing else is in hand that the model could answer: the canary speaks for it. The refusal says what the model said."""
    bench = Bench(1, poisoned(7))
    bench.add(7)
    bench.model.monotonic = lambda: bench.now_s
    while not (refused := bench.inference.take_refused()):
        bench.now_s += 0.05
        assert bench.answered() == []
    assert [(refusal.text.item, refusal.fault.reason, refusal.fault.detail) for refusal in refused] == [
        (7, "refused", "cannot take it")
    ]
    canaries = 3 + 4 + 5 + 3
    assert bench.model.shapes == [(1, 8)] * (4 + canaries)


@pytest.mark.parametrize("servers", [2, 3, 4, 5, 6])
def test_one_broken_server_among_several_costs_no_text(servers: int) -> None:
    """Requests go round: with nothing else to do, text and canary could each come to the same server every time.

    Of two servers, asked strictly in turn and for nothing else, the text always comes to the broken one: it waits, unrefused.
    """
    bench = Bench(1, lambda call, _batch: ModelError("refused", "broken") if call % servers == 0 else None)
    bench.add(7)
    assert bench.worked_off(600.0) == ([7] if servers > 2 else [], [])


@pytest.mark.parametrize("weather", ["refused", "unavailable", "no_answer", "not_loaded"])
def test_while_the_model_fails_at_everything_nothing_is_refused(weather: ModelErrorReason) -> None:
    """Errors to everything for ten minutes, poison in hand or not: when the model is back, all good texts are answered."""
    bench = Bench(3, lambda _call, _batch: ModelError(weather, "broken"), WIDE)
    bench.add(*range(20))
    assert bench.worked_off(600.0) == ([], [])
    assert bench.phase() != "closed"
    assert len(bench.model.shapes) < 320
    bench.model.failure = poisoned(13)
    answered, refused = bench.worked_off()
    assert (sorted(answered), refused) == (sorted(set(range(20)) - {13}), [13])


BROKEN: dict[str, Callable[[FakeModel], None]] = {
    "two labels": lambda model: setattr(model, "logits", lambda _ids: [0.0, 1.0]),
    "not a number": lambda model: setattr(model, "logits", lambda _ids: [float("nan")] * 3),
    "another output": lambda model: setattr(model, "failure", lambda _call, _batch: ContractError("FP64 for logits")),
    "no right": lambda model: setattr(model, "failure", lambda _call, _batch: ContractError("refused: permission denied")),
    "no answer": lambda model: setattr(model, "hangs", lambda _call, _batch: True),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_model_that_was_replaced_is_waited_for(broken: str) -> None:
    """Another shape, no numbers, no right to ask, silence: none of it is held against a text, and afterwards all goes on."""
    bench = Bench(2, limits=WIDE)
    BROKEN[broken](bench.model)
    bench.add(*range(10))
    assert bench.worked_off(200.0) == ([], [])
    assert bench.phase() != "closed"
    bench.model.logits, bench.model.failure, bench.model.hangs = hashed_logits, poisoned(), lambda _call, _batch: False
    answered, refused = bench.worked_off()
    assert (sorted(answered), refused) == (list(range(10)), [])


def test_the_breaker_says_what_is_wrong_with_the_model() -> None:
    """A model of another shape is told at once, in one sentence."""
    bench = Bench(1)
    bench.model.logits = lambda _ids: [0.0, 1.0]
    bench.add(1)
    bench.answered()
    assert (bench.phase(), bench.inference.breaker.reason) == ("open", "contract_broken")
    assert bench.inference.breaker.detail == "the model answered with logits of shape (1, 2), expected (1, 3)"


@pytest.mark.parametrize("poison", [{5}, {5, 40}])
def test_poison_that_hangs_is_found_by_its_silence(poison: set[int]) -> None:
    """While the model answers everything else in time."""
    bench = Bench(2, limits=WIDE)
    bench.model.hangs, bench.model.timeout_s = (lambda _call, batch: holds(batch, poison)), 1.0
    bench.add(*range(64))
    answered, refused = bench.worked_off(120.0)
    assert sorted(answered) == sorted(set(range(64)) - poison)
    assert sorted(refused) == sorted(poison)


def test_poison_that_is_no_number_leaves_its_neighbours_alone() -> None:
    """The others of the batch are answered at once; the one is tried again by itself before it is given up."""
    bench = Bench(2, limits=WIDE)
    bench.model.logits = lambda ids: [float("nan")] * 3 if ids == [6] else hashed_logits(ids)
    bench.add(*range(10))
    assert bench.answered() == [[0, 1, 2, 3, 4, 6, 7, 8, 9]]
    answered, refused = bench.worked_off(20.0)
    assert (answered, refused) == ([], [5])


def test_a_text_that_failed_once_or_twice_is_answered() -> None:
    """A strike is no sentence: the model may have had a bad moment."""
    seen: list[int] = []

    def moody(_call: int, batch: TokenBatch) -> TidingsError | None:
        if holds(batch, {5}) and len(seen) < 6:
            seen.append(1)
            return ModelError("refused", "out of memory")
        return None

    bench = Bench(2, moody, WIDE)
    bench.add(*range(8))
    answered, refused = bench.worked_off()
    assert (sorted(answered), refused) == (list(range(8)), [])


@pytest.mark.parametrize("outage", ["refused", "unavailable", "no_answer"])
def test_an_outage_in_the_middle_of_a_bisection_starts_the_count_anew(outage: ModelErrorReason) -> None:
    """A text with strikes meets a model that then fails altogether: its strikes are void, and a good one is not refused."""
    bench = Bench(1, poisoned(7))
    bench.add(7)
    while bench.inference._again == () or not any(trial.strikes == 3 for trial in bench.inference._again):
        bench.now_s += 0.05
        bench.answered()
    bench.model.failure = lambda _call, _batch: ModelError(outage, "broken")
    assert bench.worked_off(60.0) == ([], [])
    bench.model.failure = poisoned()
    assert bench.worked_off() == ([7], [])


def test_the_canary_is_as_long_as_what_it_speaks_for() -> None:
    """A model too slow for a long text would be quick with a short canary, which would prove nothing."""
    bench = Bench(1, poisoned(7, error=ModelError("no_answer", "slow")))
    bench.add(7)
    bench.answered()
    bench.answered()
    assert bench.model.shapes == [(1, 8), (1, 8)]


def test_poison_in_hand_does_not_hold_up_the_others() -> None:
    """While one text is on trial, batches come and go."""
    bench = Bench(2, poisoned(0))
    bench.add(0)
    bench.answered()
    for number in range(1, 9, 2):
        bench.add(number, number + 1)
        assert [number, number + 1] in bench.answered()


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
    assert bench.inference.breaker.failures == 0
    assert bench.answered() == [[2, 3]]


def test_clearing_amid_a_bisection_drops_all_its_parts() -> None:
    """Parts that wait, parts on trial, and the canary's verdict on them; what is read again is tried from the start."""
    for turns in range(12):
        bench = Bench(1, poisoned(3), WIDE)
        bench.add(*range(6))
        for _ in range(turns):
            bench.now_s += 0.05
            bench.answered()
        bench.inference.dispatch()
        bench.inference.clear()
        bench.inference.take_refused()
        assert bench.worked_off(5.0) == ([], []), turns
        bench.add(*range(6))
        answered, refused = bench.worked_off()
        assert (sorted(answered), refused) == ([0, 1, 2, 4, 5], [3]), turns


def test_texts_of_a_lost_partition_are_dropped_wherever_they_wait() -> None:
    """In the batcher, in parts of a bisection, on trial; the others go on."""
    for turns in range(8):
        bench = Bench(1, poisoned(3, 4), WIDE)
        bench.add(*range(8))
        for _ in range(turns):
            bench.now_s += 0.05
            bench.answered()
        bench.add(*range(8, 12))
        bench.inference.keep(lambda item: item % 2 == 0)
        answered, refused = bench.worked_off()
        assert {item for item in answered if item % 2} == set(), turns
        assert refused == [4], turns
        assert {8, 10} <= set(answered), turns


def test_a_probe_that_comes_back_after_a_clearing_still_counts() -> None:
    """It speaks of the model, not of what was in hand."""
    bench = Bench(1, lambda _call, _batch: ContractError("another shape"))
    bench.add(0)
    bench.answered()
    bench.model.failure = poisoned()
    bench.now_s += 1
    bench.inference.dispatch()
    bench.inference.clear()
    bench.model.release()
    assert bench.collected() == []
    assert bench.phase() == "closed"


def test_collecting_waits_for_the_first_answer_only() -> None:
    """With an answer there, a long timeout costs nothing; with none it ends by itself."""
    bench = Bench(2)
    bench.add(0, 1, 2, 3)
    bench.inference.dispatch()
    bench.model.release()
    assert [[text.item for text in batch.texts] for batch, _ in bench.inference.collect(60)] == [[0, 1]]
    assert list(bench.inference.collect(0.001)) == []
