"""Keep the model busy and bear its faults: a bounded number of batches in flight, retries, a circuit breaker, bisection."""

import random
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from worker.errors import ContractError, ModelError, RetryableError
from worker.messages import LABELS
from worker.ports import Model
from worker.score.batching import Batch, Batcher, Tokenised, pad
from worker.score.bisection import Accused, Refusal, Trial, judge, proofs_needed
from worker.score.breaker import Breaker, BreakerLimits, Fault

log = structlog.get_logger(__name__)
T = TypeVar("T")
Logits = NDArray[np.float32]


class InferenceLimits(msgspec.Struct, frozen=True):
    """At most `in_flight` batches at the model, the canary apart; `pad_id` fills the space behind a text's tokens.

    `canary` is the token ids of a text that the model can surely take. A text that stands alone is refused after `max_attempts`
    failures, each with the canary answered after it. An answer has `width` columns: the logits, and what else is asked for.
    """

    in_flight: int
    pad_id: int
    canary: tuple[int, ...]
    max_attempts: int = 8
    breaker: BreakerLimits = BreakerLimits()
    width: int = len(LABELS)


class Spent(NamedTuple):
    """Seconds that batches have waited for the model, from the arrival of their oldest text, and been with it, all added up."""

    waiting_s: float = 0.0
    asking_s: float = 0.0


class _Answer(msgspec.Struct, Generic[T], frozen=True):
    epoch: int
    trial: Trial[T] | None
    """None for the canary."""
    logits: "Future[Logits]"
    sent_s: float


