"""The one decision: `decide(rules, state, signal, watermark) -> state, events, reasons`. Pure: no clock, I/O or randomness.

The live role, a rebuild and a backtest call this same function, so they agree. Windows are looked at only at bucket boundaries
that the watermark has passed, in order; a signal older than the last of them is late, and only counted. So the order in
which signals come, within the allowed lateness, makes no difference, and neither does how often a key is looked at.

Silences and inhibition are looked at on the same boundaries, and on those at which a silence begins or ends. They move no
alert, but its events say by what it is kept quiet, and one goes out when that begins and when it ends.

When a rule changes, its version does. If that changes what is counted or how, its window starts afresh, for figures gathered
under other terms prove nothing, and a pending alert is dropped; but a firing alert goes on under its id, until the new rule
finds, on its own data, that all is well. Where only the rest changes, such as a label or a duration, all goes on.
When a rule goes, or no longer covers a key, a firing alert is resolved with the reason `rule_removed`, never forgotten.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from msgspec.structs import replace

from worker.alert import attention, looks, ring, windows
from worker.alert.detectors import View, judge
from worker.alert.evidence import Scene, gather, labels_of, link_of
from worker.alert.lifecycle import Cause, Life, Reason, Status, Step, Timing, advance
from worker.alert.rules import Rule, RuleSet
from worker.alert.state import NEVER_MS, KeyState, RuleState
from worker.alert.suppression import Suppression
from worker.messages import Acknowledge, AlertEvent, AlertState, Signal

_TOLD: dict[Status, AlertState] = {"firing": "firing", "stale": "stale", "resolved": "resolved"}
"""The states that subscribers hear of."""
_NO_DATA: dict[str, Cause] = {"keep": "no_data", "resolve": "clear", "fire": "absent", "stale": "silent"}
"""What a window without enough data means, by the rule's `no_data`."""
_NOTHING = Suppression()
Intake = Literal["counted", "late", "duplicate", "out_of_scope"]


class RuleReason(NamedTuple):
    """What one rule made of it: the life cycle's latest reason, or what became of the signal."""

    rule: str
    reason: Reason | Intake


class Decision(NamedTuple):
    """The key's new state, the events that this caused in order of time and rule, and the reasons, rule by rule."""

    state: KeyState
    events: tuple[AlertEvent, ...]
    reasons: tuple[RuleReason, ...]


class Look(NamedTuple):
    """What a rule saw of a key at one boundary, and what it made of it."""

    rule: Rule
    alert_key: str
    scene: Scene
    step: Step


Observe = Callable[[Look], None]
"""Told of every look, in order of time for each rule and key; it cannot change what is decided."""


class _Sight(NamedTuple):
    """How far to look, with what in force, and who is told of it."""

    watermark_ms: int
    suppression: Suppression
    observe: Observe | None


class _Outcome(NamedTuple):
    state: RuleState | None
    events: list[AlertEvent]
    reasons: list[RuleReason]


def decide(
    rules: RuleSet,
    state: KeyState,
    signal: Signal | None,
    watermark_ms: int,
    observe: Observe | None = None,
    suppression: Suppression = _NOTHING,
) -> Decision:
    """Return what becomes of a key when the watermark has reached `watermark_ms` and, where there is one, `signal` came.

    `signal` must be of the state's key, and the watermark must have taken account of it. Without a signal only what the
    watermark makes due is done. `suppression` is only read.
    """
    if signal is not None and (counted := _count(rules, state, signal, watermark_ms)) is not None:
        return counted
    sight = _Sight(watermark_ms, suppression, observe)
    outcomes = {rule.name: _look(rule, state, signal, sight) for rule in rules.for_key(state.alert_key)}
    for name in state.rules.keys() - outcomes.keys():
        outcomes[name] = _remove(name, state.rules[name], sight)
    kept = {name: outcome.state for name, outcome in outcomes.items() if outcome.state is not None}
    events = sorted((event for outcome in outcomes.values() for event in outcome.events), key=lambda e: (e.at_ms, e.rule))
    reasons = tuple(reason for outcome in outcomes.values() for reason in outcome.reasons)
    return Decision(key_state(rules, state.alert_key, kept), tuple(events), reasons)


def absorb(rules: RuleSet, state: KeyState, signals: Sequence[Signal], watermark_ms: int) -> KeyState:
    """Return what becomes of a key when signals came that no rule finds late, while the watermark passed no boundary.

    `decide` was called for the key since the last boundary. It would come to the same, signal by signal: as no window is looked
    at, all they do is to be counted.
    """
    kept = dict(state.rules)
    for rule in rules.for_key(state.alert_key):
        was = kept.get(rule.name) or _fresh(rule, windows.floor_to(watermark_ms, rule.detector.bucket))
        counted = [signal for signal in signals if _intake(rule, signal, was.evaluated_ms) == "counted"]
        if counted:
            kept[rule.name] = replace(was, buckets=windows.add_all(was.buckets, counted, rule.detector.bucket))
    return key_state(rules, state.alert_key, kept)


