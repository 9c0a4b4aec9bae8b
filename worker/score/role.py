"""The score role's loop, on one thread: read, batch, infer, publish."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from threading import Event

import msgspec
import structlog

from worker.backoff import back_off_s
from worker.codec import Clock, ModelFault, dead_letter, decode_message
from worker.errors import AbortedError, DecodeError, FatalError, RetryableError
from worker.messages import LABELS, Matches, Message, ModelRef, OutRecord, Record, Sentiment, TopicPartition
from worker.ports import Model, Sink, Source
from worker.redact import Redactors
from worker.score.batching import Batch, Batcher, Tokenised
from worker.score.bisection import Refusal
from worker.score.breaker import Breaker
from worker.score.calibration import Calibration
from worker.score.committing import Commits, Runner, beside
from worker.score.counts import ScoreCounts
from worker.score.dedupe import DuplicateIndex, Known
from worker.score.inference import Inference, InferenceLimits, Logits
from worker.score.intake import Brake, HandLimits, Hold, InHand
from worker.score.matching import Matcher
from worker.score.meaning import Meaning
from worker.score.options import ScoreOptions
from worker.score.outputs import Scored, prediction_record, review_records, signal_records
from worker.score.progress import Progress
from worker.score.release import Release
from worker.score.shadow import Question, Shadowing, Unshadowed
from worker.score.tokenizer import Tokenizer

log = structlog.get_logger(__name__)
_IDLE_POLL_S = 0.1
_BUSY_WAIT_S = 0.005
_BEHIND = 5
"""How many times as long finished messages may wait for their commit while more comes than is done."""
_REPORT_EVERY_S = 10.0
_REWIND_PATIENCE_S = 120.0
_MAX_REWIND_PAUSE_S = 5.0
_CANARY = "The weather is fine today."
"""What the model is asked when it is in doubt: a text like any other."""


class ScorePorts(msgspec.Struct, frozen=True):
    """What the role reads from, writes to and asks."""

    source: Source
    sink: Sink
    model: Model
    commits: Runner = beside
    """What runs a commit, beside the loop or at once."""


class ScoreStages(msgspec.Struct, frozen=True):
    """The pure stages, ready for use. Where there is a `meaning`, the model's answers hold embeddings behind the logits."""

    matcher: Matcher
    duplicates: DuplicateIndex
    tokenizer: Tokenizer
    calibration: Calibration
    model: ModelRef
    pad_id: int
    redactors: Redactors = Redactors()
    meaning: Meaning | None = None


class _Item(msgspec.Struct, frozen=True):
    record: Record
    message: Message
    matches: Matches
    known: Known


class _Rewinding(msgspec.Struct, frozen=True):
    since_s: float
    due_s: float
    attempts: int = 0


