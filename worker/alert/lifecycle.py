"""The life cycle of an alert, a pure state machine that answers with a named reason.

    ok ──breach──▶ pending ──breach held for `for`──▶ firing ──clear held for `keep_firing_for`──▶ resolved ──▶ ok
     ▲                │
     └── anything but breach

It moves only at bucket boundaries of event time. No data never resolves a firing alert, and does not undo a recovery that had
begun either: it says nothing. To be told of no data twice is to be told once (`windows.boundaries` relies on it).
"""

from typing import Literal, NamedTuple

import msgspec

from worker.alert.detectors import Verdict

Status = Literal["ok", "pending", "firing", "resolved"]
Cause = Verdict | Literal["rule_changed", "rule_removed"]
Reason = Literal[
    "quiet",
    "no_data",
    "breach_began",
    "breach_continues",
    "breach_ended",
    "data_ended",
    "threshold_passed",
    "still_breaching",
    "not_yet_clear",
    "kept_without_data",
    "recovering",
    "recovered",
    "rule_changed",
    "rule_removed",
]


class Life(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where an alert stands. `since_ms`: when the breach began; `clear_since_ms`: since when a firing one is well again."""

    status: Status = "ok"
    since_ms: int = 0
    clear_since_ms: int | None = None


class Timing(NamedTuple):
    """A rule's `for` and `keep_firing_for`, in milliseconds."""

    for_ms: int = 0
    keep_firing_ms: int = 0


class Step(NamedTuple):
    """Where the alert stands now, and why."""

    life: Life
    reason: Reason


OK = Life()


def advance(life: Life, cause: Cause, at_ms: int, timing: Timing) -> Step:
    """Return where the alert stands after `cause` was found at the boundary `at_ms`."""
    if life.status == "firing":
        return _from_firing(life, cause, at_ms, timing)
    if cause == "breach":
        return _breach(life, at_ms, timing)
    if cause in {"rule_changed", "rule_removed"}:
        return Step(OK, "rule_changed" if cause == "rule_changed" else "rule_removed")
    if life.status == "pending":
        return Step(OK, "data_ended" if cause == "no_data" else "breach_ended")
    return Step(OK, "no_data" if cause == "no_data" else "quiet")


def _breach(life: Life, at_ms: int, timing: Timing) -> Step:
    since_ms = life.since_ms if life.status == "pending" else at_ms
    if at_ms - since_ms >= timing.for_ms:
        return Step(Life("firing", since_ms), "threshold_passed")
    return Step(Life("pending", since_ms), "breach_continues" if life.status == "pending" else "breach_began")


def _from_firing(life: Life, cause: Cause, at_ms: int, timing: Timing) -> Step:
    if cause == "clear":
        return _clear(life, at_ms, timing)
    if cause == "no_data":
        return Step(life, "kept_without_data")
    if cause == "rule_removed":
        return Step(Life("resolved", life.since_ms), "rule_removed")
    still: Reason = "still_breaching" if cause == "breach" else "not_yet_clear" if cause == "hold" else "rule_changed"
    return Step(Life("firing", life.since_ms), still)


def _clear(life: Life, at_ms: int, timing: Timing) -> Step:
    clear_since_ms = at_ms if life.clear_since_ms is None else life.clear_since_ms
    if at_ms - clear_since_ms >= timing.keep_firing_ms:
        return Step(Life("resolved", life.since_ms), "recovered")
    return Step(Life("firing", life.since_ms, clear_since_ms), "recovering")