def silence(rules: RuleSet, state: KeyState, at_ms: int, suppression: Suppression = _NOTHING) -> Decision:
    """Return what becomes of a key when its partition has fallen silent, as a tick at `at_ms` says: all that is known is over.

    A firing alert is stale, neither resolved nor sure any more, and a pending one is dropped. Nothing else changes: a tick does
    not move the watermark, and whatever comes next counts as if there had been none.
    """
    covering = [rule for rule in rules.for_key(state.alert_key) if rule.name in state.rules]
    outcomes = {rule.name: _silence(rule, state.rules[rule.name], at_ms, suppression) for rule in covering}
    return _decision(rules, state, outcomes)


def acknowledge(rules: RuleSet, state: KeyState, said: Acknowledge, watermark_ms: int) -> Decision:
    """Return what becomes of a key when somebody takes an alert of it upon themselves: the last who does has it.

    An alert that is not open, or not of this key, changes nothing: `not_open`.
    """
    attended = {name: attention.acknowledge(of, said, max(watermark_ms, of.evaluated_ms)) for name, of in state.rules.items()}
    outcomes = {
        name: _Outcome(state, [event], [RuleReason(name, reason)])
        for name, (state, reason, event) in attended.items()
        if event is not None
    }
    return _decision(rules, state, outcomes) if outcomes else Decision(state, (), (RuleReason("", "not_open"),))


def _decision(rules: RuleSet, state: KeyState, outcomes: Mapping[str, _Outcome]) -> Decision:
    """Return the state in which these rules' views take the place of those before."""
    changed = {name: outcome.state for name, outcome in outcomes.items() if outcome.state is not None}
    events = tuple(event for outcome in outcomes.values() for event in outcome.events)
    reasons = tuple(reason for outcome in outcomes.values() for reason in outcome.reasons)
    return Decision(key_state(rules, state.alert_key, {**state.rules, **changed}), events, reasons)


def _silence(rule: Rule, state: RuleState, at_ms: int, suppression: Suppression) -> _Outcome:
    at_ms = max(at_ms, state.evaluated_ms)
    step = advance(state.life, "silent", at_ms, _timing(rule))
    state = replace(state, life=step.life)
    if step.reason == "went_silent" and state.fired is not None:
        told = _identity(state.fired.alert_id, "stale", step.life)
        event = replace(state.fired, id=told.id, state="stale", episode=told.episode, reason=step.reason, at_ms=at_ms)
        event = attention.quieted(replace(event, change="stale"), state.fired, suppression)
        return _Outcome(attention.remembered(state, event), [event], [RuleReason(rule.name, step.reason)])
    attended = attention.suppress(state, suppression, at_ms)
    events = [attended.event] if attended.event else []
    return _Outcome(attended.state, events, [RuleReason(rule.name, step.reason)])


def key_state(rules: RuleSet, alert_key: str, kept: Mapping[str, RuleState]) -> KeyState:
    """Return the state of a key with the rules' views of it, and when it must be looked at next."""
    dues = [due for name, state in kept.items() if (due := looks.due(rules.by_name.get(name), state)) is not None]
    ordered = dict(sorted(kept.items())) if len(kept) > 1 else dict(kept)
    return KeyState(alert_key, ordered, min(dues, default=None))


def alert_id(rule: str, alert_key: str, started_at_ms: int) -> str:
    """Return the id of the alert that began then: 16 hexadecimal digits, the same in every replay."""
    return hashlib.sha256(f"{rule}\n{alert_key}\n{started_at_ms}".encode()).hexdigest()[:16]


def _count(rules: RuleSet, state: KeyState, signal: Signal, watermark_ms: int) -> Decision | None:
    """Return what becomes of a key at which nothing has to be looked at, as with nearly every signal; None if something has.

    That is: no rule has come, changed or gone, and the watermark has passed no boundary since the key was last decided on.
    It is what `_look` comes to then, and quicker.
    """
    covering = rules.for_key(state.alert_key)
    if len(covering) != len(state.rules):
        return None
    kept, reasons = dict[str, RuleState](), list[RuleReason]()
    for rule in covering:
        stored, closed_ms = state.rules.get(rule.name), windows.floor_to(watermark_ms, rule.detector.bucket)
        if stored is None or stored.version != rule.version or closed_ms > stored.evaluated_ms:
            return None
        intake = _intake(rule, signal, stored.evaluated_ms)
        kept[rule.name] = _take(rule, stored, signal, intake)
        reasons.append(RuleReason(rule.name, intake))
    return Decision(key_state(rules, state.alert_key, kept), (), tuple(reasons))


