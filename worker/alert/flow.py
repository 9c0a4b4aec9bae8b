"""One partition's signals in the order they come: its watermark, its timers, its states and its silences. Pure.

The live role and a backtest both stand on this, so that the same signals make the same events in both.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

from worker.alert.decide import Decision, Observe, absorb, acknowledge, decide, silence
from worker.alert.rules import RuleSet
from worker.alert.state import NEVER_MS, KeyState
from worker.alert.suppression import Suppression
from worker.alert.timers import Timers
from worker.messages import Acknowledge, Control, Signal, Tick

Turned = Callable[[KeyState, Decision, Signal | Control | None], None]
"""Told of each decision: the state before it, the decision, and what caused it, None where a timer ran out."""


class Flow:
    """Watermark, timers, and states in the order of their last use. `states` must hold a key before it is decided on.

    `replace_rules` may be called between two signals.
    """

    def __init__(self, rules: RuleSet, lateness_ms: int, observe: Observe | None = None) -> None:
        self.rules = rules
        self._lateness_ms = lateness_ms
        self._observe = observe
        self.states: OrderedDict[str, KeyState] = OrderedDict()
        self.timers = Timers({})
        self.suppression = Suppression(rules.inhibit)
        self.max_event_time_ms = NEVER_MS

    def replace_rules(self, rules: RuleSet) -> None:
        """Go on under these rules."""
        self.rules = rules
        self.suppression.replace_rules(rules.inhibit)

    def watermark_after(self, event_time_ms: int) -> int:
        """Return how far the watermark will have come once a signal of that time was taken; never before 1970.

        No signal is older, and an alert of an older time could not be told.
        """
        return max(0, max(self.max_event_time_ms, event_time_ms) - self._lateness_ms)

    def take(self, placed: Signal | Control, turned: Turned) -> None:
        """Decide on every key that falls due by a signal, then on its own; or do what a control record says.

        A tick is of every key that has a timer, an acknowledgement of one key; what keeps alerts quiet has its effect when they
        are looked at next.
        """
        if isinstance(placed, Signal):
            self.move(placed.event_time_ms, turned)
            before = self.states[placed.alert_key]
            self._accept(before, self._decide(before, placed), placed, turned)
        elif isinstance(placed, Tick):
            self._fall_silent(placed, turned)
        elif isinstance(placed, Acknowledge):
            before = self.states[placed.alert_key]
            self._accept(before, acknowledge(self.rules, before, placed, self._watermark_ms), placed, turned)
        else:
            self.suppression.take(placed, self._watermark_ms)

    def absorb(self, key: str, signals: Sequence[Signal]) -> None:
        """Count more signals on a key that was decided on since the watermark last passed a boundary; see `decide.absorb`."""
        self.states[key] = state = absorb(self.rules, self.states[key], signals, self._watermark_ms)
        self.timers.set(key, state.due_ms)

    def move(self, event_time_ms: int, turned: Turned) -> None:
        """Move the watermark on, and decide on every key that falls due by it."""
        self.max_event_time_ms = max(self.max_event_time_ms, event_time_ms)
        while (key := self.timers.pop(self._watermark_ms)) is not None:
            before = self.states[key]
            self._accept(before, self._decide(before, None), None, turned)

    @property
    def _watermark_ms(self) -> int:
        reached_ms = self.max_event_time_ms - self._lateness_ms
        return max(0, reached_ms)

    def _decide(self, before: KeyState, signal: Signal | None) -> Decision:
        return decide(self.rules, before, signal, self._watermark_ms, self._observe, self.suppression)

    def _fall_silent(self, tick: Tick, turned: Turned) -> None:
        """Let every key that has a timer, as each with an open alert has, know of the silence."""
        for key in sorted(self.timers.keys()):
            before = self.states[key]
            self._accept(before, silence(self.rules, before, tick.at_ms, self.suppression), tick, turned)

    def _accept(self, before: KeyState, decision: Decision, cause: Signal | Control | None, turned: Turned) -> None:
        key = before.alert_key
        self.states[key] = decision.state
        self.states.move_to_end(key)
        self.timers.set(key, decision.state.due_ms)
        turned(before, decision, cause)
