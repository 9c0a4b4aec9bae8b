"""What the alert role holds of one partition of signals, and how a run of them changes it. Pure: no clock and no I/O.

A run is first decided in full and then stored in one commit. Should that fail for good, the memory is thrown away and
loaded anew.
"""

from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple

from worker.alert.decide import Decision
from worker.alert.flow import Flow
from worker.alert.late import LateSignals
from worker.alert.rebuild import Past, as_told
from worker.alert.rules import RuleSet
from worker.alert.state import NEVER_MS, KeyState, decode_state, encode_state
from worker.alert.suppression import Suppression
from worker.alert.timers import Timers
from worker.messages import Acknowledge, AlertEvent, Control, Expire, Inhibitor, Signal, Silence, Standing, Tick
from worker.ports import PartitionState, StoredEvent

_QUIETING = (Silence, Expire, Inhibitor, Standing)


class Placed(NamedTuple):
    """What stood at an offset: a signal, a control record, or None in place of what could not be decoded."""

    offset: int
    signal: Signal | Control | None


class Effects(NamedTuple):
    """What a run of signals changed: encoded states, timers (None: removed), events; and which were late for a rule.

    The first `restored` events are on record already, and only put back on the stream. `open` has the last events of alerts,
    None for one that has ended; `suppression` is what keeps alerts quiet, None if that is as before; `not_open` counts
    acknowledgements of alerts that there were not.
    """

    next_offset: int
    max_event_time_ms: int
    states: dict[str, bytes]
    due: dict[str, int | None]
    events: tuple[StoredEvent, ...]
    late: LateSignals
    restored: int = 0
    open: dict[str, AlertEvent | None] = {}  # noqa: RUF012 - a named tuple's default
    suppression: bytes | None = None
    not_open: int = 0


class PartitionMemory:
    """One partition's offset, watermark, timers, and the most recently used states, at most `cached_keys` between runs.

    `next_offset` is the stored one (None: nothing is stored yet). Where it lies before what is on record, `past` has
    the record until it has been replayed; see `rebuild`.
    """

    def __init__(self, rules: RuleSet, lateness_ms: int, cached_keys: int) -> None:
        self._cached_keys = cached_keys
        self._flow = Flow(rules, lateness_ms)
        self.next_offset: int | None = None
        self.past: Past | None = None
        self.is_idle = True
        """Whether no signal came since the last tick, or since the beginning: then another tick would change nothing."""
        self._said_ms: int | None = None

    @property
    def has_open(self) -> bool:
        """Whether there are keys that change with time alone, as each with an open alert does."""
        return bool(self._flow.timers.keys())

    @property
    def max_event_time_ms(self) -> int:
        """The newest event time so far."""
        return self._flow.max_event_time_ms

    @property
    def suppression(self) -> Suppression:
        """What keeps alerts quiet here; to be read only."""
        return self._flow.suppression

    def resume(self, stored: PartitionState) -> None:
        """Go on from what the store holds.

        Raises:
            FatalError: a part of it cannot be read.
        """
        self.next_offset = stored.next_offset
        self._flow.max_event_time_ms = stored.max_event_time_ms
        self._flow.timers = Timers(stored.due)
        if stored.suppression is not None:
            self._flow.suppression.restore(stored.suppression)
        self.is_idle = False

    def standing(self) -> Standing | None:
        """Return what is in force, if it is time to have it said again: twice in every stretch that a replay covers."""
        standing = None
        if self._said_ms is None or self.max_event_time_ms - self._said_ms >= self._flow.rules.span_ms // 2:
            standing = self._flow.suppression.standing()
        if standing is not None:
            self._said_ms = self.max_event_time_ms
        return standing

    def replace_rules(self, rules: RuleSet) -> None:
        """Go on under these rules, between two runs; `decide` says what becomes of what was under way."""
        self._flow.replace_rules(rules)

    def missing(self, run: Sequence[Placed]) -> list[str]:
        """Return the keys whose states `apply` will need and that are not in memory: the signals' own and those falling due."""
        signals = [placed.signal for placed in run if isinstance(placed.signal, Signal)]
        newest_ms = max((signal.event_time_ms for signal in signals), default=NEVER_MS)
        due = self._flow.timers.until(self._flow.watermark_after(newest_ms))
        acknowledged = [placed.signal.alert_key for placed in run if isinstance(placed.signal, Acknowledge)]
        needed = dict.fromkeys([signal.alert_key for signal in signals] + due + acknowledged)
        if self.past is not None and run and run[-1].offset + 1 >= self.past.position:
            needed.update(dict.fromkeys(self._to_correct(self.past)))
        if any(isinstance(placed.signal, Tick) for placed in run):
            needed.update(dict.fromkeys(self._flow.timers.keys()))
        return [key for key in needed if key not in self._flow.states]

    def learn(self, keys: Iterable[str], stored: dict[str, bytes]) -> None:
        """Take in the stored states of `keys`; a key that is not stored is new.

        Raises:
            FatalError: a state cannot be read.
        """
        for key in keys:
            self._flow.states[key] = decode_state(stored[key]) if key in stored else KeyState(key)

    def apply(self, run: Sequence[Placed]) -> Effects:
        """Decide for each signal in order, and for each key that falls due as the watermark moves; `missing` were learnt.

        Raises:
            ValueError: the run is empty, or goes back behind what was done already.
        """
        if not run or run[0].offset < (self.next_offset or 0):
            raise ValueError(f"expected signals from offset {self.next_offset} on")
        changes = _Changes()
        for placed in run:
            self._take(placed, changes)
        states = {key: encode_state(self._flow.states[key]) for key in changes.due}
        done = (run[-1].offset + 1, self.max_event_time_ms)
        suppression = self._flow.suppression.encode() if changes.is_resuppressed else None
        return Effects(
            *done,
            states,
            changes.due,
            tuple(changes.events),
            changes.late,
            changes.restored,
            changes.book(),
            suppression,
            changes.not_open,
        )

    def settle(self, next_offset: int) -> None:
        """Note that the effects are stored, and let go of the states that were not used for longest."""
        self.next_offset = next_offset
        while len(self._flow.states) > self._cached_keys:
            self._flow.states.popitem(last=False)

    def _take(self, placed: Placed, changes: "_Changes") -> None:
        """Decide one signal. As long as it is on record, decide what the windows hold, and take the events from the record."""
        past, decided = self.past, len(changes.events)
        if past is not None and placed.offset >= past.position:  # the last signals on record are no longer in the topic
            self._correct(past, changes)
        changes.begin(placed.offset, self.max_event_time_ms)
        if isinstance(placed.signal, Signal):
            self.is_idle = False
            self._flow.take(placed.signal, changes.take)
        elif placed.signal is not None:
            self.is_idle = self.is_idle or isinstance(placed.signal, Tick)
            self._flow.take(placed.signal, changes.take)
            changes.is_resuppressed |= isinstance(placed.signal, _QUIETING)
        if past is not None and placed.offset < past.position:
            changes.events[decided:] = past.events.get(placed.offset, ())
            changes.restored = len(changes.events)
            if placed.offset + 1 == past.position:
                self._correct(past, changes)

    def _to_correct(self, past: Past) -> Set[str]:
        """Every key that may have an open alert, by the record or by the replay: a firing alert always has a timer."""
        return past.open.keys() | self._flow.timers.keys()

    def _correct(self, past: Past, changes: "_Changes") -> None:
        """Take the alerts from the record, which ends here."""
        for key in sorted(self._to_correct(past)):
            before = self._flow.states[key]
            self._flow.states[key] = after = as_told(self._flow.rules, before, past.open.get(key, {}))
            if after != before:
                self._flow.timers.set(key, after.due_ms)
                changes.due[key] = after.due_ms
        changes.correct(past)
        self.past = None


