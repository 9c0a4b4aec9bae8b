"""The alert role: reads signals, decides, stores the effects of each run of them at once, and has them relayed.

The offset lives with the effects, in the store; the consumer group's committed offset is the relay's position.
"""

import random
import threading
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import TypeVar

import structlog

from worker.alert.counting import AlertCounts
from worker.alert.idle import IdleWatch
from worker.alert.late import LateWatch
from worker.alert.loading import AlertOptions, AlertPorts, Loader, alert_commit, name_of
from worker.alert.partition import Effects, PartitionMemory, Placed
from worker.alert.relay import Relay
from worker.alert.rules import RuleSet
from worker.alert.sources import Sources
from worker.backoff import back_off_s
from worker.codec import believed, control_record, decode_placed, is_control
from worker.errors import DecodeError, FatalError, FencedError, RetryableError
from worker.messages import Control, Record, Signal, Tick, TopicPartition

T = TypeVar("T")

log = structlog.get_logger(__name__)


class AlertRole:
    """Reads the partitions of `sentiment.signals` that the group assigns to it; one thread, one consumer.

    `new_rules` is asked before each cycle for rules that take the place of those in force; None keeps them.
    """

    def __init__(
        self,
        ports: AlertPorts,
        relay: Relay,
        rules: RuleSet,
        options: AlertOptions | None = None,
        new_rules: Callable[[], RuleSet | None] = lambda: None,
    ) -> None:
        self._source = ports.source
        self._store = ports.store
        self._relay = relay
        self._options = options or AlertOptions()
        self._loader = Loader(ports, rules, self._options)
        self._sources = Sources(ports.store, relay)
        self._new_rules = new_rules
        self._memory: dict[TopicPartition, PartitionMemory] = {}
        self._waiting: set[TopicPartition] = set()
        self._failed_loads = 0
        self._load_after_s = self._checked_at_s = float("-inf")
        self._backlog: list[Record] = []
        self._idle = IdleWatch(self._options.idle_after_s)
        self._late = LateWatch()
        self._held = self._subscribed = False
        self._stop = threading.Event()
        self.counts = AlertCounts()
        self._obey(rules)

    @property
    def waiting(self) -> frozenset[TopicPartition]:
        """The partitions that are ours and whose state could not be loaded yet; they are paused."""
        return frozenset(self._waiting)

    @property
    def held(self) -> bool:
        """Whether nothing new is read until the relay, to which Kafka does not listen, has caught up."""
        return self._held

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; the cycle under way is finished, unless the store does not answer.

        Raises:
            FatalError: this process cannot go on.
        """
        self._stop = stop
        while not stop.is_set():
            self.step(self._options.poll_timeout_s, time.monotonic())

    def run_until_idle(self, timeout_s: float = 0.0) -> None:
        """Work until a cycle of `timeout_s` brings no signal and relays no event, as tests and backfills want it."""
        relayed, waited = -1, True
        while self.step(timeout_s, time.monotonic()) or self._held or waited or self.counts.relayed != relayed:
            relayed, waited = self.counts.relayed, bool(self._waiting)

    @property
    def in_hand(self) -> int:
        """How many signals were polled and not yet taken up."""
        return len(self._backlog)

    def hasten(self) -> None:
        """Do nothing more than a stop does: it already ends the wait for a store that does not answer."""

    def step(self, timeout_s: float, now_s: float) -> int:
        """Do one cycle and return how many signals it took; `now_s` is monotonic.

        1. Poll, paused if the relay is too far behind; partitions may come and go in it.
        2. Decide each partition's run of signals and commit its effects with the new offset.
        3. See that the store still stands where we left it, and load the partitions whose state is not here.
        4. Relay what is new on the stream, and what else the log should say.
        """
        if not self._subscribed:
            self._source.subscribe([self._options.topic], self)
            self._subscribed = True
        if rules := self._new_rules():
            self._replace_rules(rules)
        self._hold_or_go_on()
        records = self._take(timeout_s)
        holders = dict(self._memory)
        for partition, run in _by_partition(records).items():
            if partition in holders and self._memory.get(partition) is holders[partition]:
                self._advance(partition, holders[partition], run)
        self._check_store(now_s)
        self._load_waiting(now_s)
        self._tell_of_late(now_s)
        self._tick_if_idle({record.topic_partition for record in records if not is_control(record)}, now_s)
        self._sources.tell(self._memory, self._rules)
        self.counts.relayed += self._relay.pump(self._reached(), self._source.group_metadata(), now_s)
        return len(records)

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Load where the partitions stand and answer with where to read on; see `RebalanceListener`.

        Where the store does not answer, or has lost some of it, they wait for `step` to load them: the group shall not wait for
        us. What is read of them before that is dropped, and read again.
        """
        self._waiting.update(partitions)
        try:
            starts = self._load(self._loader.whole(partitions))
        except RetryableError as error:
            log.warning("partitions cannot be loaded yet", partitions=_names(partitions), error=str(error))
            return {}
        return {partition: start for partition, start in starts.items() if start is not None}

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Drop the partitions; every cycle has committed what it did, so nothing is left to do."""
        self._forget(partitions)
        log.info("partitions revoked", partitions=_names(partitions))

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Drop the partitions; the store would refuse what we might still commit."""
        self._forget(partitions)
        log.warning("partitions lost", partitions=_names(partitions))

    def _replace_rules(self, rules: RuleSet) -> None:
        self._obey(rules)
        self._loader.replace_rules(rules)
        for memory in self._memory.values():
            memory.replace_rules(rules)

    def _obey(self, rules: RuleSet) -> None:
        self._rules = rules
        self._relay.inhibit(rules.is_source, lambda: self._source.partitions(self._options.topic))
        self._sources.look_at(self._memory)

    def _reached(self) -> dict[TopicPartition, int]:
        return {partition: memory.next_offset or 0 for partition, memory in self._memory.items()}

    def _hold_or_go_on(self) -> None:
        """Read nothing new while the relay is too far behind: the stream, and what is kept of each signal, would grow for ever.

        Paused in every cycle: a rebalance, or an answer of the store that was waited for, resumes partitions.
        """
        behind, limit = self._relay.behind(self._reached()), self._options.max_unrelayed
        before, held = self._held, behind > (limit // 2 if self._held else limit)
        try:
            if held:
                self._source.pause(list(self._memory))
            elif before:
                self._source.resume(list(self._memory))
        except RetryableError as error:
            log.warning("partitions could be neither held nor let go", error=str(error))
            return
        self._held = held
        if held and not before:
            self._relay.hurry()
            log.warning("holding back: alert events are not relayed to Kafka", unrelayed_signals=behind, limit=limit)
        elif before and not held:
            log.info("reading on: alert events are relayed again", unrelayed_signals=behind)

    def _tick_if_idle(self, heard: Iterable[TopicPartition], now_s: float) -> None:
        """Have it written into partitions that were silent for long; while we do not read, no silence proves anything."""
        self._idle.heard(self._memory if self._held else heard, now_s)
        wanting = {partition: memory.has_open and not memory.is_idle for partition, memory in self._memory.items()}
        for partition in self._idle.due(wanting, now_s):
            self._relay.say(partition, control_record(partition, Tick(int(self._options.wall_clock() * 1_000))))
            log.info("partition silent", partition=name_of(partition), for_s=self._options.idle_after_s)

    def _tell_of_late(self, now_s: float) -> None:
        if late := self._late.due(now_s):
            allowed_s, behind_s = self._options.allowed_lateness_ms / 1_000, late.behind_ms / 1_000
            told = {"behind_s": behind_s, "allowed_s": allowed_s, "rules": dict(sorted(late.rules.items()))}
            log.warning("signals came too late to count", signals=late.signals, **told)

    def _take(self, timeout_s: float) -> list[Record]:
        backlog, self._backlog = self._backlog, []
        return backlog or self._poll(timeout_s)

    def _poll(self, timeout_s: float) -> list[Record]:
        try:
            return self._source.poll(self._options.max_records, timeout_s)
        except RetryableError as error:
            log.warning("reading failed, reading again from where the store stands", error=str(error))
            for partition in list(self._memory):  # what the failed poll had fetched already would be passed over
                self._reload(partition)
            return []

    def _advance(self, partition: TopicPartition, memory: PartitionMemory, records: Sequence[Record]) -> None:
        _check_onward(partition, memory, records)
        try:
            self._commit(partition, memory, [Placed(record.offset, self._decode(record)) for record in records])
        except FencedError as error:
            self.counts.fenced += 1
            log.warning("partition fenced", partition=name_of(partition), error=str(error))
            self._reload(partition)
        except RetryableError as error:
            log.warning("signals left for later", partition=name_of(partition), error=str(error))
            self._reload(partition)

    def _reload(self, partition: TopicPartition) -> None:
        """Throw away what is in hand, if the partition is still ours, and have it read again from where the store stands."""
        if partition in self._memory:
            self._forget([partition])
            self._waiting.add(partition)
            self._load_after_s = float("-inf")

    def _check_store(self, now_s: float) -> None:
        """Notice a store that came back empty, or fell back to an earlier state, before the next signal does."""
        if now_s - self._checked_at_s < self._options.check_store_s:
            return
        self._checked_at_s = now_s
        try:
            for partition, memory in list(self._memory.items()):
                left = memory.next_offset
                if left is not None and self._store.events(partition, left, 1).next_offset != left:
                    log.warning("the store does not stand where we left it", partition=name_of(partition), left=left)
                    self._reload(partition)
        except RetryableError as error:  # one call is enough to know: each may take the store's whole timeout
            log.warning("the alert store could not be looked at", error=str(error))

    def _load_waiting(self, now_s: float) -> None:
        """Load the partitions that wait, and read on from where the store stands."""
        if not self._waiting or now_s < self._load_after_s:
            return
        partitions = sorted(self._waiting)
        self._drop(partitions)  # they are read anew
        try:
            self._source.pause(partitions)
            starts = self._load(partitions)
            self._source.seek({partition: start for partition, start in starts.items() if start is not None})
            self._source.rewind([partition for partition, start in starts.items() if start is None])
            self._source.resume(partitions)
        except RetryableError as error:
            log.warning("partitions cannot be loaded yet", partitions=_names(partitions), error=str(error))
            self._forget(partitions)
            self._waiting.update(partitions)
            self._load_after_s = now_s + self._pause_s(self._failed_loads)
            self._failed_loads += 1
        else:
            self._failed_loads = 0

    def _commit(self, partition: TopicPartition, memory: PartitionMemory, run: Sequence[Placed]) -> None:
        keys = memory.missing(run)
        memory.learn(keys, self._patiently(partition, lambda: self._store.states(partition, keys)) if keys else {})
        effects = memory.apply(run)
        commit = alert_commit(partition, memory.next_offset, effects)
        self._patiently(partition, lambda: self._store.commit(commit))
        memory.settle(effects.next_offset)
        self._account(partition, len(run), effects)

    def _account(self, partition: TopicPartition, signals: int, effects: Effects) -> None:
        self.counts.take(signals, effects)
        self._late.add(effects.late)
        if effects.events:
            self._relay.announce(partition)

    def _decode(self, record: Record) -> Signal | Control | None:
        try:
            placed = decode_placed(record)
        except DecodeError as error:
            self.counts.undecodable += 1
            log.warning("signal undecodable", partition=name_of(record.topic_partition), offset=record.offset, error=str(error))
            return None
        taken = believed(placed, record.timestamp_ms, self._options.max_future_ms)
        self.counts.future += taken is not placed
        return taken

    def _patiently(self, partition: TopicPartition, call: Callable[[], T]) -> T:
        """Call the store until it answers. Meanwhile poll on, paused, so that the group does not take us for dead.

        Raises:
            FencedError: the partition went to another member meanwhile.
            RetryableError: we were told to stop, or Kafka failed too.
        """
        attempt = 0
        try:
            while partition in self._memory:
                try:
                    return call()
                except RetryableError as error:
                    if self._stop.is_set():
                        raise
                    self._wait(attempt, error)
                    attempt += 1
        finally:
            if attempt:
                self._source.resume(list(self._memory))
        raise FencedError(f"{name_of(partition)} was let go while the store did not answer")

    def _wait(self, attempt: int, error: RetryableError) -> None:
        self.counts.store_retries += 1
        log.warning("alert store unavailable", attempt=attempt + 1, error=str(error))
        self._source.pause(list(self._memory))
        polled = self._poll(self._pause_s(attempt))
        self._backlog += polled  # only now: what the poll took from us was dropped from the backlog in it

    def _pause_s(self, attempt: int) -> float:
        return back_off_s(attempt + 1, self._options.store_pause_s, random.random())  # noqa: S311 - jitter, no secret

    def _load(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        """Return where to read each partition from, None for the group's committed offset; they no longer wait.

        Raises:
            RetryableError: the store or Kafka did not answer.
        """
        loaded = self._loader.load(partitions)
        starts = {partition: one.memory.next_offset for partition, one in loaded.items()}
        self._memory.update({partition: one.memory for partition, one in loaded.items()})
        self._relay.assign({partition: one.position for partition, one in loaded.items()})
        self._waiting.difference_update(partitions)
        self._sources.look_at(partition for partition, one in loaded.items() if not one.is_rebuilt)
        self.counts.rebuilt += sum(one.is_rebuilt for one in loaded.values())
        if partitions:  # a rebalance that brings none is told of as well
            log.info("partitions loaded", partitions=_names(partitions), starts=list(starts.values()))
        return starts

    def _forget(self, partitions: Iterable[TopicPartition]) -> None:
        gone = set(partitions)
        self._waiting -= gone
        for partition in gone:
            self._memory.pop(partition, None)
        self._drop(gone)
        self._relay.forget(list(gone))

    def _drop(self, partitions: Container[TopicPartition]) -> None:
        """Drop what was polled of these and not yet taken up."""
        self._backlog = [record for record in self._backlog if record.topic_partition not in partitions]


def _by_partition(records: Iterable[Record]) -> dict[TopicPartition, list[Record]]:
    runs: dict[TopicPartition, list[Record]] = {}
    for record in records:
        runs.setdefault(record.topic_partition, []).append(record)
    return runs


def _check_onward(partition: TopicPartition, memory: PartitionMemory, records: Sequence[Record]) -> None:
    """Refuse to pass over signals in silence: a topic that was made anew begins before the offset that the store holds."""
    if records[0].offset < (memory.next_offset or 0):
        raise FatalError(
            f"{name_of(partition)} gave offset {records[0].offset}, but alerts are stored up to {memory.next_offset}: was the"
            " topic deleted and made anew? Then remove its alert state from Redis, or choose another redis.prefix"
        )


def _names(partitions: Iterable[TopicPartition]) -> list[str]:
    return [name_of(partition) for partition in partitions]
