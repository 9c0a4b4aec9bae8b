"""Decide whether to read on or to hold the partitions back, and whether there is time to be quick. No I/O.

A hold that is soon over pauses nothing. librdkafka throws away what it has fetched of a partition when that is paused, and
fetches it from the broker again once it is resumed: a worker whose model is quick would have its broker send everything several
times over, and wait for it.
"""

from typing import Literal

import msgspec

from worker.score.breaker import Phase

Hold = Literal["too_many_messages", "too_many_bytes", "model_away", "rewinding"]
_PATIENCE_S = 1.0
"""For how long a full worker does not poll rather than pause. A rebalance waits for it so long, and no longer."""


class HandLimits(msgspec.Struct, frozen=True):
    """What may be in hand: messages, and bytes of their records."""

    messages: int
    size: int


class InHand(msgspec.Struct, frozen=True):
    """What is in hand."""

    messages: int
    size: int


def hold(before: Hold | None, in_hand: InHand, limits: HandLimits, breaker: Phase) -> Hold | None:
    """Return why to hold the partitions back, None to read on.

    Once full, reading goes on when half is done, so that partitions are not paused and resumed with every message.
    """
    if breaker != "closed":
        return "model_away"
    share = 1.0 if before is None else 0.5
    if in_hand.messages >= max(1, limits.messages * share):
        return "too_many_messages"
    return "too_many_bytes" if in_hand.size >= max(1, limits.size * share) else None


def is_behind(before: bool, in_hand: InHand, limits: HandLimits) -> bool:
    """Tell whether more comes than is done: from when the worker was full until it holds less than a quarter of that.

    Whatever comes then waits for all that is before it, and a commit more or less is nothing to it; the brokers are spared.
    """
    share = 0.25 if before else 1.0
    return in_hand.messages >= max(1, limits.messages * share) or in_hand.size >= max(1, limits.size * share)


class Brake:
    """Holds the partitions back as long as there is a reason to, and pauses them if that lasts."""

    def __init__(self, limits: HandLimits) -> None:
        self._limits = limits
        self._since_s = 0.0
        self._must_pause_again = False
        self.why: Hold | None = None
        """Why nothing new is taken."""
        self.is_paused = False
        """Whether partitions are paused; a poll returns nothing then. Where they are held and not paused there must be none."""
        self.is_behind = False
        """See the function of this name."""

    def look(self, in_hand: InHand, phase: Phase, now_s: float, *, rewinding: bool) -> Literal["pause", "resume"] | None:
        """Take note of how things stand; returns what to do with all partitions."""
        self.is_behind = is_behind(self.is_behind, in_hand, self._limits)
        before, self.why = self.why, "rewinding" if rewinding else hold(self.why, in_hand, self._limits, phase)
        if before is None:
            self._since_s = now_s
        lasts = self.why in {"model_away", "rewinding"} or now_s - self._since_s >= _PATIENCE_S
        was_paused, self.is_paused = self.is_paused, self.why is not None and (self.is_paused or lasts)
        again, self._must_pause_again = self._must_pause_again, False
        if self.is_paused:
            return "pause" if again or not was_paused else None
        return "resume" if was_paused else None

    def renew(self) -> None:
        """Partitions have come, which are not paused, or a rebalance may have resumed some: pause all again, if any are."""
        self._must_pause_again = True

    def release(self) -> None:
        """All partitions were resumed."""
        self.why, self.is_paused = None, False
