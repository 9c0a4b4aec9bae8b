"""Sees to it that the log says what it should beside signals: what may inhibit, and again from time to time what is in force.

An inhibitor goes out with its alert's events (`relay`). Where the rules came to name a source that was firing already, at a
reload or a start, there is no such event to come; so what is open is held against what the partition has heard.
"""

from collections.abc import Iterable, Mapping

import structlog

from worker.alert.loading import name_of
from worker.alert.partition import PartitionMemory
from worker.alert.relay import Relay, inhibitor_of
from worker.alert.rules import RuleSet
from worker.codec import control_record
from worker.errors import RetryableError
from worker.messages import TopicPartition
from worker.ports import AlertStore

log = structlog.get_logger(__name__)


class Sources:
    """Looks once at each partition that is taken on, and at all of them when the rules change."""

    def __init__(self, store: AlertStore, relay: Relay) -> None:
        self._store = store
        self._relay = relay
        self._unseen: set[TopicPartition] = set()

    def look_at(self, partitions: Iterable[TopicPartition]) -> None:
        """Have these partitions looked at by `tell`."""
        self._unseen.update(partitions)

    def tell(self, memory: Mapping[TopicPartition, PartitionMemory], rules: RuleSet) -> None:
        """Have written into the log what it lacks; what the store does not answer to is looked at again."""
        for partition, held in memory.items():
            if (standing := held.standing()) is not None:
                self._relay.say(partition, control_record(partition, standing))
        self._unseen &= memory.keys() if rules.inhibit else set()
        try:
            for partition in sorted(self._unseen):
                self._look(partition, memory[partition], rules)
                self._unseen.discard(partition)
        except RetryableError as error:
            log.warning("open alerts could not be looked at", error=str(error))

    def _look(self, partition: TopicPartition, held: PartitionMemory, rules: RuleSet) -> None:
        for event in self._store.open_alerts(partition).values():
            if event.state == "firing" and rules.is_source(event.labels) and not held.suppression.knows(event.alert_id):
                self._relay.say_everywhere(partition, inhibitor_of(event))
                log.info("inhibiting", partition=name_of(partition), alert_id=event.alert_id, rule=event.rule)