class ScoreRole:
    """Reads the input topics and publishes predictions, signals, reviews and dead letters, exactly once.

    It is the `RebalanceListener` of its own source. Messages finish in any order; `Progress` gives them out in the order of
    their offsets, and each commit publishes what is done together with the offsets that it covers.
    """

    def __init__(
        self,
        ports: ScorePorts,
        stages: ScoreStages,
        options: ScoreOptions,
        monotonic: Callable[[], float] = time.monotonic,
        changed: Callable[[], Release | None] = lambda: None,
        shadow: Shadowing | None = None,
    ) -> None:
        self._ports = ports
        self._stages = stages
        self._options = options
        self._monotonic = monotonic
        self._changed = changed
        self._shadow = shadow or Unshadowed()
        self._release: Release | None = None
        self._progress = Progress()
        self._batcher: Batcher[_Item] = Batcher(options.limits)
        canary = tuple(stages.tokenizer.encode([_CANARY])[0])
        width = len(LABELS) + (stages.meaning.dimensions if stages.meaning else 0)
        limits = InferenceLimits(options.in_flight, stages.pad_id, canary, options.max_attempts, options.breaker, width)
        self._inference = Inference(ports.model, self._batcher, limits, monotonic)
        self._commits = Commits(ports.commits, monotonic, self._inference.wake)
        self._assigned: set[TopicPartition] = set()
        self._brake = Brake(HandLimits(options.max_pending, options.max_pending_bytes))
        self._rewinding: _Rewinding | None = None
        self._committed_at = self._reported_at = monotonic()
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
        """Go round once: read what is there, send what is due, take what came back, publish what is done.

        What a poll returned in which a rollback happened is dropped: it lies behind what is to be read again.
        """
        self._rewind_if_due()
        try:
            records = self._read()
        except RetryableError as error:
            log.warning("reading failed, reading again from the committed offsets", error=str(error))
            self._start_over()
        if self._rewinding is None:
            self._accept(records)
        self._infer()
        self._publish_if_due()
        self._report()

    @property
    def idle(self) -> bool:
        """Whether nothing is in hand."""
        return self.in_hand == 0

    @property
    def in_hand(self) -> int:
        """How many messages are in hand, those that are being committed included; may be read from any thread."""
        return len(self._progress) + self._commits.leaving.messages

    def hasten(self) -> None:
        """End the draining, from another thread: what is done is published as the source is closed, the rest is dropped."""
        self._hastened = True

    @property
    def breaker(self) -> Breaker:
        """Where the model's circuit breaker stands; may be read from any thread."""
        return self._inference.breaker

    @property
    def holding(self) -> Hold | None:
        """Why nothing new is read, None when all is well; may be read from any thread."""
        return self._brake.why

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Start at the committed offsets. New partitions are not paused, so a worker that holds back pauses again."""
        self._assigned.update(partitions)
        self._brake.renew()
        return {}

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Publish what is done while the partitions are still ours, drop the rest: the next owner reads it again.

        After an abort what stays with us is rewound in the next step: the group waits for this one.
        """
        self._assigned.difference_update(partitions)
        self._settle(wait=True)
        self._publish()
        self.on_lost(partitions)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Drop what is in hand. Answers still on their way are ignored by `Progress` when they come.

        A transaction that is open is waited for: whoever has the partitions next reads where it leaves them.
        """
        self._settle(wait=True)
        gone = set(partitions)
        self._assigned -= gone
        self._brake.renew()
        self._progress.drop(gone)
        self._inference.keep(lambda item: item.record.topic_partition not in gone)

    def _read(self) -> list[Record]:
        self._hold_or_go_on()
        if self._brake.why and not self._brake.is_paused:
            return []
        room = 1 if self._brake.why else self._options.max_pending - self.in_hand
        most = max(1, min(room, self._options.max_poll_records))
        return self._ports.source.poll(most, 0 if self._progress else _IDLE_POLL_S)

    def _hold_or_go_on(self) -> None:
        """Pause or resume all partitions, and pause again what a rebalance brought or resumed."""
        in_hand = InHand(self.in_hand, self._progress.size + self._commits.leaving.size)
        match self._brake.look(in_hand, self.breaker.phase, self._monotonic(), rewinding=self._rewinding is not None):
            case "pause":
                self._ports.source.pause(sorted(self._assigned))
            case "resume":
                self._ports.source.resume(sorted(self._assigned))

    def _accept(self, records: Sequence[Record]) -> None:
        clock = Clock(int(time.time() * 1000), self._options.max_future_ms)
        with self.counts.timing("decode_s", self._monotonic):
            items = [item for record in records if (item := self._decode(record, clock)) is not None]
        unknown = [item for item in items if item.known.sentiment is None]
        for item in items:
            if item.known.sentiment is not None:
                self.counts.cache_hits += 1
                self._finish(item, item.known.sentiment, item.known.similarities)
        arrived_ms = self._monotonic() * 1000
        with self.counts.timing("tokenise_s", self._monotonic):
            tokens = self._stages.tokenizer.encode([item.message.content for item in unknown])
        for place, (item, ids) in enumerate(zip(unknown, tokens, strict=True)):
            # A nanosecond apart, so that the oldest goes first among those that came together too: its partition waits for it.
            self._batcher.add(Tokenised(ids, arrived_ms + place * 1e-6, item))

    def _decode(self, record: Record, clock: Clock) -> _Item | None:
        self._progress.begin(record.topic_partition, record.offset, len(record.key or b"") + len(record.value or b""))
        self.counts.messages += 1
        try:
            message = decode_message(record, self._options.inputs[record.topic], clock)
        except DecodeError as error:
            self._refuse(record, error)
            return None
        matches = self._stages.matcher.match(message.content, message.entities)
        return _Item(record, message, matches, self._stages.duplicates.look_up(message, matches))

    def _refuse(self, record: Record, error: DecodeError) -> None:
        self.counts.dead_letters += 1
        letter = dead_letter(self._options.dead_letters, record, error)
        self._progress.finish(record.topic_partition, record.offset, (letter,))

    def _infer(self) -> None:
        self._take_release()
        self._inference.dispatch()
        for batch, answers in self._inference.collect(self._wait_s()):
            self._count(batch)
            with self.counts.timing("publish_s", self._monotonic):
                self._finish_batch(batch, answers)
        self._shadow.collect()
        for refusal in self._inference.take_refused():
            self._give_up(refusal)
        self._inference.dispatch()

    def _wait_s(self) -> float:
        if self._inference.is_full or self._brake.why in {"too_many_messages", "too_many_bytes"}:
            return self._options.full_wait_s
        return _BUSY_WAIT_S if self._progress else 0.0

    def _take_release(self) -> None:
        """Go over to another version of the model between two batches: each prediction names the version that answered."""
        self._release = self._release or self._changed()
        if self._release is None or not self._inference.succeed(self._release.model):
            return
        release, self._release, before = self._release, None, self._ports.model
        self._ports = msgspec.structs.replace(self._ports, model=release.model)
        self._stages = msgspec.structs.replace(self._stages, model=release.ref, calibration=release.calibration)
        self._stages.duplicates.forget_sentiments()
        self._batcher.go_on_with(pads_freely=release.pads_freely)
        before.close()
        self.counts.releases += 1
        log.info("going on with another version of the model", version=release.ref.version)

    def _count(self, batch: Batch[_Item]) -> None:
        self.counts.batches += 1
        self.counts.padded += batch.bucket * len(batch.texts)
        lengths = [len(text.ids) for text in batch.texts]
        self.counts.tokens += sum(lengths)
        self.counts.ceiling_s += self._options.limits.ceiling_s(batch.bucket, lengths)
        self.counts.batch_texts += len(batch.texts)
        self.counts.batch_room += self._options.limits.texts(batch.bucket)
        waited_s, asked_s = self._inference.spent
        self.counts.queue_s, self.counts.infer_s = waited_s, asked_s

    def _finish_batch(self, batch: Batch[_Item], answers: Logits) -> None:
        logits, embeddings = answers[:, : len(LABELS)], answers[:, len(LABELS) :]
        sentiments, meaning = self._stages.calibration.sentiments(logits), self._stages.meaning
        found = meaning.find(embeddings) if meaning else [{} for _ in batch.texts]
        asked = []
        for text, sentiment, similarities in zip(batch.texts, sentiments, found, strict=True):
            text.item.known.sentiment, text.item.known.similarities = sentiment, similarities
            asked.append(Question(text.ids, self._finish(text.item, sentiment, similarities)))
        self._shadow.offer(batch.bucket, asked)

    def _give_up(self, refusal: Refusal[_Item]) -> None:
        """Send a message to dead letters that the model cannot take; no repeat of its text may point to it."""
        record, fault = refusal.text.item.record, refusal.fault
        log.warning("the model cannot take a message", topic=record.topic, partition=record.partition, offset=record.offset)
        self._stages.duplicates.forget(refusal.text.item.message, refusal.text.item.known)
        reason: ModelFault = "model_output_invalid" if fault.reason == "not_finite" else "model_refused"
        self._refuse(record, DecodeError(reason, fault.detail))

    def _finish(self, item: _Item, sentiment: Sentiment, similarities: dict[str, float]) -> Scored:
        duplicate_of = item.known.duplicate_of(item.message)
        matches = item.matches.meaning(similarities)
        scored = Scored(item.message, matches, sentiment, duplicate_of, self._stages.model)
        signals = signal_records(scored, self._options.signals, self._stages.redactors)
        self.counts.predictions += 1
        self.counts.signals += len(signals)
        reviews = review_records(scored, self._options.review)
        self.counts.reviews += len(reviews)
        self.counts.duplicates += duplicate_of is not None
        outputs: list[OutRecord] = [prediction_record(scored, self._options.predictions), *signals, *reviews]
        self._progress.finish(item.record.topic_partition, item.record.offset, outputs)
        return scored

    def _publish_if_due(self) -> None:
        self._settle(wait=False)
        finished = 0 if self._commits.is_open else self._progress.finished
        waited_s = self._monotonic() - self._committed_at
        interval_s = self._options.commit_interval_s * (_BEHIND if self._brake.is_behind else 1)
        everything = finished == len(self._progress)
        if finished and (everything or finished >= self._options.commit_messages or waited_s >= interval_s):
            self._publish()

    def _publish(self) -> None:
        """Begin to publish and commit what is done, in one transaction; none may be open."""
        self._committed_at = self._monotonic()
        before = InHand(len(self._progress), self._progress.size)
        records, offsets = self._progress.take()
        if not offsets:
            return
        leaving = InHand(before.messages - len(self._progress), before.size - self._progress.size)
        commit = partial(self._ports.sink.commit, records, offsets, self._ports.source.group_metadata())
        self._commits.begin(commit, leaving)
        self._settle(wait=False)

    def _settle(self, *, wait: bool) -> None:
        """See what became of the transaction. Unless it went well, nothing that was done after it may be committed either."""
        well = False
        try:
            self._commits.settle(wait=wait)
            well = True
        except AbortedError as error:
            log.warning("transaction aborted, reading again from the committed offsets", error=str(error))
        finally:
            if not well:
                self._start_over()
            self.counts.commit_s, self.counts.aborted = self._commits.seconds, self._commits.aborted

    def _start_over(self) -> None:
        """Drop everything in hand; the next step rewinds. Safe within a rebalance, for it waits for nobody."""
        self._progress.clear()
        self._inference.clear()
        self._rewinding = _Rewinding(self._monotonic(), self._monotonic())

    def _rewind_if_due(self) -> None:
        """Read on from the committed offsets. While they are out of reach, polling goes on and what it returns is dropped.

        Resumed first: what librdkafka makes of a seek in a paused partition has changed over its versions.
        """
        rewinding, now_s = self._rewinding, self._monotonic()
        if rewinding is None or now_s < rewinding.due_s or self._commits.is_open:
            return  # a transaction that is open moves the offsets to begin at
        try:
            self._ports.source.resume(sorted(self._assigned))
            self._ports.source.rewind(sorted(self._assigned))
        except RetryableError as error:
            self._rewind_later(rewinding, error)
        else:
            self._rewinding = None
            self._brake.release()

    def _rewind_later(self, rewinding: _Rewinding, error: RetryableError) -> None:
        now_s, attempts = self._monotonic(), rewinding.attempts + 1
        log.warning("rewinding failed", error=str(error), attempt=attempts)
        if now_s - rewinding.since_s > _REWIND_PATIENCE_S:
            raise FatalError("the committed offsets could not be read after an aborted transaction") from error
        pause_s = back_off_s(attempts, _MAX_REWIND_PAUSE_S, random.random())  # noqa: S311 - jitter, no secret
        self._rewinding = _Rewinding(rewinding.since_s, now_s + pause_s, attempts)
        self._brake.renew()

    def _drain(self) -> None:
        """Finish and publish what is in hand, reading nothing new, within the time allowed; polling keeps the membership."""
        deadline = self._monotonic() + self._options.drain_timeout_s
        self._ports.source.pause(sorted(self._assigned))
        while not (self.idle or self._hastened) and self._monotonic() < deadline:
            self._keep_membership()
            self._infer()
            self._publish_if_due()
        log.info("score role drained", left=self.in_hand, **msgspec.to_builtins(self.counts))

    def _keep_membership(self) -> None:
        try:
            self._ports.source.poll(1, 0)
        except RetryableError as error:
            log.warning("polling failed", error=str(error))

    def _report(self) -> None:
        """Log the counts now and then, while there is something to count."""
        now = self._monotonic()
        if now - self._reported_at >= _REPORT_EVERY_S and self.counts != self._reported:
            self._reported_at, self._reported = now, copy(self.counts)
            log.info("scored so far", in_hand=len(self._progress), **msgspec.to_builtins(self.counts))
