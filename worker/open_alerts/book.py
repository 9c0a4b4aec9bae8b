"""The open alerts and the silences of all partitions, as Redis has them."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from worker.alert.matchers import admit
from worker.alert.suppression import Suppression
from worker.errors import SelectionError
from worker.messages import AlertEvent, AlertState, Silence, TopicPartition


class Shelf(Protocol):
    """Where the book is kept: what `RedisAlertStore` offers beside the port."""

    def known(self, topic: str, at_least: int) -> list[TopicPartition]:
        """Return the partitions of which anything is stored."""
        ...

    def open_alerts(self, partition: TopicPartition) -> dict[str, AlertEvent]:
        """Return the last event of each open alert."""
        ...

    def suppression(self, partition: TopicPartition) -> bytes | None:
        """Return what keeps alerts of the partition quiet."""
        ...


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which alerts are meant; what is not given is not asked."""

    states: frozenset[AlertState] = frozenset()
    matchers: tuple[str, ...] = ()
    silenced: bool | None = None
    acknowledged: bool | None = None

    def admits(self, event: AlertEvent) -> bool:
        """Whether an alert, told of by its last event, is meant."""
        return (
            (not self.states or event.state in self.states)
            and admit(self.matchers, event.labels)
            and self.silenced in {None, bool(event.suppressed_by)}
            and self.acknowledged in {None, event.acknowledgement is not None}
        )


class Entry(NamedTuple):
    """An open alert: the partition of signals that holds it, and its last event."""

    partition: TopicPartition
    event: AlertEvent


class Book:
    """Looks each thing up when it is asked for."""

    def __init__(self, shelf: Shelf, topic: str, partitions: int) -> None:
        self._shelf = shelf
        self._topic = topic
        self._partitions = partitions

    def alerts(self, wanted: Wanted | None = None) -> list[Entry]:
        """Return the open alerts that are meant, the newest first."""
        wanted = wanted or Wanted()
        found = [
            Entry(partition, event) for partition in self._known() for event in self._shelf.open_alerts(partition).values()
        ]
        meant = [entry for entry in found if wanted.admits(entry.event)]
        return sorted(meant, key=lambda entry: (-entry.event.started_at_ms, entry.event.alert_id))

    def alert(self, alert_id: str) -> Entry:
        """Return the open alert of that id, or the only one whose id begins so.

        Raises:
            SelectionError: there is none, or more than one.
        """
        found = [entry for entry in self.alerts() if entry.event.alert_id.startswith(alert_id)]
        if len(found) != 1:
            problem = "there is no open alert" if not found else f"{len(found)} open alerts have ids that begin with"
            raise SelectionError(f"{problem} {alert_id}; `tidings alerts list` shows those that are open")
        return found[0]

    def silences(self) -> list[Silence]:
        """Return the silences of all partitions, those that end first at the front."""
        found = {silence.id: silence for partition in self._known() for silence in self._silences(partition)}
        return sorted(found.values(), key=lambda silence: (silence.ends_at_ms, silence.id))

    def silenced_in(self, silence_id: str) -> set[TopicPartition]:
        """Return the partitions that know a silence."""
        return {p for p in self._known() if any(silence.id == silence_id for silence in self._silences(p))}

    def _known(self) -> Sequence[TopicPartition]:
        return self._shelf.known(self._topic, self._partitions)

    def _silences(self, partition: TopicPartition) -> Sequence[Silence]:
        stored = self._shelf.suppression(partition)
        if stored is None:
            return ()
        suppression = Suppression()
        suppression.restore(stored)
        return suppression.silences
