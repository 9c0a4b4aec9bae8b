"""The life cycle of an alert, a pure state machine that answers with a named reason.

    ok ──breach──▶ pending ──breach held for `for`──▶ firing ──clear held for `keep_firing_for`──▶ resolved ──▶ ok
     ▲                │                               │    ▲
     └── anything but breach                  silence ▼    │ data
                                                    stale ─┘

It moves only at bucket boundaries of event time. No data never resolves a firing alert unless the rule says that it means so,
and does not undo a recovery that had begun either. To be told of no data twice is to be told once (`looks.next_look` relies
on it). An alert that flaps, by the rule's own measure, stays firing until it has fired
less often of late.

What people and other alerts make of an open alert, acknowledgement and suppression, is kept beside its status and never moves
it.
"""

from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from worker.alert.detectors import Verdict

Status = Literal["ok", "pending", "firing", "resolved", "stale"]
Muted = Literal["silence", "inhibition"]
"""What keeps an alert quiet."""
Found = Verdict | Literal["absent", "silent", "rule_changed", "rule_removed"]
"""What moves the status. `absent`: no data, where the rule says that this is what to alert on; `silent`: no data, and so
nothing is known any more."""
Attention = Muted | Literal["acknowledge", "audible"]
"""What does not: somebody takes the alert upon themselves; a silence or an inhibition is in force, or (`audible`) neither."""
Cause = Found | Attention
Reason = Literal[
    "quiet",
    "no_data",
    "breach_began",
    "breach_continues",
    "breach_ended",
    "data_ended",
    "threshold_passed",
    "data_absent",
    "still_breaching",
    "still_absent",
    "not_yet_clear",
    "kept_without_data",
    "recovering",
    "recovered",
    "flapping",
    "went_silent",
    "still_silent",
    "rule_changed",
    "rule_removed",
    "acknowledged",
    "silenced",
    "silence_ended",
    "inhibited",
    "inhibition_ended",
    "still_suppressed",
    "not_suppressed",
    "not_open",
]


class Life(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where an alert stands.

    `since_ms`: when the breach began; `clear_since_ms`: since when a firing one is well again; `fires`: when it fired, as far
    back as the rule's flap guard looks; `silences`: how often the present alert went stale; `muted`: what keeps it quiet;
    `revision`: how often it was acknowledged, or its suppression began or ended.
    """

    status: Status = "ok"
    since_ms: int = 0
    clear_since_ms: int | None = None
    fires: tuple[int, ...] = ()
    silences: int = 0
    muted: Muted | None = None
    revision: int = 0

    @property
    def is_open(self) -> bool:
        """Whether there is an alert that was told and has not ended."""
        return self.status in {"firing", "stale"}


class Timing(NamedTuple):
    """A rule's `for` and `keep_firing_for`, and its flap guard (no fires: none), in milliseconds."""

    for_ms: int = 0
    keep_firing_ms: int = 0
    flap_fires: int = 0
    flap_within_ms: int = 0


class Step(NamedTuple):
    """Where the alert stands now, and why."""

    life: Life
    reason: Reason


OK = Life()
_QUIET: dict[Found, Reason] = {
    "hold": "quiet",
    "clear": "quiet",
    "no_data": "no_data",
    "silent": "no_data",
    "rule_changed": "rule_changed",
    "rule_removed": "rule_removed",
}
_ENDED: dict[Found, Reason] = _QUIET | {
    "hold": "breach_ended",
    "clear": "breach_ended",
    "no_data": "data_ended",
    "silent": "data_ended",
}
_FIRING: dict[Found, Reason] = {
    "breach": "still_breaching",
    "absent": "still_absent",
    "hold": "not_yet_clear",
    "rule_changed": "rule_changed",
}


_BEGUN: dict[Muted, Reason] = {"silence": "silenced", "inhibition": "inhibited"}
_OVER: dict[Muted, Reason] = {"silence": "silence_ended", "inhibition": "inhibition_ended"}


def advance(life: Life, cause: Cause, at_ms: int, timing: Timing) -> Step:
    """Return where the alert stands after `cause` was found at the boundary `at_ms`."""
    match cause:
        case "acknowledge" | "silence" | "inhibition" | "audible":
            return attend(life, cause)
    if life.status == "stale":
        return _from_stale(life, cause, at_ms, timing)
    if life.status == "firing":
        return _from_firing(life, cause, at_ms, timing)
    if cause in {"breach", "absent"}:
        return _breach(life, cause, at_ms, timing)
    reasons = _ENDED if life.status == "pending" else _QUIET
    return Step(Life(fires=life.fires), reasons[cause])


def attend(life: Life, cause: Attention) -> Step:
    """Return what becomes of an alert by what people and other alerts make of it: its status stays."""
    if not life.is_open:
        return Step(life, "not_open")
    if cause == "acknowledge":
        return Step(replace(life, revision=life.revision + 1), "acknowledged")
    if cause == "audible":
        if life.muted is None:
            return Step(life, "not_suppressed")
        return Step(replace(life, muted=None, revision=life.revision + 1), _OVER[life.muted])
    if life.muted is not None:
        return Step(replace(life, muted=cause), "still_suppressed")
    return Step(replace(life, muted=cause, revision=life.revision + 1), _BEGUN[cause])


def _breach(life: Life, cause: Found, at_ms: int, timing: Timing) -> Step:
    since_ms = life.since_ms if life.status == "pending" else at_ms
    if at_ms - since_ms < timing.for_ms:
        reason: Reason = "breach_continues" if life.status == "pending" else "breach_began"
        return Step(Life("pending", since_ms, fires=life.fires), reason)
    fires = (*_recent(life, at_ms, timing), at_ms)[-timing.flap_fires :] if timing.flap_fires else ()
    return Step(Life("firing", since_ms, fires=fires), "threshold_passed" if cause == "breach" else "data_absent")


def _from_firing(life: Life, cause: Found, at_ms: int, timing: Timing) -> Step:
    if cause == "clear":
        return _clear(life, at_ms, timing)
    if cause == "no_data":
        return Step(life, "kept_without_data")
    if cause == "silent":
        return Step(replace(life, status="stale", clear_since_ms=None, silences=life.silences + 1), "went_silent")
    if cause == "rule_removed":
        return _resolved(life, "rule_removed")
    return Step(replace(life, clear_since_ms=None), _FIRING[cause])


def _from_stale(life: Life, cause: Found, at_ms: int, timing: Timing) -> Step:
    """With data it is a firing alert again, and goes on from there, resolved at once at the earliest."""
    if cause in {"no_data", "silent"}:
        return Step(life, "still_silent")
    return _from_firing(replace(life, status="firing"), cause, at_ms, timing)


def _clear(life: Life, at_ms: int, timing: Timing) -> Step:
    clear_since_ms = at_ms if life.clear_since_ms is None else life.clear_since_ms
    if at_ms - clear_since_ms < timing.keep_firing_ms:
        return Step(replace(life, clear_since_ms=clear_since_ms), "recovering")
    if 0 < timing.flap_fires <= len(_recent(life, at_ms, timing)):
        return Step(replace(life, clear_since_ms=clear_since_ms), "flapping")
    return _resolved(life, "recovered")


def _resolved(life: Life, reason: Reason) -> Step:
    return Step(Life("resolved", life.since_ms, fires=life.fires, silences=life.silences), reason)


def _recent(life: Life, at_ms: int, timing: Timing) -> tuple[int, ...]:
    return tuple(fired_ms for fired_ms in life.fires if at_ms - fired_ms < timing.flap_within_ms)
