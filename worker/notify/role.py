"""The notify role: one active member reads all alert events, tells receivers, and keeps on record what was told.

Groups span partitions, so one member works at a time: the one with the lease. The others stand by, outside the consumer group.
Everything written carries the lease's token, so that a member that lost it writes nothing more, and sends nothing more either:
that a notification is about to be sent is on record before it is.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

import msgspec
import structlog

from worker.codec import decode_alert_event
from worker.errors import DecodeError, FencedError, RetryableError
from worker.messages import AlertEvent, Record, TopicPartition
from worker.notify.book import Book
from worker.notify.config import NotifyConfig
from worker.notify.delivery import Delivery
from worker.notify.groups import Ending
from worker.notify.ports import NotifyCommit, NotifyStore
from worker.notify.routing import GroupName
from worker.notify.writing import write
from worker.ports import History, Sink, Source

log = structlog.get_logger(__name__)
_NEVER_TIMESTAMP_MS = 1 << 62
"""Later than any record: asked for by it, a partition answers with its end."""


class NotifyPorts(msgspec.Struct, frozen=True):
    """What the role reads from, keeps its state in, and commits offsets by. A source is opened for each time it is active."""

    open_source: Callable[[], Source]
    offsets: Sink
    store: NotifyStore
    history: History


class NotifyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How much at a time, and how patient."""

    topic: str = "sentiment.alerts"
    external_url: str = ""
    max_records: int = 500
    poll_timeout_s: float = 0.2
    lease_s: float = 15.0
    standby_s: float = 2.0
    """How often a member that stands by asks for the lease, and how long a failing one waits before it asks again."""
    commit_interval_s: float = 1.0
    """How often the group's offsets are committed; they are for lag tools, and for a store that was lost."""
    read_back: int = 5_000
    """Offsets read at once of what came before the role was there."""
    max_alerts: int = 100_000
    wall_clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class NotifyCounts(msgspec.Struct):
    """What the role has done since it started."""

    events: int = 0
    undecodable: int = 0
    sent: int = 0
    refused: int = 0
    failed: int = 0
    overflowed: int = 0
    terms: int = 0