class _Changes:
    """Gathers what a run changes, each event at the signal that caused it."""

    def __init__(self) -> None:
        self.due: dict[str, int | None] = {}
        self.events: list[StoredEvent] = []
        self.late = LateSignals()
        self.restored = self.not_open = 0
        self.is_resuppressed = False
        self._known: dict[str, AlertEvent] = {}
        self._known_before = 0
        self._offset = self._sequence = self._newest_ms = 0

    def begin(self, offset: int, newest_ms: int) -> None:
        self._offset, self._sequence, self._newest_ms = offset, 0, newest_ms

    def take(self, before: KeyState, decision: Decision, cause: Signal | Control | None) -> None:
        if cause is None or decision.state != before:
            self.due[decision.state.alert_key] = decision.state.due_ms
        if isinstance(cause, Signal):
            if late := [rule for rule, reason in decision.reasons if reason == "late"]:
                self.late.note(cause, late, self._newest_ms)
        else:
            self.not_open += any(reason.reason == "not_open" for reason in decision.reasons)
        for event in decision.events:
            self.events.append(StoredEvent(self._offset, self._sequence, event))
            self._sequence += 1

    def correct(self, past: Past) -> None:
        """Note that the record ends here: what is open by it is open, whatever the store's book says."""
        self._known = {event.alert_id: event for of_key in past.open.values() for event in of_key.values()}
        self._known_before = len(self.events)

    def book(self) -> dict[str, AlertEvent | None]:
        """Return the last event of each alert that changed, None for those that have ended."""
        events = [stored.event for stored in self.events]
        before = {event.alert_id: _if_open(event) for event in events[: self._known_before]}
        after = {event.alert_id: _if_open(event) for event in events[self._known_before :]}
        return {**before, **self._known, **after}


def _if_open(event: AlertEvent) -> AlertEvent | None:
    return None if event.state == "resolved" else event
