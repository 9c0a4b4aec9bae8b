"""A second model asked beside the first, on a share of the messages: what it would have said, and nothing that depends on it.

It is asked after the first has answered. What finds no room is passed over and counted; a failure is counted and followed by a
pause; records go out as far as the producer has room. So the messages themselves neither wait for it nor fail with it.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol
from zlib import crc32

import msgspec
import structlog

from worker.codec import encode_shadowed
from worker.errors import TidingsError
from worker.messages import ModelRef, OutRecord, Said, Sentiment, Shadowed
from worker.score.batching import Batch, Tokenised, pad
from worker.score.calibration import LogitsError
from worker.score.inference import Logits
from worker.score.outputs import Scored
from worker.score.release import Release

log = structlog.get_logger(__name__)


class ShadowLimits(msgspec.Struct, frozen=True):
    """Of `share` of all messages the second model is asked, in at most `in_flight` batches at one time.

    After a failure it is left alone for `pause_s`, as it is while it cannot be opened. `pad_id` is the first model's.
    """

    topic: str
    share: float
    pad_id: int
    in_flight: int = 2
    pause_s: float = 10.0


class ShadowCounts(msgspec.Struct):
    """What came of it. Confidences and gaps are sums over what was compared; `*_negative` count signals, by either model."""

    compared: int = 0
    disagreed: int = 0
    skipped: int = 0
    failed: int = 0
    unpublished: int = 0
    serving_negative: int = 0
    shadow_negative: int = 0
    serving_confidence: float = 0.0
    shadow_confidence: float = 0.0
    gap: float = 0.0


class Question(NamedTuple):
    """A message that the first model has answered: its token ids, and what was found out about it."""

    ids: Sequence[int]
    scored: Scored


class Shadowing(Protocol):
    """A second model as the role sees it."""

    def offer(self, bucket: int, questions: Sequence[Question]) -> None:
        """Ask the second model about those that are of the share, padded to `bucket` tokens, if there is room."""
        ...

    def collect(self) -> None:
        """Take in what has come back, without waiting."""
        ...


class Unshadowed:
    """No second model."""

    def offer(self, bucket: int, questions: Sequence[Question]) -> None:
        """Do nothing."""

    def collect(self) -> None:
        """Do nothing."""


class _Answer(NamedTuple):
    questions: list[Question]
    release: Release
    logits: "Future[Logits]"


class Shadow:
    """The `Shadowing` of a worker. One thread calls; answers come from others.

    Args:
        open_release: opens the second model, or raises a TidingsError; asked again after a pause.
        publish: takes a record if there is room, tells whether it did, and never waits.
        limits: see `ShadowLimits`.
        monotonic: seconds.
    """

    def __init__(
        self,
        open_release: Callable[[], Release],
        publish: Callable[[OutRecord], bool],
        limits: ShadowLimits,
        monotonic: Callable[[], float],
    ) -> None:
        self._open = open_release
        self._publish = publish
        self._limits = limits
        self._monotonic = monotonic
        self._release: Release | None = None
        self._answers: SimpleQueue[_Answer] = SimpleQueue()
        self._in_flight = 0
        self._not_before_s = float("-inf")
        self._told = ""
        self.counts = ShadowCounts()

    def offer(self, bucket: int, questions: Sequence[Question]) -> None:
        """See `Shadowing`. Nothing is compared while the second model is the one that serves."""
        chosen = [question for question in questions if self._is_chosen(question.scored.message.id)]
        release = self._ready() if chosen else None
        if release is None or release.ref == chosen[0].scored.model:
            return
        if self._in_flight >= self._limits.in_flight:
            self.counts.skipped += len(chosen)
            return
        self._in_flight += 1
        batch = Batch(bucket, tuple(Tokenised(question.ids, 0, None) for question in chosen))
        logits = release.model.submit(pad(batch, self._limits.pad_id))
        logits.add_done_callback(lambda done: self._answers.put(_Answer(chosen, release, done)))

    def collect(self) -> None:
        """See `Shadowing`."""
        while True:
            try:
                answer = self._answers.get_nowait()
            except Empty:
                return
            self._in_flight -= 1
            self._take(answer)

    def close(self) -> None:
        """Drop the connection."""
        if self._release is not None:
            self._release.model.close()

    def _is_chosen(self, message_id: str) -> bool:
        """By the id alone, as for reviews, but other messages than those."""
        return crc32(b"shadow " + message_id.encode()) < self._limits.share * (1 << 32)

    def _ready(self) -> Release | None:
        if self._monotonic() < self._not_before_s:
            return None
        if self._release is None:
            try:
                self._release = self._open()
            except TidingsError as error:
                self._pause(str(error))
        return self._release

    def _take(self, answer: _Answer) -> None:
        try:
            sentiments = answer.release.calibration.sentiments(answer.logits.result())
        except (TidingsError, LogitsError) as error:
            self.counts.failed += len(answer.questions)
            self._pause(str(error))
            return
        self._told = ""
        for question, sentiment in zip(answer.questions, sentiments, strict=True):
            self._compare(question.scored, answer.release.ref, sentiment)

    def _compare(self, scored: Scored, ref: ModelRef, sentiment: Sentiment) -> None:
        shadowed = compared(scored, ref, sentiment)
        serving, shadow, counts, keys = shadowed.serving, shadowed.shadow, self.counts, len(shadowed.alert_keys)
        counts.compared += 1
        counts.disagreed += serving.label != shadow.label
        counts.serving_negative += keys * (serving.label == "negative")
        counts.shadow_negative += keys * (shadow.label == "negative")
        counts.serving_confidence += serving.confidence
        counts.shadow_confidence += shadow.confidence
        counts.gap += shadowed.gap
        record = OutRecord(self._limits.topic, shadowed.id.encode(), encode_shadowed(shadowed))
        counts.unpublished += not self._publish(record)

    def _pause(self, why: str) -> None:
        self._not_before_s = self._monotonic() + self._limits.pause_s
        if why != self._told:
            log.warning("the second model is not asked for a while; messages go on", why=why, pause_s=self._limits.pause_s)
        self._told = why


def compared(scored: Scored, ref: ModelRef, sentiment: Sentiment) -> Shadowed:
    """Put what the second model, `ref`, said of a message beside what the first did."""
    message = scored.message
    first, second = scored.sentiment.probabilities, sentiment.probabilities
    return Shadowed(
        id=message.id,
        kind=message.kind,
        source=message.source,
        event_time_ms=message.event_time_ms,
        alert_keys=tuple(scored.matches.alert_keys),
        serving=Said(scored.model, scored.sentiment.label, first),
        shadow=Said(ref, sentiment.label, second),
        gap=max(abs(getattr(first, label) - getattr(second, label)) for label in first.__struct_fields__),
    )
