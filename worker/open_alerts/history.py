"""What has become of alerts: the events on `sentiment.alerts`, up to its end as it is now."""

from collections.abc import Iterator
from contextlib import closing

import msgspec
import structlog

from worker.adapters.kafka import TopicSnapshot
from worker.alert.matchers import admit
from worker.codec import decode_alert_event
from worker.errors import DecodeError
from worker.messages import AlertEvent
from worker.settings import KafkaSettings

log = structlog.get_logger(__name__)


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are meant: those published since then, whose labels match, of the alert whose id begins so."""

    since_ms: int | None = None
    matchers: tuple[str, ...] = ()
    alert_id: str = ""

    def admits(self, event: AlertEvent) -> bool:
        """Whether an event is meant; when it was published is not looked at."""
        return event.alert_id.startswith(self.alert_id) and admit(self.matchers, event.labels)


def events(kafka: KafkaSettings, past: Past) -> list[AlertEvent]:
    """Return the events that are meant, in order of time.

    Raises:
        RetryableError: the cluster did not answer, or there is no such topic.
    """
    with closing(TopicSnapshot(kafka, kafka.topics.alerts, "alerts")) as snapshot:
        found = [event for event in _decoded(snapshot, past.since_ms) if past.admits(event)]
    return sorted(found, key=lambda event: (event.at_ms, event.alert_id, event.revision))


def _decoded(snapshot: TopicSnapshot, since_ms: int | None) -> Iterator[AlertEvent]:
    for record in snapshot.records(since_ms):
        try:
            yield decode_alert_event(record.value or b"")
        except DecodeError as error:
            log.warning("not an alert event", partition=record.partition, offset=record.offset, error=str(error))
