"""Reading as a member of a consumer group."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import methodcaller
from typing import NamedTuple

import confluent_kafka as ck
import structlog
from confluent_kafka import KafkaError, KafkaException
from msgspec.structs import replace

from worker.adapters.kafka.config import TIMEOUT_S, configuring, consumer_config, translated
from worker.adapters.kafka.reach import Astray, back_in_reach
from worker.adapters.kafka.refusals import Refusals, grant
from worker.adapters.kafka.standstill import Standstill
from worker.adapters.kafka.statistics import decode_statistics
from worker.errors import FatalError, RetryableError
from worker.messages import Headers, Record, TopicPartition
from worker.ports import RebalanceListener, SourceStatistics
from worker.settings import KafkaSettings

log = structlog.get_logger(__name__)
_SLACK_S = 15.0
"""How much later than its timeout the broker may abort a transaction whose producer is gone."""
_LOOK_AGAIN_S = 0.5
_LOOK_S = 1.0
_LEAST_S = 1.0
"""What a question gets whose time is up already: enough for an answer, if there is one."""
_OUT_OF_REACH = KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001 - that is its public name
_NOT_FETCHING = KafkaError._STATE  # noqa: SLF001
UNREADABLE_HEADERS = ("tidings.unreadable_headers", None)
"""Stands for the headers of a record that has a header name which is no UTF-8."""
_read_headers: Callable[["ck.Message[bytes, bytes]"], "list[tuple[str, bytes | None]] | None"] = methodcaller("headers")


class Membership(NamedTuple):
    """What a sink needs of a group's member: `metadata` fences a transaction, `commit` commits offsets without one."""

    metadata: object
    commit: Callable[[Mapping[TopicPartition, int]], None]