class Inference(Generic[T]):
    """Sends batches to the model and hands back the answers, on the caller's thread.

    1. A batch whose failure speaks against the model is sent again, after a pause; enough of them in a row open the breaker.
    2. A batch whose failure may be its own is set aside until the canary has been answered, several times in a row, for there
       may be several servers and one of them broken; and then bisected (`bisection`). If a canary fails too, it was the model:
       the breaker opens and the batch is as good as new.
    3. While the breaker is open nothing is sent but, now and then, the canary.

    So no text is refused while the model does not answer; nothing else is ever dropped but by `clear` and `keep`.
    """

    def __init__(self, model: Model, batcher: Batcher[T], limits: InferenceLimits, monotonic: Callable[[], float]) -> None:
        self._model = model
        self._batcher = batcher
        self._limits = limits
        self._monotonic = monotonic
        self._answers: SimpleQueue[_Answer[T] | None] = SimpleQueue()
        self._again: deque[Trial[T]] = deque()
        self._accused: list[Accused[T]] = []
        self._on_trial: list[Accused[T]] = []
        self._refused: list[Refusal[T]] = []
        self._in_flight = 0
        self._canary_is_out = False
        self._proofs = 0
        self._epoch = 0
        self._successor: Model | None = None
        self.breaker = Breaker(since_s=monotonic())
        """Where the breaker stands; may be read from any thread."""
        self.spent = Spent()

    @property
    def is_full(self) -> bool:
        """Whether as many batches are with the model as may be."""
        return self._in_flight >= self._limits.in_flight

    def dispatch(self) -> None:
        """Send what is due: the canary when it is needed, and batches as far as there is room in flight."""
        now_s = self._monotonic()
        if self._successor is not None:
            return
        if not self._canary_is_out:
            self._send_canary_if_due(now_s)
        while self.breaker.admits(now_s) and self._in_flight < self._limits.in_flight:
            trial = self._next(now_s)
            if trial is None:
                return
            self._in_flight += 1
            self._send(trial.batch, trial)

    def collect(self, timeout_s: float) -> Iterator[tuple[Batch[T], Logits]]:
        """Yield what has come back with its answers (texts, width), all finite; wait for the first or for `wake`, so long."""
        try:
            answer = self._answers.get(timeout=timeout_s) if timeout_s > 0 else self._answers.get_nowait()
            while True:
                if answer is not None:
                    yield from self._heed(answer)
                answer = self._answers.get_nowait()
        except Empty:
            return

    def wake(self) -> None:
        """End the wait in `collect`, from any thread."""
        self._answers.put(None)

    def succeed(self, model: Model) -> bool:
        """Send nothing more until all that is in flight has come back, and then ask `model`; tells whether it is asked now.

        So whoever calls again until it is knows which of the two each answer comes from. A request ends by its timeout at last.
        """
        self._successor = model
        if self._in_flight or self._canary_is_out:
            return False
        self._model, self._successor = model, None
        return True

    def take_refused(self) -> list[Refusal[T]]:
        """Return the texts that turned out to be such as the model cannot take, each once."""
        refused, self._refused = self._refused, []
        return refused

    def keep(self, wanted: Callable[[T], bool]) -> None:
        """Drop the texts that wait and whose item is not wanted, so that they take no memory and no time of the model."""
        self._batcher.keep(wanted)
        self._again = deque(kept for trial in self._again if (kept := trial.keep(wanted)))
        self._accused = _kept(self._accused, wanted)
        self._on_trial = _kept(self._on_trial, wanted)
        self._refused = [refusal for refusal in self._refused if wanted(refusal.text.item)]

    def clear(self) -> None:
        """Drop what waits and what is in flight; answers that still come are ignored, but for what they say of the model."""
        self._epoch += 1
        self.keep(lambda _item: False)

    def _next(self, now_s: float) -> Trial[T] | None:
        for index, trial in enumerate(self._again):
            if now_s >= trial.not_before_s:
                del self._again[index]
                return trial
        batch = self._batcher.take(now_s * 1000, idle=self._in_flight == 0)
        return None if batch is None else Trial(batch)

    def _send_canary_if_due(self, now_s: float) -> None:
        if self.breaker.may_probe(now_s):
            self._turn(self.breaker.probing(now_s))
        elif self.breaker.phase != "closed" or not (self._accused or self._on_trial):
            return
        if not self._on_trial:
            self._on_trial, self._accused, self._proofs = self._accused, [], 0
        bucket = max((len(self._limits.canary), *(accused.trial.batch.bucket for accused in self._on_trial)))
        self._canary_is_out = True
        self._send(Batch(bucket, (Tokenised(self._limits.canary, 0, None),)), None)

    def _send(self, batch: Batch[Any], trial: Trial[T] | None) -> None:
        epoch, sent_s = self._epoch, self._monotonic()
        logits = self._model.submit(pad(batch, self._limits.pad_id))
        logits.add_done_callback(lambda done: self._answers.put(_Answer(epoch, trial, done, sent_s)))

    def _heed(self, answer: _Answer[T]) -> Iterator[tuple[Batch[T], Logits]]:
        if answer.trial is None:
            self._heed_canary(answer.logits)
            return
        self._in_flight -= 1
        arrived_s = min(text.arrived_ms for text in answer.trial.batch.texts) / 1000
        waited_s, asked_s = self.spent
        self.spent = Spent(waited_s + answer.sent_s - arrived_s, asked_s + self._monotonic() - answer.sent_s)
        if answer.epoch != self._epoch:
            return
        outcome = self._read(answer.logits, len(answer.trial.batch.texts))
        if isinstance(outcome, Fault):
            self._bear(answer.trial, outcome)
            return
        self.breaker = self.breaker.answered()
        yield from self._finite(answer.trial, outcome)

    def _read(self, future: "Future[Logits]", texts: int) -> Logits | Fault:
        """Return the answers, of shape (texts, width), or what went wrong."""
        try:
            logits = future.result()
        except ModelError as error:
            return Fault(error.reason, str(error))
        except RetryableError as error:
            return Fault("unavailable", str(error))
        except ContractError as error:
            return Fault("contract_broken", str(error))
        if logits.shape == (texts, self._limits.width):
            return logits
        expected = f"({texts}, {self._limits.width})"
        return Fault("contract_broken", f"the model answered with logits of shape {logits.shape}, expected {expected}")

    def _finite(self, trial: Trial[T], logits: Logits) -> Iterator[tuple[Batch[T], Logits]]:
        finite = np.logical_and.reduce(np.isfinite(logits), axis=1)
        if finite.all():
            yield trial.batch, logits
            return
        bucket, pairs = trial.batch.bucket, list(zip(trial.batch.texts, finite, strict=True))
        if finite.any():
            yield Batch(bucket, tuple(text for text, is_finite in pairs if is_finite)), logits[finite]
        odd = Batch(bucket, tuple(text for text, is_finite in pairs if not is_finite))
        self._bear(msgspec.structs.replace(trial, batch=odd), Fault("not_finite", "the model's logits are not finite"))

    def _bear(self, trial: Trial[T], fault: Fault) -> None:
        """Count a failure against the model or against the batch, or leave it open until the canary has been asked."""
        log.info(
            "a batch failed", reason=fault.reason, detail=fault.detail, texts=len(trial.batch.texts), strikes=trial.strikes
        )
        if fault.reason == "contract_broken":
            self._trip(fault)
        elif fault.is_counted:
            self._turn(self.breaker.failed(fault, self._limits.breaker, self._monotonic(), _jitter()))
        if fault.is_suspicious and self.breaker.phase == "closed":
            self._accused.append(Accused(trial, fault))
        else:
            self._again.append(trial.acquitted() if self.breaker.phase != "closed" else trial)

    def _heed_canary(self, logits: "Future[Logits]") -> None:
        self._canary_is_out = False
        outcome = self._read(logits, 1)
        if not isinstance(outcome, Fault) and not np.isfinite(outcome).all():
            outcome = Fault("not_finite", "the model's logits are not finite, whatever the text")
        if isinstance(outcome, Fault):
            self._trip(outcome)
            return
        self._turn(self.breaker.proved(self._monotonic()))
        self._proofs += 1
        if self._proofs < proofs_needed(self._on_trial):
            return
        on_trial, self._on_trial = self._on_trial, []
        for accused in on_trial:
            self._judge(accused)

    def _judge(self, accused: Accused[T]) -> None:
        verdict = judge(accused, self._limits.max_attempts, self._monotonic(), _jitter())
        if isinstance(verdict, Refusal):
            self._refused.append(verdict)
        else:
            self._again.extendleft(reversed(verdict))

    def _trip(self, fault: Fault) -> None:
        self._turn(self.breaker.tripped(fault, self._limits.breaker, self._monotonic(), _jitter()))

    def _turn(self, breaker: Breaker) -> None:
        """Take the breaker's next state. When it opens, nothing that failed before is held against any text."""
        before, self.breaker = self.breaker, breaker
        if breaker.phase == before.phase:
            return
        if breaker.phase == "open":
            waiting = [*(accused.trial for accused in (*self._on_trial, *self._accused)), *self._again]
            self._again = deque(trial.acquitted() for trial in waiting)
            self._on_trial, self._accused = [], []
        _log_turn(breaker)


def _kept(accused: list[Accused[T]], wanted: Callable[[T], bool]) -> list[Accused[T]]:
    kept = ((entry.trial.keep(wanted), entry.fault) for entry in accused)
    return [Accused(trial, fault) for trial, fault in kept if trial]


def _log_turn(breaker: Breaker) -> None:
    if breaker.phase == "open":
        pause_s = round(breaker.wait_until_s - breaker.since_s, 2)
        told = {"reason": breaker.reason, "detail": breaker.detail, "pause_s": pause_s}
        log.warning("the model is left alone; messages wait and none is given up", breaker="open", **told)
    elif breaker.phase == "half_open":
        log.info("asking the model again", breaker="half_open", reason=breaker.reason)
    else:
        log.info("the model answers again", breaker="closed", reason=breaker.reason)


def _jitter() -> float:
    return random.random()  # noqa: S311 - jitter, no secret
