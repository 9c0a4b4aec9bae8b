"""One partition's signals in the order they come: its watermark, its timers and its states. Pure.

The live role and a backtest both stand on this, so that the same signals make the same events in both.
"""

from collections import OrderedDict
from collections.abc import Callable

from worker.alert.decide import Decision, Observe, decide
from worker.alert.rules import RuleSet
from worker.alert.state import NEVER_MS, KeyState
from worker.alert.timers import Timers
from worker.messages import Signal

Turned = Callable[[KeyState, Decision, Signal | None], None]
"""Told of each decision: the state before it, the decision, and the signal, None where the watermark alone caused it."""


class Flow:
    """Watermark, timers, and states in the order of their last use. `states` must hold a key before it is decided on."""

    def __init__(self, rules: RuleSet, lateness_ms: int, observe: Observe | None = None) -> None:
        self._rules = rules
        self._lateness_ms = lateness_ms
        self._observe = observe
        self.states: OrderedDict[str, KeyState] = OrderedDict()
        self.timers = Timers({})
        self.max_event_time_ms = NEVER_MS

    def watermark_after(self, event_time_ms: int) -> int:
        """Return how far the watermark will have come once a signal of that time was taken."""
        return max(self.max_event_time_ms, event_time_ms) - self._lateness_ms

    def take(self, signal: Signal, turned: Turned) -> None:
        """Move the watermark on, decide on every key that falls due by it, then on the signal's own."""
        self.move(signal.event_time_ms, turned)
        self._turn(signal.alert_key, signal, self.max_event_time_ms - self._lateness_ms, turned)

    def move(self, event_time_ms: int, turned: Turned) -> None:
        """Move the watermark on, and decide on every key that falls due by it."""
        self.max_event_time_ms = max(self.max_event_time_ms, event_time_ms)
        watermark_ms = self.max_event_time_ms - self._lateness_ms
        while (key := self.timers.pop(watermark_ms)) is not None:
            self._turn(key, None, watermark_ms, turned)

    def _turn(self, key: str, signal: Signal | None, watermark_ms: int, turned: Turned) -> None:
        before = self.states[key]
        self.states.move_to_end(key)
        decision = decide(self._rules, before, signal, watermark_ms, self._observe)
        self.states[key] = decision.state
        self.timers.set(key, decision.state.due_ms)
        turned(before, decision, signal)