def _look(rule: Rule, key: KeyState, signal: Signal | None, sight: _Sight) -> _Outcome:
    closed_ms = windows.floor_to(sight.watermark_ms, rule.detector.bucket)
    stored = key.rules.get(rule.name)
    if stored is not None and stored.basis == rule.basis:  # whose state is further is never taken back, whatever was lost
        closed_ms = max(closed_ms, stored.evaluated_ms)
    intake = _intake(rule, signal, closed_ms) if signal else None
    reasons = [RuleReason(rule.name, intake)] if intake else []
    if stored is None and intake in {None, "duplicate", "out_of_scope"}:
        return _Outcome(None, [], reasons)
    state, events = stored or _fresh(rule, closed_ms), list[AlertEvent]()
    if state.version != rule.version and state.basis == rule.basis:
        state = replace(state, version=rule.version)
    elif state.version != rule.version:
        state, reason = _adopt(rule, state, closed_ms)
        reasons.append(reason)
    if closed_ms > state.evaluated_ms:
        state, events, found = _close(rule, key.alert_key, state, closed_ms, sight)
        reasons += found
    return _Outcome(_take(rule, state, signal, intake), events, reasons)


def _fresh(rule: Rule, closed_ms: int) -> RuleState:
    return RuleState(rule.version, closed_ms, basis=rule.basis)


def _intake(rule: Rule, signal: Signal, closed_ms: int) -> Intake:
    if not rule.scope.admits(signal.source, signal.kind, signal.label):
        return "out_of_scope"
    if signal.duplicate_of is not None and not rule.count_duplicates:
        return "duplicate"
    return "late" if signal.event_time_ms < closed_ms else "counted"


def _take(rule: Rule, state: RuleState, signal: Signal | None, intake: Intake | None) -> RuleState:
    if signal is not None and intake == "counted":
        return replace(state, buckets=windows.add(state.buckets, signal, rule.detector.bucket))
    return replace(state, late=state.late + 1) if intake == "late" else state


def _adopt(rule: Rule, state: RuleState, closed_ms: int) -> tuple[RuleState, RuleReason]:
    """Go on under a changed rule; see the module's docstring."""
    step = advance(state.life, "rule_changed", closed_ms, _timing(rule))
    # The silence of an open alert counts from here; never heard of, it would be looked at for want of data no more.
    seen_ms = closed_ms if step.life.is_open else NEVER_MS
    kept = replace(_fresh(rule, closed_ms), life=step.life, fired=state.fired, late=state.late)
    return replace(kept, seen_ms=seen_ms, begun_ms=closed_ms), RuleReason(rule.name, step.reason)


def _remove(name: str, state: RuleState, sight: _Sight) -> _Outcome:
    step = advance(state.life, "rule_removed", sight.watermark_ms, Timing())
    events = []
    if step.life.status == "resolved" and state.fired is not None:
        at_ms = max(sight.watermark_ms, state.evaluated_ms)
        event = replace(state.fired, id=f"{state.fired.alert_id}-resolved", state="resolved", reason=step.reason, at_ms=at_ms)
        events = [attention.quieted(replace(event, change="resolved"), state.fired, sight.suppression)]
    return _Outcome(None, events, [RuleReason(name, step.reason)])


class _Closed(NamedTuple):
    state: RuleState
    events: list[AlertEvent]
    reasons: list[RuleReason]


def _close(rule: Rule, alert_key: str, state: RuleState, closed_ms: int, sight: _Sight) -> _Closed:
    """Look at the windows of every boundary up to `closed_ms`, and at what is in force there."""
    detector = rule.detector
    events, reasons, done_ms = list[AlertEvent](), list[RuleReason](), state.evaluated_ms
    while done_ms < closed_ms and (at_ms := looks.next_look(rule, state, done_ms, closed_ms)) is not None:
        state = _attend(rule, state, (done_ms, at_ms - detector.bucket), sight, events)
        before, done_ms = state, at_ms
        state, step, scene = _judge(rule, before, at_ms)
        if sight.observe is not None:
            sight.observe(Look(rule, alert_key, scene, step))
        if step.life.status != before.life.status and (told := _TOLD.get(step.life.status)):
            event = attention.quieted(_event(rule, alert_key, _Change(told, step), scene), before.fired, sight.suppression)
            events.append(event)
            state = attention.remembered(state, event)
        elif state.life.is_open:
            state = _suppress(state, at_ms, sight, events)
        reasons = [RuleReason(rule.name, step.reason)]
    if done_ms < closed_ms:  # the rest needs no look
        state = _move_on(rule, _attend(rule, state, (done_ms, closed_ms), sight, events), closed_ms).state
    return _Closed(replace(state, evaluated_ms=closed_ms, basis=rule.basis), events, reasons)


