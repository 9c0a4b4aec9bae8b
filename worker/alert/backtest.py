"""A backtest: signals in, through the live `Flow` and `decide`, alerts and figures out. Pure, and stores nothing.

As live, each partition has its own watermark, which moves with signals alone: what the last signals of an input leave open
stays open, and a window is looked at once the allowed lateness has passed. Silence is told by ticks, which the topic has and a
file has not: there an alert goes stale by its rule's `no_data` alone. Acknowledgements, silences and inhibitors too are of the
topic: they are taken as they stand there, so under other rules those inhibit that did under the rules of then.
"""

from collections import Counter
from collections.abc import Sequence, Set

import msgspec
from msgspec.structs import replace

from worker.alert.decide import Decision, Observe
from worker.alert.flow import Flow
from worker.alert.late import LateSignals
from worker.alert.rules import RuleSet
from worker.alert.state import NEVER_MS, KeyState
from worker.alert.windows import floor_to
from worker.messages import Acknowledge, AlertEvent, Control, Signal


class Alert(msgspec.Struct, frozen=True):
    """One alert from its first `firing` on: how often it went stale, and the event that resolved it, None if it stayed open."""

    fired: AlertEvent
    silences: int = 0
    resolved: AlertEvent | None = None

    @property
    def alert_key(self) -> str:
        """What it is about."""
        return self.fired.alert_key

    @property
    def rule(self) -> str:
        """The name of its rule."""
        return self.fired.rule

    @property
    def fired_at_ms(self) -> int:
        """The boundary at which it fired; live, it is heard of when the watermark has passed that."""
        return self.fired.at_ms

    @property
    def resolved_at_ms(self) -> int | None:
        """The boundary at which it resolved."""
        return self.resolved.at_ms if self.resolved else None


class Outcome(msgspec.Struct, frozen=True):
    """What a backtest came to.

    `keys` counts the signals of each key; `late` are those that came too late for a rule.
    `first_ms` and `last_ms` are the oldest and newest event time; None where there was no signal. Alerts and events come in
    order of time, key and rule; those of one rule and key that are of one time, as they were decided.
    """

    rules: RuleSet
    signals: int
    keys: dict[str, int]
    late: LateSignals
    first_ms: int | None
    last_ms: int | None
    alerts: tuple[Alert, ...]
    events: tuple[AlertEvent, ...]


class Backtest:
    """Takes signals, partition by partition, each partition's in the order in which they came.

    With `only`, nothing is decided but on these keys; the others still move the watermark, so it comes out the same for these.
    """

    def __init__(self, rules: RuleSet, lateness_ms: int, observe: Observe | None = None, only: Set[str] | None = None) -> None:
        self._rules = rules
        self._lateness_ms = lateness_ms
        self._observe = observe
        self._only = only
        self._partitions: dict[int, _Partition] = {}

    def take(self, partition: int, run: Sequence[Signal | Control]) -> None:
        """Decide on a run of one partition's signals, and ticks where its log has any."""
        if partition not in self._partitions:
            flow = Flow(self._rules, self._lateness_ms, self._observe)
            buckets = frozenset(rule.detector.bucket for rule in self._rules.rules)
            self._partitions[partition] = _Partition(flow, buckets, self._lateness_ms)
        self._partitions[partition].take(run, self._only)

    def outcome(self) -> Outcome:
        """Return what it has come to so far."""
        parts = self._partitions.values()
        keys = sum((part.keys for part in parts), Counter[str]())
        alerts = [alert for part in parts for alert in part.alerts()]
        events = [event for part in parts for event in part.events]
        late = LateSignals()
        for part in parts:
            late.add(part.late)
        return Outcome(
            rules=self._rules,
            signals=keys.total(),
            keys=dict(keys),
            late=late,
            first_ms=min((part.first_ms for part in parts if part.keys), default=None),
            last_ms=max((part.flow.max_event_time_ms for part in parts if part.keys), default=None),
            alerts=tuple(sorted(alerts, key=lambda alert: _order(alert.fired))),
            events=tuple(sorted(events, key=_order)),
        )


