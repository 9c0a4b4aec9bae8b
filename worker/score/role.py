"""The score role's loop, on one thread: read, batch, infer, publish."""

import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from threading import Event

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from worker.codec import Clock, dead_letter, decode_message
from worker.errors import AbortedError, DecodeError, FatalError, RetryableError
from worker.messages import Kind, Matches, Message, ModelRef, OutRecord, Record, Sentiment, TopicPartition
from worker.ports import Model, Sink, Source
from worker.score.batching import Batch, Batcher, BatchLimits, Tokenised
from worker.score.calibration import Calibration
from worker.score.dedupe import DuplicateIndex, Known
from worker.score.inference import Inference, InferenceLimits
from worker.score.matching import Matcher
from worker.score.outputs import Scored, prediction_record, signal_records
from worker.score.progress import Progress
from worker.score.tokenizer import Tokenizer

log = structlog.get_logger(__name__)
_IDLE_POLL_S = 0.1
_BUSY_WAIT_S = 0.005
_REPORT_EVERY_S = 10.0
_REWIND_ATTEMPTS = 6
_MAX_ABORTS = 8


class ScorePorts(msgspec.Struct, frozen=True):
    """What the role reads from, writes to and asks."""

    source: Source
    sink: Sink
    model: Model


class ScoreStages(msgspec.Struct, frozen=True):
    """The pure stages, ready for use."""

    matcher: Matcher
    duplicates: DuplicateIndex
    tokenizer: Tokenizer
    calibration: Calibration
    model: ModelRef
    pad_id: int


class ScoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the role behaves; see `settings.ScoreSettings` for the meaning of each."""

    inputs: Mapping[str, Kind]
    predictions: str
    signals: str
    dead_letters: str
    limits: BatchLimits
    in_flight: int
    max_pending: int
    commit_interval_s: float
    commit_messages: int
    max_future_ms: int
    max_poll_records: int = 500
    drain_timeout_s: float = 25.0


class ScoreCounts(msgspec.Struct):
    """What the role has done since it started; `padded` and `tokens` count token places sent and those that held a token."""

    messages: int = 0
    predictions: int = 0
    signals: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    batches: int = 0
    padded: int = 0
    tokens: int = 0
    aborted: int = 0


class _Item(msgspec.Struct, frozen=True):
    record: Record
    message: Message
    matches: Matches
    known: Known


class ScoreRole:
    """Reads the input topics and publishes predictions, signals and dead letters, exactly once.

    It is the `RebalanceListener` of its own source. Messages finish in any order; `Progress` gives them out in the order of
    their offsets, and each commit publishes what is done together with the offsets that it covers.
    """

    def __init__(
        self, ports: ScorePorts, stages: ScoreStages, options: ScoreOptions, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._ports = ports
        self._stages = stages
        self._options = options
        self._monotonic = monotonic
        self._progress = Progress()
        self._batcher: Batcher[_Item] = Batcher(options.limits)
        limits = InferenceLimits(options.in_flight, stages.pad_id)
        self._inference = Inference(ports.model, self._batcher, limits, monotonic)
        self._assigned: set[TopicPartition] = set()
        self._paused = self._pause_again = False
        self._committed_at = self._reported_at = monotonic()
        self._aborts_in_a_row = 0
        self._hastened = False
        self.counts, self._reported = ScoreCounts(), ScoreCounts()

    def run(self, stop: Event) -> None:
        """Work until `stop` is set, then finish and publish what is in hand.

        Raises:
            FatalError: the process should end, and be started anew.
        """
        self.start()
        while not stop.is_set():
            self.step()
        self._drain()

    def start(self) -> None:
        """Join the group; `step` does the rest."""
        self._ports.source.subscribe(list(self._options.inputs), self)

    def step(self) -> None:
        """Go round once: read what is there, send what is due, take what came back, publish what is done."""
        try:
            self._accept(self._read())
        except RetryableError as error:
            log.warning("reading failed", error=str(error))
        self._infer()
        self._publish_if_due()
        self._report()

    @property
    def idle(self) -> bool:
        """Whether nothing is in hand."""
        return len(self._progress) == 0

    @property
    def in_hand(self) -> int:
        """How many messages are in hand; may be read from any thread."""
        return len(self._progress)

    def hasten(self) -> None:
        """End the draining, from another thread: what is done is published as the source is closed, the rest is dropped."""
        self._hastened = True

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Start at the committed offsets. New partitions are not paused, so a worker that is full pauses again."""
        self._assigned.update(partitions)
        self._pause_again = self._paused
        return {}

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Publish what is done while the partitions are still ours, drop the rest: the next owner reads it again.

        After an abort only what stays with us is rewound: a consumer that is being closed would wait for an answer in vain.
        """
        self._assigned.difference_update(partitions)
        self._publish()
        self.on_lost(partitions)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Drop what is in hand. Answers still on their way are ignored by `Progress` when they come."""
        self._assigned.difference_update(partitions)
        self._progress.drop(partitions)

    def _read(self) -> list[Record]:
        room = self._options.max_pending - len(self._progress)
        if self._pause_again or (room <= 0 and not self._paused):
            self._ports.source.pause(sorted(self._assigned))
            self._paused, self._pause_again = True, False
        elif self._paused and room > self._options.max_pending // 2:
            self._ports.source.resume(sorted(self._assigned))
            self._paused = False
        most = max(1, min(room, self._options.max_poll_records))
        return self._ports.source.poll(most, _IDLE_POLL_S if self.idle else 0)

    def _accept(self, records: Sequence[Record]) -> None:
        clock = Clock(int(time.time() * 1000), self._options.max_future_ms)
        items = [item for record in records if (item := self._decode(record, clock)) is not None]
        unknown = [item for item in items if item.known.sentiment is None]
        for item in items:
            if item.known.sentiment is not None:
                self._finish(item, item.known.sentiment)
        arrived_ms = self._monotonic() * 1000
        for item, ids in zip(unknown, self._stages.tokenizer.encode([item.message.content for item in unknown]), strict=True):
            self._batcher.add(Tokenised(ids, arrived_ms, item))

    def _decode(self, record: Record, clock: Clock) -> _Item | None:
        self._progress.begin(record.topic_partition, record.offset)
        self.counts.messages += 1
        try:
            message = decode_message(record, self._options.inputs[record.topic], clock)
        except DecodeError as error:
            self._refuse(record, error)
            return None
        matches = self._stages.matcher.match(message.content, message.entities)
        return _Item(record, message, matches, self._stages.duplicates.look_up(message))

    def _refuse(self, record: Record, error: DecodeError) -> None:
        self.counts.dead_letters += 1
        letter = dead_letter(self._options.dead_letters, record, error)
        self._progress.finish(record.topic_partition, record.offset, (letter,))

    def _infer(self) -> None:
        self._inference.dispatch()
        for batch, logits in self._inference.collect(0.0 if self.idle else _BUSY_WAIT_S):
            self._count(batch)
            self._finish_batch(batch, logits)
        self._inference.dispatch()

    def _count(self, batch: Batch[_Item]) -> None:
        self.counts.batches += 1
        self.counts.padded += batch.bucket * len(batch.texts)
        self.counts.tokens += sum(len(text.ids) for text in batch.texts)

    def _finish_batch(self, batch: Batch[_Item], logits: NDArray[np.float32]) -> None:
        finite = np.logical_and.reduce(np.isfinite(logits), axis=1)
        sentiments = iter(self._stages.calibration.sentiments(logits[finite]))
        for text, is_finite in zip(batch.texts, finite, strict=True):
            if is_finite:
                text.item.known.sentiment = sentiment = next(sentiments)
                self._finish(text.item, sentiment)
            else:
                self._stages.duplicates.forget(text.item.message)
                self._refuse(text.item.record, DecodeError("model_output_invalid", "the model's logits are not finite"))

    def _finish(self, item: _Item, sentiment: Sentiment) -> None:
        duplicate_of = item.known.duplicate_of(item.message)
        scored = Scored(item.message, item.matches, sentiment, duplicate_of, self._stages.model)
        signals = signal_records(scored, self._options.signals)
        self.counts.predictions += 1
        self.counts.signals += len(signals)
        self.counts.duplicates += duplicate_of is not None
        outputs: list[OutRecord] = [prediction_record(scored, self._options.predictions), *signals]
        self._progress.finish(item.record.topic_partition, item.record.offset, outputs)

    def _publish_if_due(self) -> None:
        finished = self._progress.finished
        waited_s = self._monotonic() - self._committed_at
        everything = finished == len(self._progress)
        if finished and (
            everything or finished >= self._options.commit_messages or waited_s >= self._options.commit_interval_s
        ):
            self._publish()

    def _publish(self) -> None:
        """Publish and commit in one transaction; after an abort, start again from the committed offsets.

        A transaction that is aborted time after time will not mend by itself: a topic that takes no record of that size, say.
        """
        self._committed_at = self._monotonic()
        records, offsets = self._progress.take()
        if not offsets:
            return
        try:
            self._ports.sink.commit(records, offsets, self._ports.source.group_metadata())
        except AbortedError as error:
            log.warning("transaction aborted, reading again from the committed offsets", error=str(error))
            self.counts.aborted += 1
            self._aborts_in_a_row += 1
            if self._aborts_in_a_row >= _MAX_ABORTS:
                raise FatalError(f"{_MAX_ABORTS} transactions in a row were aborted; the last: {error}") from error
            self._rewind()
        else:
            self._aborts_in_a_row = 0

    def _rewind(self) -> None:
        self._progress.drop(self._assigned)
        self._inference.clear()
        if not self._assigned:
            return None
        for attempt in range(_REWIND_ATTEMPTS):
            try:
                return self._ports.source.rewind(sorted(self._assigned))
            except RetryableError as error:
                log.warning("rewinding failed", error=str(error), attempt=attempt + 1)
                time.sleep(0.2 * 2**attempt)
        raise FatalError("the committed offsets could not be read after an aborted transaction")

    def _drain(self) -> None:
        """Finish and publish what is in hand, reading nothing new, within the time allowed; polling keeps the membership."""
        deadline = self._monotonic() + self._options.drain_timeout_s
        self._ports.source.pause(sorted(self._assigned))
        while not (self.idle or self._hastened) and self._monotonic() < deadline:
            self._ports.source.poll(1, 0)
            self._infer()
            self._publish_if_due()
        log.info("score role drained", left=len(self._progress), **msgspec.to_builtins(self.counts))

    def _report(self) -> None:
        """Log the counts now and then, while there is something to count."""
        now = self._monotonic()
        if now - self._reported_at >= _REPORT_EVERY_S and self.counts != self._reported:
            self._reported_at, self._reported = now, copy(self.counts)
            log.info("scored so far", in_hand=len(self._progress), **msgspec.to_builtins(self.counts))
