"""What people and other alerts make of an open alert: who took it upon themselves, and what keeps it quiet. Pure.

A rule's state remembers the last event of its open alert, with all that was said of it so far. Each change makes another of it.
"""

from typing import NamedTuple

from msgspec.structs import replace

from worker.alert.lifecycle import Reason, attend
from worker.alert.state import RuleState
from worker.alert.suppression import Suppression, muted_by
from worker.messages import Acknowledge, Acknowledgement, AlertChange, AlertEvent


class Attended(NamedTuple):
    """The rule's state as it is now, why, and the event that tells of it, None where there is nothing to tell."""

    state: RuleState
    reason: Reason
    event: AlertEvent | None


def acknowledge(state: RuleState, said: Acknowledge, at_ms: int) -> Attended:
    """Let somebody take the alert upon themselves, in place of who did before; `at_ms` is event time."""
    step = attend(state.life, "acknowledge")
    if step.reason != "acknowledged" or state.fired is None or state.fired.alert_id != said.alert_id:
        return Attended(state, "not_open", None)
    acknowledgement = Acknowledgement(said.author, said.comment, said.at_ms)
    state = replace(state, life=step.life, fired=replace(state.fired, acknowledgement=acknowledgement))
    return _told(state, "acknowledged", step.reason, at_ms)


def suppress(state: RuleState, suppression: Suppression, at_ms: int) -> Attended:
    """Look what keeps the alert quiet at `at_ms`; it is told when that begins or ends."""
    last = state.fired
    if last is None or not state.life.is_open:
        return Attended(state, "not_open", None)
    names = suppression.by(last.alert_id, last.labels, at_ms)
    if not names and state.life.muted is None:
        return Attended(state, "not_suppressed", None)
    step = attend(state.life, muted_by(names) or "audible")
    if names != last.suppressed_by or step.life != state.life:
        state = replace(state, life=step.life, fired=replace(last, suppressed_by=names))
    if step.reason == "still_suppressed":
        return Attended(state, step.reason, None)
    return _told(state, "suppressed" if names else "unsuppressed", step.reason, at_ms)


def quieted(event: AlertEvent, before: AlertEvent | None, suppression: Suppression) -> AlertEvent:
    """Return an event of the alert's life with what was said of the alert before, and what keeps it quiet now."""
    names = suppression.by(event.alert_id, event.labels, event.at_ms)
    return replace(event, suppressed_by=names, acknowledgement=before.acknowledgement if before else None)


def remembered(state: RuleState, event: AlertEvent) -> RuleState:
    """Return the state when that event was told: what keeps the alert quiet was told with it."""
    if event.state == "resolved":
        return replace(state, fired=None)
    return replace(state, fired=event, life=replace(state.life, muted=muted_by(event.suppressed_by)))


def _told(state: RuleState, change: AlertChange, reason: Reason, at_ms: int) -> Attended:
    last, revision = state.fired, state.life.revision
    if last is None:
        return Attended(state, "not_open", None)
    event = replace(
        last,
        id=f"{last.alert_id}-{change}-{revision}",
        change=change,
        reason=reason,
        at_ms=max(at_ms, last.at_ms),
        revision=revision,
    )
    return Attended(replace(state, fired=event), reason, event)