class NotifyRole:
    """Waits for the lease, then works until it loses it or is told to stop; one thread, one consumer at a time."""

    def __init__(
        self, ports: NotifyPorts, config: NotifyConfig, delivery: Delivery, options: NotifyOptions | None = None
    ) -> None:
        self._ports = ports
        self._config = config
        self._delivery = delivery
        self._options = options or NotifyOptions()
        self._token = uuid.uuid4().hex
        self._hastened = False
        self.counts = NotifyCounts()
        self.waiting: Mapping[str, int] = dict.fromkeys(config.targets, 0)
        """For each integration, how many groups have news that are not told; replaced, never changed, by the role's thread."""
        self.groups = 0
        """How many groups there are."""

    @property
    def in_hand(self) -> int:
        """How many notifications are on their way."""
        return self._delivery.in_flight

    def hasten(self) -> None:
        """Wait no longer for what is on its way: it will be told again, by whoever comes next, under the same key."""
        self._hastened = True

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; what is on its way then is waited for, unless the role is hastened.

        Raises:
            FatalError: this process cannot go on.
        """
        while not stop.is_set():
            try:
                with self._leading() as leads:
                    if leads:
                        self._work(stop)
            except FencedError as error:
                log.warning("no longer the active notifier", error=str(error))
            except RetryableError as error:
                log.warning("beginning anew", error=str(error))
            self.waiting, self.groups = dict.fromkeys(self._config.targets, 0), 0
            stop.wait(self._options.standby_s)

    @contextmanager
    def _leading(self) -> Iterator[bool]:
        leads = self._ports.store.acquire(self._token, self._options.lease_s)
        try:
            yield leads
        finally:
            if leads:
                self._release()

    def _release(self) -> None:
        try:
            self._ports.store.release(self._token)
        except RetryableError as error:
            log.warning("the lease could not be given back, and ends by itself", error=str(error))

    def _work(self, stop: threading.Event) -> None:
        self.counts.terms += 1
        log.info("the active notifier from now on", receivers=sorted(self._config.targets))
        term = Term(self._ports, self._config, self._delivery, self._options, self._token)
        term.counts = self.counts
        with closing(self._ports.open_source()) as source:
            term.begin(source)
            while not stop.is_set():
                term.step(self._options.poll_timeout_s)
                self.waiting, self.groups = term.book.waiting(), len(term.book)
            while self._delivery.in_flight and not self._hastened:
                term.finish_up()
                time.sleep(0.02)
            term.finish_up()


class Term:
    """One time of being the active notifier: from what is on record to the loss of the lease."""

    def __init__(
        self, ports: NotifyPorts, config: NotifyConfig, delivery: Delivery, options: NotifyOptions, token: str
    ) -> None:
        self._ports = ports
        self._config = config
        self._delivery = delivery
        self._options = options
        self._token = token
        self._source: Source
        self._offsets: dict[TopicPartition, int] = {}
        self._unstored: set[TopicPartition] = set()
        self._uncommitted: set[TopicPartition] = set()
        self._mine: set[TopicPartition] = set()
        self._behind: set[TopicPartition] = set()
        self._commits = 0
        self._is_blocked = False
        self._renewed_s = options.monotonic()
        self._committed_s = float("-inf")
        self.book = Book(config, options.max_alerts)
        self.counts = NotifyCounts()

    def begin(self, source: Source) -> None:
        """Take up what is on record, and join the group."""
        found = self._ports.store.load()
        self._offsets = dict(found.offsets)
        self._commits = found.commits
        self.book.restore(found.groups, found.members, self._now_ms())
        self._source = source
        source.subscribe([self._options.topic], self)

    def step(self, timeout_s: float) -> None:
        """Do one cycle.

        1. Renew the lease when it is time to, and see that the store stands where we left it.
        2. Read; what came before we were there first, and nothing is sent before that is read.
        3. Hear which notifications have come back.
        4. Put it on record, then commit the group's offsets.
        5. Send what is due: on record first, then off.

        Where the store does not answer nothing is read and nothing sent, until the lease is over.

        Raises:
            FencedError: the lease is lost.
            RetryableError: Kafka did not answer, or the store not for as long as the lease lasts.
        """
        self._renew()
        if not self._is_blocked:
            self._read(timeout_s)
        self._hear()
        if self._store():
            self._commit_offsets()
            self._send_due()
        else:
            time.sleep(min(timeout_s, 0.2))

    def finish_up(self) -> None:
        """Hear what has come back, and put it on record; nothing new is read or sent."""
        self._renew()
        self._hear()
        if self._store():
            self._commit_offsets(now=True)

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Take partitions on; `step` reads what came before. See `RebalanceListener`."""
        self._mine.update(partitions)
        self._behind.update(partitions)
        return {}

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Let partitions go; every cycle has put on record what it did."""
        self._mine.difference_update(partitions)
        self._behind.difference_update(partitions)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Let partitions go."""
        self.on_revoked(partitions)

    def _renew(self) -> None:
        now_s = self._options.monotonic()
        if now_s - self._renewed_s < self._options.lease_s / 3:
            return
        try:
            commits = self._ports.store.renew(self._token, self._options.lease_s)
        except RetryableError as error:
            if now_s - self._renewed_s >= self._options.lease_s:
                raise
            log.warning("the lease could not be renewed yet", error=str(error))
            return
        if commits is None:
            raise FencedError("the lease is gone: it ran out, or the store lost it")
        if commits != self._commits:
            raise FencedError(f"the store stands at commit {commits}, and was left at {self._commits}")
        self._renewed_s = now_s

    def _read(self, timeout_s: float) -> None:
        for partition in sorted(self._behind):
            self._read_back(partition)
        self._take(self._source.poll(self._options.max_records, timeout_s))

    def _read_back(self, partition: TopicPartition) -> None:
        """Read what came before; where nothing is on record, up to the group's offset as what was told long ago."""
        stored = self._offsets.get(partition)
        known = self._source.committed([partition])[partition] if stored is None else None
        end = self._source.offsets_at([partition], _NEVER_TIMESTAMP_MS)[partition]
        first = self._source.offsets_at([partition], 0)[partition] if stored is None else stored
        if stored is None:
            log.warning("nothing on record of a partition of alerts", partition=partition.partition, told_up_to=known)
        self._source.pause([partition])
        for start in range(first, end, self._options.read_back):
            part = range(start, min(end, start + self._options.read_back))
            records = self._ports.history.signals(partition, part)
            self._account(partition, part.stop, self._decoded(records), told_before=known or 0)
            self._renew()
            self._store()
        self._account(partition, max(first, end), [])
        self._source.seek({partition: self._offsets[partition]})
        self._source.resume([partition])
        self._behind.discard(partition)

    def _take(self, records: Sequence[Record]) -> None:
        runs: dict[TopicPartition, list[Record]] = {}
        for record in records:
            if record.topic_partition in self._mine - self._behind:
                runs.setdefault(record.topic_partition, []).append(record)
        for partition, run in runs.items():
            fresh = [record for record in run if record.offset >= self._offsets[partition]]
            self._account(partition, run[-1].offset + 1, self._decoded(fresh))

    def _account(
        self, partition: TopicPartition, upto: int, events: Sequence[tuple[int, AlertEvent]], told_before: int = 0
    ) -> None:
        now_ms = self._now_ms()
        self.book.take([event for offset, event in events if offset < told_before], now_ms, known=True)
        self.book.take([event for offset, event in events if offset >= told_before], now_ms)
        if self._offsets.get(partition) != upto:
            self._offsets[partition] = upto
            self._unstored.add(partition)
        self.counts.events += len(events)
        self.counts.overflowed = self.book.overflowed

    def _decoded(self, records: Sequence[Record]) -> list[tuple[int, AlertEvent]]:
        found = []
        for record in records:
            try:
                found.append((record.offset, decode_alert_event(record.value or b"")))
            except DecodeError as error:
                self.counts.undecodable += 1
                log.warning("alert undecodable", partition=record.partition, offset=record.offset, error=str(error))
        return found

    def _hear(self) -> None:
        for sent in self._delivery.returned():
            result = sent.outcome.result
            self.book.finish(sent.notification.group, Ending(sent.notification.key, result), self._now_ms())
            self.counts.sent += result == "sent"
            self.counts.refused += result == "refused"
            self.counts.failed += result in {"failed", "unknown"}

    def _store(self) -> bool:
        """Put on record what is new; return whether all of it is. To write the same twice does no harm."""
        changes = self.book.changes()
        if not (changes.groups or changes.members or self._unstored):
            self.book.settle()
            return True
        offsets = {partition: self._offsets[partition] for partition in self._unstored}
        commit = NotifyCommit(self._commits + 1, offsets, changes.groups, changes.members)
        try:
            self._ports.store.commit(self._token, commit)
        except RetryableError as error:
            self._is_blocked = True
            log.warning("notifications wait: their state cannot be stored", error=str(error))
            if self._options.monotonic() - self._renewed_s >= self._options.lease_s:
                raise
            return False
        self._commits += 1
        self._is_blocked = False
        self.book.settle()
        self._uncommitted |= self._unstored
        self._unstored.clear()
        return True

    def _commit_offsets(self, *, now: bool = False) -> None:
        now_s = self._options.monotonic()
        offsets = {partition: self._offsets[partition] for partition in self._uncommitted & self._mine}
        if not offsets or not (now or now_s - self._committed_s >= self._options.commit_interval_s):
            return
        self._committed_s = now_s
        try:
            self._ports.offsets.commit((), offsets, self._source.group_metadata())
        except RetryableError as error:
            log.warning("offsets not committed yet", error=str(error))
            return
        self._uncommitted -= offsets.keys()

    def _send_due(self) -> None:
        """Send what is due; of each integration one at a time, and nothing while we do not know all that has happened."""
        if self._behind or not self._mine:
            return
        for name in self.book.due(self._now_ms()):
            if self._delivery.allows(name.target):
                self._send(name)

    def _send(self, name: GroupName) -> None:
        group, contents = self.book.begin(name)
        if not self._store():  # it was never sent
            self.book.finish(name, Ending(contents.key, "failed"), self._now_ms())
            return
        self._delivery.send(write(self._config, name, group, contents, self._options.external_url))

    def _now_ms(self) -> int:
        return int(self._options.wall_clock() * 1000)
