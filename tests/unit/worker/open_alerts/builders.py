"""A book and a log in memory for the tests of `tidings alerts`."""

from collections.abc import Sequence

from tests.unit.worker.alert.builders import event
from worker.alert.suppression import Suppression
from worker.codec import decode_placed
from worker.messages import Acknowledge, Acknowledgement, AlertEvent, Control, OutRecord, Record, Signal, TopicPartition
from worker.open_alerts.book import Book

TOPIC = "sentiment.signals"
P0, P1 = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)
FILM = event(alert_id="f11a", labels={"topic": "film", "severity": "critical"}, started_at_ms=2_000)
SONG = event(alert_id="f22b", labels={"topic": "music"}, state="stale", suppressed_by=("silence:s",), started_at_ms=3_000)
TAKEN = event(
    alert_id="a33c", labels={"topic": "film"}, acknowledgement=Acknowledgement("kim", "looking", 5), started_at_ms=1_000
)


class InMemoryShelf:
    """What Redis holds of two partitions, and a role that takes what is written into the log, unless `is_idle`."""

    def __init__(self, alerts: dict[TopicPartition, list[AlertEvent]]) -> None:
        self.alerts = alerts
        self.suppressions = {partition: Suppression() for partition in alerts}
        self.is_idle = False
        self.transactions: list[list[tuple[TopicPartition, Control]]] = []

    def known(self, topic: str, at_least: int) -> list[TopicPartition]:
        """Of that topic, all there are."""
        assert (topic, at_least) == (TOPIC, 6)
        return sorted(self.alerts)

    def open_alerts(self, partition: TopicPartition) -> dict[str, AlertEvent]:
        """By id."""
        return {one.alert_id: one for one in self.alerts[partition]}

    def suppression(self, partition: TopicPartition) -> bytes | None:
        """Encoded, as it is stored; None where nothing was said."""
        suppression = self.suppressions[partition]
        return suppression.encode() if suppression.silences else None

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Of the log: the same."""
        return self.known(topic, 6)

    def send(self, records: Sequence[OutRecord]) -> None:
        """Take what is written."""
        said = []
        for record in records:
            partition = TopicPartition(record.topic, -1 if record.partition is None else record.partition)
            control = decode_placed(Record(*partition, 0, None, record.value, 0, record.headers))
            assert not isinstance(control, Signal)
            said.append((partition, control))
        self.transactions.append(said)
        for partition, control in [] if self.is_idle else said:
            self._take(partition, control)

    def _take(self, partition: TopicPartition, control: Control) -> None:
        if isinstance(control, Acknowledge):
            taken = Acknowledgement(control.author, control.comment, control.at_ms)
            self.alerts[partition] = [
                event(alert_id=one.alert_id, acknowledgement=taken) if one.alert_id == control.alert_id else one
                for one in self.alerts[partition]
            ]
        else:
            self.suppressions[partition].take(control, 0)  # type: ignore[arg-type]


def shelf() -> InMemoryShelf:
    """Three open alerts in two partitions."""
    return InMemoryShelf({P0: [FILM, TAKEN], P1: [SONG]})


def book(of: InMemoryShelf) -> Book:
    """The book on a shelf."""
    return Book(of, TOPIC, 6)