class _Partition:
    """One partition: its flow, what it has brought, and the alerts that are open.

    As long as the watermark passes no boundary of any rule, further signals on a key that was decided on can only be counted.
    They wait, and are counted all at once before the watermark goes on: the same (`decide.absorb`), and many times quicker.
    """

    def __init__(self, flow: Flow, buckets: Set[int], lateness_ms: int) -> None:
        self.flow = flow
        self.keys: Counter[str] = Counter()
        self.late = LateSignals()
        self.first_ms = -NEVER_MS
        self.events: list[AlertEvent] = []
        self._buckets = buckets
        self._lateness_ms = lateness_ms
        self._waiting: dict[str, list[Signal]] = {}
        self._late_before_ms = self._boundary_ms = NEVER_MS
        self._ended: list[Alert] = []
        self._open: dict[tuple[str, str], Alert] = {}

    def take(self, run: Sequence[Signal | Control], only: Set[str] | None) -> None:
        for placed in run:
            if isinstance(placed, Signal):
                self._take(placed, only)
            else:
                self._control(placed, only)

    def _control(self, control: Control, only: Set[str] | None) -> None:
        self._count_waiting()
        if isinstance(control, Acknowledge):
            if only is not None and control.alert_key not in only:
                return
            self.flow.states.setdefault(control.alert_key, KeyState(control.alert_key))
        self.flow.take(control, self._turned)

    def _take(self, signal: Signal, only: Set[str] | None) -> None:
        key, event_time_ms = signal.alert_key, signal.event_time_ms
        self.keys[key] += 1
        self.first_ms = min(self.first_ms, event_time_ms)
        if event_time_ms >= self._boundary_ms:
            self._pass_boundary(event_time_ms)
        waiting = self._waiting.get(key)
        if waiting is not None and event_time_ms >= self._late_before_ms:
            waiting.append(signal)
            self.flow.max_event_time_ms = max(self.flow.max_event_time_ms, event_time_ms)
        elif only is None or key in only:
            self.flow.states.setdefault(key, KeyState(key))
            self.flow.take(signal, self._turned)
        else:
            self.flow.move(event_time_ms, self._turned)

    def _pass_boundary(self, event_time_ms: int) -> None:
        """Find out which event time brings the watermark to the next boundary, and before which a signal is late for a rule."""
        self._count_waiting()
        watermark_ms = event_time_ms - self._lateness_ms
        self._late_before_ms = max(floor_to(watermark_ms, bucket) for bucket in self._buckets)
        self._boundary_ms = min(floor_to(watermark_ms, bucket) + bucket for bucket in self._buckets) + self._lateness_ms

    def _count_waiting(self) -> None:
        for key, signals in self._waiting.items():
            if signals:
                self.flow.absorb(key, signals)
        self._waiting.clear()

    def alerts(self) -> list[Alert]:
        return [*self._ended, *self._open.values()]

    def _turned(self, before: KeyState, decision: Decision, cause: Signal | Control | None) -> None:
        if cause is None or isinstance(cause, Signal):
            self._waiting.setdefault(before.alert_key, [])
        if isinstance(cause, Signal):
            rules = (rule for rule, reason in decision.reasons if reason == "late")
            self.late.note(cause, rules, self.flow.max_event_time_ms)
        for event in decision.events:
            self._note(event)

    def _note(self, event: AlertEvent) -> None:
        self.events.append(event)
        place = (event.alert_key, event.rule)
        alert = self._open.get(place, Alert(event))
        if event.state == "resolved":
            self._open.pop(place, None)
            self._ended.append(replace(alert, resolved=event))
        else:
            self._open[place] = replace(alert, silences=alert.silences + (event.change == "stale"))


def _order(event: AlertEvent) -> tuple[int, str, str]:
    return event.at_ms, event.alert_key, event.rule
