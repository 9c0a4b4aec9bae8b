"""Find the one text that the model cannot take, among those of a batch that failed. Pure.

A batch is judged only after it failed *and the model then answered three canaries or more in a row*: the fault is the
batch's, as far as one can tell. A batch of several texts is cut in halves, each of which is tried by itself. A text that
stands alone gets a strike, and is refused when it has so many. Since each strike needs a failure and then successes, a model
that fails one request in five at random costs a good text with a chance below (1/5 · (4/5)^3)^8, 1 in ten million; one that
fails them all costs none, and one broken server among several is found out by the canary that comes to it.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from worker.backoff import back_off_s
from worker.score.batching import Batch, Tokenised
from worker.score.breaker import Fault

T = TypeVar("T")
_MAX_BACK_OFF_S = 1.0


class Trial(msgspec.Struct, Generic[T], frozen=True):
    """A batch on its way through the model. `strikes` count against a text that stands alone, until `not_before_s` it waits."""

    batch: Batch[T]
    strikes: int = 0
    not_before_s: float = 0.0

    def acquitted(self) -> "Trial[T]":
        """Return it as if it had never failed: what failed was the model."""
        return Trial(self.batch)

    def keep(self, wanted: Callable[[T], bool]) -> "Trial[T] | None":
        """Return it with those texts alone whose item is wanted, None if there are none."""
        texts = tuple(text for text in self.batch.texts if wanted(text.item))
        if len(texts) == len(self.batch.texts):
            return self
        return Trial(Batch(self.batch.bucket, texts)) if texts else None


class Refusal(msgspec.Struct, Generic[T], frozen=True):
    """A text that the model cannot take, and what was the matter the last time."""

    text: Tokenised[T]
    fault: Fault


class Accused(msgspec.Struct, Generic[T], frozen=True):
    """A batch that failed, waiting for the canary."""

    trial: Trial[T]
    fault: Fault


def proofs_needed(accused: Sequence[Accused[T]]) -> int:
    """Return how many canaries in a row must be answered before these are judged: 3 to 5, changing from strike to strike.

    Requests go round the servers in turn, so with a fixed number a text would come to the same one every time.
    """
    return 3 + max((entry.trial.strikes for entry in accused), default=0) % 3


def judge(accused: Accused[T], max_strikes: int, now_s: float, jitter: float) -> "tuple[Trial[T], ...] | Refusal[T]":
    """Return what to try next, now that the canary was answered, or the refusal; `jitter` is a random number in [0, 1]."""
    texts, bucket = accused.trial.batch.texts, accused.trial.batch.bucket
    if len(texts) > 1:
        middle = len(texts) // 2
        return Trial(Batch(bucket, texts[:middle])), Trial(Batch(bucket, texts[middle:]))
    strikes = accused.trial.strikes + 1
    if strikes >= max_strikes:
        return Refusal(texts[0], accused.fault)
    return (Trial(accused.trial.batch, strikes, now_s + back_off_s(strikes, _MAX_BACK_OFF_S, jitter)),)
