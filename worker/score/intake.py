"""Decide whether to read on or to hold the partitions back, and whether there is time to be quick. Pure."""

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


def is_behind(before: bool, in_hand: InHand, limits: HandLimits) -> bool:
    """Tell whether more comes than is done: from when the worker was full until it holds less than a quarter of that.

    Whatever comes then waits for all that is before it, and a commit more or less is nothing to it; the brokers are spared.
    """
    share = 0.25 if before else 1.0
    return in_hand.messages >= max(1, limits.messages * share) or in_hand.size >= max(1, limits.size * share)
