"""Decide whether to read on or to hold the partitions back. Pure."""

from typing import Literal

import msgspec

from worker.score.breaker import Phase

Hold = Literal["too_many_messages", "too_many_bytes", "model_away", "rewinding"]


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
