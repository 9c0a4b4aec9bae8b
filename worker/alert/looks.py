"""When a key has to be looked at: at which boundaries something can have changed. Pure.

A boundary that is passed over is one at which a look would change nothing, so how often a key is looked at makes no
difference (but for the baseline of `volume` and `surge`, which is aged at once then, where each look would age it by a
bucket). For each bucket with messages there are no more looks than two for its coming and one for each span that it leaves,
however fine the buckets, and however long the silence between. Only an alert, and a key whose silence may be one (`no_data:
fire`), is looked at at every boundary, as time itself moves it.
"""

from worker.alert import ring
from worker.alert.rules import Rule
from worker.alert.state import RuleState


def next_look(rule: Rule, state: RuleState, at_ms: int, upto_ms: int) -> int | None:
    """Return the next boundary to look at after `at_ms`, up to which all is closed; None if there is none by `upto_ms`."""
    if is_at_rest(rule, state):
        following = _next_change(rule, state, at_ms, _has_enough(rule, state))
    else:
        following = _next_boundary(rule, state, at_ms)
    return following if following is not None and following <= upto_ms else None


def due(rule: Rule | None, state: RuleState) -> int | None:
    """Return the next boundary at which something can change without a further signal, None if nothing can.

    At once where the rule is gone.

    A firing alert is looked at on every boundary even without data: that renews its time to live in the store, and lets it end
    when its rule is gone.
    """
    if rule is None:
        return state.evaluated_ms
    if not is_at_rest(rule, state):
        return state.evaluated_ms + rule.detector.bucket
    enough = _has_enough(rule, state)
    return _next_change(rule, state, state.evaluated_ms, enough) if enough or not rule.detector.moves_without_data else None


def is_at_rest(rule: Rule, state: RuleState) -> bool:
    """Tell whether only messages that come, or that leave a window, can change something."""
    return state.life.status == "ok" and rule.no_data != "fire"


def _next_change(rule: Rule, state: RuleState, at_ms: int, enough: bool) -> int | None:
    """Return where a bucket comes next, or leaves a span, for a key at rest that was looked at up to `at_ms`.

    A window into which nothing comes cannot become too much, unless messages leave it, and messages enough are left. Who has a
    memory is shown whatever came, enough or not; and what it learnt from a bucket moves the limits of the look after that.
    """
    detector = rule.detector
    comes = max(state.buckets[0].start_ms, at_ms) + detector.bucket if state.buckets else None
    if not detector.moves_without_data:
        return comes
    if not enough:
        return comes if detector.memory_ms else None
    if detector.memory_ms and state.seen_ms == at_ms:
        return at_ms + detector.bucket
    leaves = ring.intact_until(state.closed, detector.spans_ms) + detector.bucket
    return leaves if comes is None else min(comes, leaves)


def _next_boundary(rule: Rule, state: RuleState, at_ms: int) -> int | None:
    """Return the next of all boundaries, until a key was silent for as long as the rule looks back.

    After that nothing is left to change (`lifecycle` and `detectors` see to that), so the rest of the silence, which may last
    months, is passed over.
    """
    if at_ms - state.seen_ms < rule.span_ms:
        return at_ms + rule.detector.bucket
    return state.buckets[0].start_ms + rule.detector.bucket if state.buckets else None


def _has_enough(rule: Rule, state: RuleState) -> bool:
    held = ring.messages(state.closed)
    for bucket in state.buckets:
        held += bucket.tally.messages
    return held >= rule.detector.min_messages
