"""Make lost alert state good: from the signals themselves, and from what `sentiment.alerts` says has happened.

Redis came back empty, or fell back to a replica that lagged: a partition's state then lies before the relay's position. Up to
that position the past is on record, so nothing of it is decided anew: signals are replayed to fill the windows again, events
are taken from `sentiment.alerts` and put back on the stream under their old ids, and at the position each alert is what
the record says, firing or not. From there on signals are decided as always. A subscriber who reads the stream from where it was
notices nothing.

Acknowledgements and what kept an alert quiet come back with its events. The silences and inhibitors in force come from the log:
from their own records, or from the last `Standing` that the replay passes (`suppression`).

The limit: how long a firing alert has been well again is known only as far as the replay goes. Where its key was silent for
longer than that, its `keep_firing_for` begins anew.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from worker.alert.decide import key_state
from worker.alert.lifecycle import Life, Status
from worker.alert.rules import RuleSet
from worker.alert.state import KeyState, RuleState
from worker.alert.suppression import muted_by
from worker.alert.windows import floor_to
from worker.codec import believed, decode_placed
from worker.errors import DecodeError
from worker.messages import AlertEvent, Record, Signal, TopicPartition
from worker.ports import History, Source, StoredEvent

_LOOK = 50
"""How many offsets to look at for an event time: more than one, for signals come a little out of order."""


class Past(msgspec.Struct, frozen=True):
    """What is on record of a partition before `position`: the events by the offset that caused them, and the open alerts.

    `open` maps an alert key and a rule to the last event of its alert.
    """

    position: int
    events: dict[int, tuple[StoredEvent, ...]]
    open: dict[str, dict[str, AlertEvent]]

    def before(self, offset: int) -> tuple[StoredEvent, ...]:
        """The events of signals before `offset`, in order."""
        return tuple(stored for at in sorted(self.events) if at < offset for stored in self.events[at])


def past(position: int, known: Sequence[StoredEvent]) -> Past:
    """Sort out the events on record, given in order; those at `position` and later are left to be decided."""
    events: dict[int, tuple[StoredEvent, ...]] = {}
    fired: dict[str, dict[str, AlertEvent]] = {}
    for stored in known:
        if stored.offset < position:
            events[stored.offset] = (*events.get(stored.offset, ()), stored)
            of_key = fired.setdefault(stored.event.alert_key, {})
            of_key.pop(stored.event.rule, None)
            if stored.event.state != "resolved":
                of_key[stored.event.rule] = stored.event
    return Past(position, events, {key: of_key for key, of_key in fired.items() if of_key})


def as_told(rules: RuleSet, state: KeyState, told: Mapping[str, AlertEvent]) -> KeyState:
    """Return the key's state with its alerts as the record has them: `told` maps a rule to the last event of its open alert."""
    kept = {name: _corrected(rule_state, told.get(name)) for name, rule_state in state.rules.items()}
    for name, event in told.items():
        if name not in kept:
            # An event may tell of a moment between two boundaries, as a tick or an acknowledgement comes at.
            rule = rules.by_name.get(name)
            evaluated_ms = floor_to(event.at_ms, rule.detector.bucket) if rule else event.at_ms
            kept[name] = RuleState(event.rule_version, evaluated_ms, _life_of(event), fired=event, seen_ms=evaluated_ms)
    return key_state(rules, state.alert_key, kept)


def _corrected(state: RuleState, fired: AlertEvent | None) -> RuleState:
    if fired is None:
        return replace(state, life=Life(fires=state.life.fires), fired=None) if state.life.is_open else state
    clear_since_ms = state.life.clear_since_ms if state.life.status == "firing" and fired.state == "firing" else None
    return replace(state, life=replace(_life_of(fired), clear_since_ms=clear_since_ms, fires=state.life.fires), fired=fired)


def _life_of(told: AlertEvent) -> Life:
    """Return the life of an alert of which this is the last that was told."""
    silences = told.episode - (told.state == "firing")
    status: Status = "stale" if told.state == "stale" else "firing"
    muted = muted_by(told.suppressed_by)
    return Life(status, told.started_at_ms, silences=silences, muted=muted, revision=told.revision)


class Reach(msgspec.Struct, frozen=True):
    """How far back a replay must begin: `span_ms` of event time before the newest signal, sought back from `now_ms`.

    `max_future_ms`: see `codec.believed`.
    """

    span_ms: int
    now_ms: int
    max_future_ms: int


def replay_start(source: Source, history: History, partition: TopicPartition, position: int, reach: Reach) -> int:
    """Return an offset from which the signals up to `position` cover `reach`.

    It is sought by Kafka's time in doubling steps back from now, and held to the event times found there: after an outage, or
    when old messages are replayed, event time runs at another pace than Kafka's. Where the topic does not go back that
    far, it is its beginning.
    """
    newest_ms = _newest_ms(history.signals(partition, range(max(0, position - _LOOK), position)), reach)
    earliest = source.offsets_at([partition], 0)[partition]
    start, back_ms = position, reach.span_ms
    while start > earliest and back_ms < reach.now_ms:
        found = source.offsets_at([partition], reach.now_ms - back_ms)[partition]
        if found < start:
            start = found
            there_ms = _newest_ms(history.signals(partition, range(start, min(start + _LOOK, position))), reach)
            if newest_ms is not None and there_ms is not None and there_ms <= newest_ms - reach.span_ms:
                return start
        back_ms *= 2
    return min(position, earliest)


def _newest_ms(records: Iterable[Record], reach: Reach) -> int | None:
    return max((at_ms for record in records if (at_ms := _event_time_ms(record, reach)) is not None), default=None)


def _event_time_ms(record: Record, reach: Reach) -> int | None:
    try:
        placed = believed(decode_placed(record), record.timestamp_ms, reach.max_future_ms)
    except DecodeError:
        return None
    return placed.event_time_ms if isinstance(placed, Signal) else None
