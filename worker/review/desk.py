"""Questions one after the other, each answer in one Kafka transaction with the position behind its question."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec
import structlog

from worker.codec import decode_review, encode_feedback
from worker.errors import AbortedError, DecodeError, RetryableError
from worker.messages import Feedback, Label, OutRecord, Record, Review, TopicPartition
from worker.ports import Sink, Source

log = structlog.get_logger(__name__)
_POLL_S = 0.2


class DeskOptions(msgspec.Struct, frozen=True):
    """Where questions come from and answers go, whose they are, and how long to wait.

    `join_s` is how long joining the group may take; where nothing has come for `quiet_s`, there is nothing.
    """

    questions: str
    answers: str
    annotator: str
    join_s: float = 30.0
    quiet_s: float = 2.0


class Desk:
    """Takes questions from a consumer group's partitions; it is the `RebalanceListener` of its own source.

    While a person thinks, the partitions are paused and `keep` keeps the membership. Whatever ends the process, a question is
    either answered and behind the position, or neither.
    """

    def __init__(self, source: Source, sink: Sink, options: DeskOptions, monotonic: Callable[[], float]) -> None:
        self._source, self._sink, self._options, self._monotonic = source, sink, options, monotonic
        self._assigned: set[TopicPartition] = set()
        self._joined = False
        self._current: Record | None = None
        self._waiting: deque[Record] = deque()

    def open(self) -> None:
        """Join the group."""
        self._source.subscribe([self._options.questions], self)

    def next(self) -> Review | None:
        """Return the next question, None where there is none. A record that is no question is passed over, and said so.

        Raises:
            RetryableError: no partition fell to us in time, because enough others read them or the cluster is busy.
        """
        while (record := self._next_record()) is not None:
            self._current = record
            try:
                return decode_review(record.value)
            except DecodeError as error:
                log.warning("not a question", partition=record.partition, offset=record.offset, error=str(error))
                self.pass_over()
        return None

    def keep(self) -> bool:
        """Stay a member while a person thinks; tells whether the question is still ours."""
        self._source.pause(sorted(self._assigned))
        self._waiting.extend(self._source.poll(1, 0))
        return self._current is not None

    def answer(self, review: Review, label: Label, at: datetime) -> Feedback:
        """Write the answer and move behind its question, both or neither.

        Raises:
            AbortedError: neither; the question comes again, here or at whoever it fell to.
        """
        feedback = Feedback(
            id=review.id,
            text=review.content,
            label=label,
            annotator=self._options.annotator,
            at=at,
            predicted=review.label,
            model_version=review.model.version,
        )
        self._move([OutRecord(self._options.answers, review.id.encode(), encode_feedback(feedback))])
        return feedback

    def pass_over(self) -> None:
        """Move behind the question without an answer; raises AbortedError as `answer` does."""
        self._move([])

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Start at the committed offsets."""
        self._assigned.update(partitions)
        self._joined = True
        return {}

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Nothing is done that is not committed: the next owner asks again."""
        self.on_lost(partitions)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Drop what is in hand."""
        gone = set(partitions)
        self._assigned -= gone
        self._waiting = deque(record for record in self._waiting if record.topic_partition not in gone)
        if self._current is not None and self._current.topic_partition in gone:
            self._current = None

    def _next_record(self) -> Record | None:
        started = heard = self._monotonic()
        self._current = None
        self._source.resume(sorted(self._assigned))
        while not self._waiting:
            self._waiting.extend(self._source.poll(1, _POLL_S))
            now = self._monotonic()
            if not self._assigned:
                heard = now
                self._give_up_joining(now - started)
            elif now - heard >= self._options.quiet_s:
                break
        return self._waiting.popleft() if self._waiting else None

    def _give_up_joining(self, waited_s: float) -> None:
        if waited_s >= self._options.join_s:
            why = "others review all of them" if self._joined else "is the group busy, or has it more members than partitions?"
            raise RetryableError(f"no partition of {self._options.questions} fell to us in {waited_s:.0f} s: {why}")

    def _move(self, answers: Sequence[OutRecord]) -> None:
        record, self._current = self._current, None
        if record is None:
            raise AbortedError("the question has gone to somebody else meanwhile")
        try:
            self._sink.commit(answers, {record.topic_partition: record.offset + 1}, self._source.group_metadata())
        except AbortedError:
            self._waiting.clear()
            self._source.resume(sorted(self._assigned))
            self._source.rewind(sorted(self._assigned))
            raise