def _attend(rule: Rule, state: RuleState, past: tuple[int, int], sight: _Sight, events: list[AlertEvent]) -> RuleState:
    """Let silences begin and end in a stretch of boundaries, the last one included, that need no look for anything else."""
    after_ms, upto_ms = past
    if not state.life.is_open or upto_ms <= after_ms:
        return state
    bucket = rule.detector.bucket
    for edge_ms in sight.suppression.edges(after_ms, upto_ms):
        state = _suppress(state, windows.floor_to(edge_ms + bucket - 1, bucket), sight, events)
    return state


def _suppress(state: RuleState, at_ms: int, sight: _Sight, events: list[AlertEvent]) -> RuleState:
    attended = attention.suppress(state, sight.suppression, at_ms)
    events += [attended.event] if attended.event else []
    return attended.state


class _Moved(NamedTuple):
    """A rule's view with all closed up to a boundary, the bucket that ended there, and how long nothing came before that."""

    state: RuleState
    newest: windows.Tally
    silent_ms: int


def _move_on(rule: Rule, state: RuleState, at_ms: int) -> _Moved:
    detector = rule.detector
    closing, rest = windows.split(state.buckets, at_ms)
    closed, newest = ring.close(state.closed, closing, at_ms, detector.spans_ms), windows.Tally()
    if closing and closing[-1].start_ms == at_ms - detector.bucket:
        closing, newest = closing[:-1], closing[-1].tally
    seen_ms = max(state.seen_ms, closing[-1].start_ms + detector.bucket) if closing else state.seen_ms
    silent_ms = at_ms - seen_ms - (detector.bucket if newest.messages else 0)
    seen_ms = at_ms if newest.messages else seen_ms
    return _Moved(replace(state, buckets=rest, seen_ms=seen_ms, closed=closed), newest, silent_ms)


def _judge(rule: Rule, state: RuleState, at_ms: int) -> tuple[RuleState, Step, Scene]:
    """Look at the window that ends at one boundary."""
    detector, moved = rule.detector, _move_on(rule, state, at_ms)
    forgotten = moved.silent_ms >= detector.memory_ms
    spans = ring.tallies(moved.state.closed, at_ms, detector.spans_ms)
    memory, reading = judge(detector, None if forgotten else state.memory, View(at_ms, spans[0], moved.newest, spans))
    cause: Cause = reading.verdict
    if reading.verdict == "no_data" and at_ms - state.begun_ms >= detector.window:  # else it could not have come yet
        cause = _NO_DATA[rule.no_data]
    step = advance(state.life, cause, at_ms, _timing(rule))
    after = replace(moved.state, life=step.life, memory=None if forgotten else memory)
    return after, step, Scene(at_ms, moved.state.closed, state.late, reading)


class _Identity(NamedTuple):
    id: str
    episode: int


def _identity(alert: str, told: AlertState, life: Life) -> _Identity:
    """Return the event's id, and which stretch of the alert's life it tells of: silence ends one, its end begins the next."""
    episode = max(1, life.silences + (told != "stale"))
    return _Identity(f"{alert}-{told}" + (f"-{episode}" if episode > 1 and told != "resolved" else ""), episode)


class _Change(NamedTuple):
    told: AlertState
    step: Step


def _event(rule: Rule, alert_key: str, change: _Change, scene: Scene) -> AlertEvent:
    life, evidence = change.step.life, gather(rule, scene)
    short = alert_id(rule.name, alert_key, life.since_ms)
    told = _identity(short, change.told, life)
    return AlertEvent(
        id=told.id,
        alert_id=short,
        state=change.told,
        reason=change.step.reason,
        alert_key=alert_key,
        rule=rule.name,
        rule_version=rule.version,
        severity=rule.severity,
        started_at_ms=life.since_ms,
        at_ms=scene.at_ms,
        evidence=evidence,
        model=scene.closed.model,
        episode=told.episode,
        change=change.told,
        revision=life.revision,
        labels=labels_of(rule, alert_key),
        link=link_of(rule, alert_key, short, evidence),
    )


def _timing(rule: Rule) -> Timing:
    guard = rule.flap_guard
    return Timing(rule.for_, rule.keep_firing_for, *((guard.fires, guard.within) if guard else (0, 0)))