class KafkaSource:
    """`ports.Source` over a confluent-kafka consumer with cooperative rebalancing."""

    def __init__(self, settings: KafkaSettings, group: str) -> None:
        self._fatal: KafkaError | None = None
        self._refusals = Refusals("consumer", settings)
        self._group = group
        self._patience_s = min(settings.transaction_timeout_s + _SLACK_S, settings.max_poll_interval_s * 0.8)
        with configuring():
            callbacks = {"error_cb": self._on_error, "stats_cb": self._on_statistics}
            # An offset that the log does not have is our affair: librdkafka would begin the partition anew, and say nothing.
            own = {"auto.offset.reset": "error", **callbacks}
            self._consumer = ck.Consumer(consumer_config(settings, group) | own)
        self._assigned: set[TopicPartition] = set()
        self._sought: dict[TopicPartition, int] = {}
        self._next: dict[TopicPartition, int] = {}
        """Of each assigned partition no later than the offset that librdkafka fetches next."""
        self._astray: dict[TopicPartition, ck.Message] = {}
        self._paused: set[TopicPartition] = set()
        self._standstill = Standstill()
        self._deadline_s: float | None = None
        """By when a rebalance that is being told of must be over, None while there is none."""
        self.expired = 0
        """How many offsets were no longer in the log when they were to be read."""
        self.standstills = 0
        """How many partitions were begun again because librdkafka had stopped fetching them."""
        self.statistics: SourceStatistics | None = None
        """The last that librdkafka told, None before the first time; may be read from any thread."""

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """See `ports.Source`."""
        self._consumer.subscribe(
            list(topics),
            on_assign=self._assigning(listener),
            on_revoke=self._taking_away(listener.on_revoked),
            on_lost=self._taking_away(listener.on_lost),
        )

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """See `ports.Source`. Waits for the first record only, then takes what is already here.

        A listener may seek from within, having rolled back. What was fetched before that is not what should come next, and is
        dropped: returned, it would be taken for the successor of records that are yet to be read again.
        """
        self._sought.clear()
        with translated("reading from Kafka"):
            first = self._consumer.poll(timeout_s)
            rest = self._consumer.consume(max_records - 1, 0) if first is not None and max_records > 1 else []
        if self._fatal is not None:
            raise FatalError(f"the Kafka consumer cannot go on: {self._fatal.str()}")
        self._refusals.raise_lasting()
        messages = [message for message in (first, *rest) if message is not None and self._is_record(message)]
        # consume() can return what was fetched before a rebalance took its partition away (confluent-kafka-python 1013).
        wanted = self._assigned - self._sought.keys()
        records = [record for record in map(to_record, messages) if record.topic_partition in wanted]
        heard = {record.topic_partition: record.offset + 1 for record in records}
        self._next.update(heard)
        self._standstill.hear(heard)
        self._seek_again({p: offset for p, offset in self._sought.items() if p in self._assigned})
        self._return()
        self._look_for_standstill()
        return records

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """See `ports.Source`."""
        with translated("seeking"):
            for partition, offset in offsets.items():
                self._go_to(partition, offset)
                self._sought[partition] = self._next[partition] = offset
            self._standstill.forget(offsets)

    def rewind(self, partitions: Sequence[TopicPartition]) -> None:
        """See `ports.Source`."""
        committed = self.committed(partitions)
        self.seek({p: ck.OFFSET_BEGINNING if offset is None else offset for p, offset in committed.items()})

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        """See `ports.Source`."""
        if not partitions:
            return {}
        deadline_s = self._deadline_s or time.monotonic() + self._patience_s
        with translated(f"reading committed offsets of the group {self._group}"):
            while (answers := self._ask_committed(partitions, deadline_s)) is None and time.monotonic() < deadline_s:
                time.sleep(_LOOK_AGAIN_S)
        if answers is None:
            raise RetryableError("reading committed offsets failed: a transaction over them is still open")
        return answers

    def offsets_at(self, partitions: Sequence[TopicPartition], timestamp_ms: int) -> dict[TopicPartition, int]:
        """See `ports.Source`."""
        if not partitions:  # librdkafka refuses an empty question
            return {}
        with translated("looking offsets up by time"):
            asked = [ck.TopicPartition(*p, timestamp_ms) for p in partitions]
            answers = {_partition(a): _checked(a).offset for a in self._consumer.offsets_for_times(asked, timeout=TIMEOUT_S)}
            return {p: offset if offset >= 0 else self._end(p) for p, offset in answers.items()}

    def partitions(self, topic: str) -> list[TopicPartition]:
        """See `ports.Source`."""
        with translated(f"looking at {topic}"):
            known = self._consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
            if known.error is not None:
                raise KafkaException(known.error)
            return [TopicPartition(topic, number) for number in sorted(known.partitions)]

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """See `ports.Source`."""
        with translated("pausing"):
            self._consumer.pause([ck.TopicPartition(*p) for p in partitions])
            self._paused.update(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """See `ports.Source`."""
        with translated("resuming"):
            self._consumer.resume([ck.TopicPartition(*p) for p in partitions])
            self._paused.difference_update(partitions)
            self._standstill.forget(partitions)

    def group_metadata(self) -> object:
        """See `ports.Source`."""
        return Membership(self._consumer.consumer_group_metadata(), self.commit)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the offsets of those partitions that are still ours, and wait for it; the others are their new owner's.

        Raises:
            RetryableError: the broker refused, as it does when the group has gone on without us, or did not answer.
            FatalError: this member can no longer take part in the group.
        """
        mine = [ck.TopicPartition(*p, offset) for p, offset in offsets.items() if p in self._assigned]
        if mine:
            with translated("committing offsets"):
                for answer in self._consumer.commit(offsets=mine, asynchronous=False) or ():
                    _checked(answer)

    def close(self) -> None:
        """See `ports.Source`; the listener hears of the revocation from here."""
        with translated("leaving the group"):
            self._consumer.close()

    def _seek_again(self, offsets: Mapping[TopicPartition, int]) -> None:
        try:
            self.seek(offsets)
        except RetryableError as error:  # the position lies past what was dropped, so going on would skip it
            raise FatalError(str(error)) from error

    def _go_to(self, partition: TopicPartition, offset: int) -> None:
        """Seek; a partition that librdkafka has given up for its offset cannot be sought, and is begun again.

        Not from within a rebalance, where that would count as the answer to it: `poll` comes back to it.
        """
        try:
            self._consumer.seek(ck.TopicPartition(*partition, offset))
        except KafkaException as error:
            if error.args[0].code() != _NOT_FETCHING or partition not in self._assigned:
                raise
            if self._deadline_s is None:
                self._begin_again(partition, offset)

    def _begin_again(self, partition: TopicPartition, offset: int) -> None:
        self._consumer.incremental_unassign([ck.TopicPartition(*partition)])
        self._consumer.incremental_assign([ck.TopicPartition(*partition, offset)])
        self._next[partition] = offset

    def _return(self) -> None:
        """Go on with the partitions whose log does not have the offset that was to be read; see `reach`."""
        for partition, message in list(self._astray.items()):
            asked = message.offset()
            # One that went away, or that was told to go elsewhere before we heard of it, is not astray.
            if partition in self._assigned and (asked is None or asked >= self._next[partition]):
                self._return_one(Astray(partition, asked, self._next[partition], _said(message)))
            del self._astray[partition]

    def _return_one(self, astray: Astray) -> None:
        with translated(f"looking for an offset of {astray.partition.topic}-{astray.partition.partition}"):
            at = ck.TopicPartition(*astray.partition)
            low, high = self._consumer.get_watermark_offsets(at, timeout=TIMEOUT_S)
            start = back_in_reach(astray, low, high, self._group)
            self._begin_again(astray.partition, start)
        if astray.asked is not None:
            self.expired += max(0, start - astray.asked)

    def _look_for_standstill(self) -> None:
        """Look at one partition that is silent, if one is due; see `standstill`."""
        partition = self._standstill.due(self._assigned - self._paused)
        if partition is None:
            return
        place = ck.TopicPartition(*partition)
        try:
            low, end = self._consumer.get_watermark_offsets(place, timeout=_LOOK_S)
        except KafkaException:  # nobody is there to ask, or to fetch from
            return
        told = self.statistics.partitions.get(partition) if self.statistics else None
        position = max(low, self._next[partition], told.next_fetch if told else low)
        verdict = self._standstill.judge(partition, end if told and told.queued else position, end)
        name = f"{partition.topic}-{partition.partition}"
        if verdict == "give_up":
            raise FatalError(f"{name} stands still at {position} of {end}, and beginning it again did not help; start anew")
        if verdict == "begin_again":
            log.warning("partition stands still, begun again", partition=name, offset=self._next[partition], end=end)
            self.standstills += 1
            with translated(f"beginning {name} again, which stands still"):
                self._consumer.resume([place])
                self._begin_again(partition, self._next[partition])

    def _end(self, partition: TopicPartition) -> int:
        _, high = self._consumer.get_watermark_offsets(ck.TopicPartition(*partition), timeout=TIMEOUT_S)
        return int(high)

    def _assigning(self, listener: RebalanceListener) -> Callable[[ck.Consumer, list[ck.TopicPartition]], None]:
        def on_assign(consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
            names = [_partition(p) for p in partitions]
            with self._rebalancing():
                starts = self._starts(names, listener.on_assigned(names))
            self._assigned.update(names)
            self._next.update(starts)
            consumer.incremental_assign([ck.TopicPartition(*name, starts[name]) for name in names])
            log.info("partitions assigned", partitions=_readable(names))

        return on_assign

    @contextmanager
    def _rebalancing(self) -> Iterator[None]:
        """Within a rebalance all questions for committed offsets share one deadline: the group waits for their sum."""
        self._deadline_s = time.monotonic() + self._patience_s
        try:
            yield
        finally:
            self._deadline_s = None

    def _ask_committed(
        self, partitions: Sequence[TopicPartition], deadline_s: float
    ) -> dict[TopicPartition, int | None] | None:
        """Return the committed offsets, None while a transaction is open that may move one of them."""
        timeout_s = min(TIMEOUT_S, max(_LEAST_S, deadline_s - time.monotonic()))
        try:
            answers = self._consumer.committed([ck.TopicPartition(*p) for p in partitions], timeout=timeout_s)
            return {_partition(a): a.offset if a.offset >= 0 else None for a in map(_checked, answers)}
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNSTABLE_OFFSET_COMMIT:
                return None
            raise

    def _starts(self, partitions: Sequence[TopicPartition], told: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Return where to begin each partition: where the listener says, else where the group stands.

        librdkafka is not left to find that out (OFFSET_STORED): when the assignment changes while it waits for an open
        transaction over a partition, it takes that for one without an offset and reads it from the beginning. Seen with
        librdkafka 2.16.0 after a broker was killed; `rd_kafka_assignment_apply_offsets` is where it happens.
        """
        try:
            committed = self.committed([p for p in partitions if p not in told])
        except RetryableError as error:
            raise FatalError(f"newly assigned partitions cannot be begun: {error}") from error
        return {**{p: ck.OFFSET_BEGINNING if offset is None else offset for p, offset in committed.items()}, **told}

    def _taking_away(
        self, tell: Callable[[Sequence[TopicPartition]], None]
    ) -> Callable[[ck.Consumer, list[ck.TopicPartition]], None]:
        def on_taken(consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
            names = [_partition(p) for p in partitions]
            with self._rebalancing():
                tell(names)
            self._assigned.difference_update(names)
            self._paused.difference_update(names)
            self._standstill.forget(names)
            for name in names:
                self._next.pop(name, None)
            # librdkafka would keep a pause for the partition's next time here, when nobody knows of it: it would stand still.
            consumer.resume(partitions)
            consumer.incremental_unassign(partitions)
            log.info("partitions taken away", partitions=_readable(names))

        return on_taken

    def _on_error(self, error: KafkaError) -> None:
        self._refusals(error)
        if error.fatal():
            self._fatal = error

    def _on_statistics(self, text: str) -> None:
        self.statistics = replace(decode_statistics(text), expired=self.expired, standstills=self.standstills)

    def _is_record(self, message: ck.Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.fatal():
            raise FatalError(f"the Kafka consumer cannot go on: {error.str()}")
        if needed := grant(error, topic=message.topic(), group=self._group):
            raise FatalError(f"the Kafka consumer cannot go on: {error.str()}; {needed}")
        if error.code() == _OUT_OF_REACH:
            self._astray[_place(message)] = message
        else:
            self._refusals(error)
        return False


def _partition(partition: ck.TopicPartition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.partition)


def _place(message: "ck.Message[bytes, bytes]") -> TopicPartition:
    topic, partition = message.topic(), message.partition()
    if topic is None or partition is None:
        raise FatalError("Kafka delivered a message that does not say where it comes from")
    return TopicPartition(topic, partition)


def _said(message: "ck.Message[bytes, bytes]") -> str:
    error = message.error()
    return error.str() if error is not None else ""


def _checked(answer: ck.TopicPartition) -> ck.TopicPartition:
    if answer.error is not None:
        raise KafkaException(answer.error)
    return answer


def to_record(message: "ck.Message[bytes, bytes]") -> Record:
    """Return librdkafka's message as ours."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise FatalError("Kafka delivered a record that does not say where it comes from")
    return Record(topic, partition, offset, message.key(), message.value(), message.timestamp()[1], _headers(message))


def _headers(message: "ck.Message[bytes, bytes]") -> Headers:
    """Return the headers, or one that says that they cannot be read: the binding fails on a name that is no UTF-8.

    Any producer can write such a name, so it must not end the process. confluent-kafka 2.16.1 then returns a value and leaves
    an exception set. CPython 3.11's specialised call does not look, and the error surfaces at some later call; `methodcaller`
    calls in the way that always looks, and raises SystemError here.
    """
    try:
        return tuple(_read_headers(message) or ())
    except (SystemError, UnicodeDecodeError):
        return (UNREADABLE_HEADERS,)


def _readable(partitions: Sequence[TopicPartition]) -> list[str]:
    return [f"{p.topic}-{p.partition}" for p in sorted(partitions)]
