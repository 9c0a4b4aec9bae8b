"""What becomes of one rule's open alert when it is looked at what keeps it quiet; `test_attention` has what is told of it."""

import msgspec
import pytest

from tests.unit.worker.alert.builders import RULE, event, rules
from worker.alert.attention import Attended, quieted, suppress
from worker.alert.lifecycle import Life, Muted, Reason
from worker.alert.state import RuleState
from worker.alert.suppression import Suppression
from worker.messages import Acknowledgement, Inhibitor, Silence

LABELS = {"severity": "warning", "topic": "film"}
INHIBIT = RULE + "inhibit: [{source_matchers: [severity=critical], target_matchers: [topic=film]}]\n"
CRITICAL = {"severity": "critical"}


def state(muted: Muted | None = None, *names: str, status: str = "firing") -> RuleState:
    """An open alert that was told to be kept quiet by these."""
    life = Life("firing" if status == "firing" else "resolved", 60_000, muted=muted, revision=3)
    return RuleState("v", 60_000, life, fired=event(labels=LABELS, suppressed_by=names))


def in_force(*said: Silence | Inhibitor) -> Suppression:
    """What is in force when these were said."""
    found = Suppression(rules(INHIBIT).inhibit)
    for control in said:
        found.take(control, 0)
    return found


def silence(name: str) -> Silence:
    """One of the film, up to 200 s."""
    return Silence(name, ("topic=film",), 200_000, "kim", "premiere", 0)


@pytest.mark.parametrize(
    ("before", "said", "reason"),
    [
        (RuleState("v", 60_000), [silence("s")], "not_open"),
        (state(status="resolved"), [silence("s")], "not_open"),
        (state(), [], "not_suppressed"),
        (state(), [Inhibitor("a60000", CRITICAL, True)], "not_suppressed"),
        (state("silence", "silence:s"), [silence("s")], "still_suppressed"),
    ],
)
def test_nothing_is_told_and_nothing_changes(before: RuleState, said: list[Silence | Inhibitor], reason: Reason) -> None:
    """Where there is no open alert, where nothing keeps it quiet, its own word included, or what did so before."""
    assert suppress(before, in_force(*said), 70_000) == Attended(before, reason, None)


@pytest.mark.parametrize(
    ("said", "muted", "names"),
    [
        ([silence("s"), silence("t")], "silence", ("silence:s", "silence:t")),
        ([Inhibitor("b", CRITICAL, True)], "inhibition", ("inhibition:b",)),
    ],
)
def test_what_keeps_it_quiet_may_change(said: list[Silence | Inhibitor], muted: Muted, names: tuple[str, ...]) -> None:
    """That is remembered, and told with the next event of its life."""
    after = suppress(state("silence", "silence:s"), in_force(*said), 70_000)
    assert after == Attended(state(muted, *names), "still_suppressed", None)


@pytest.mark.parametrize(
    ("before", "said", "change", "reason", "names"),
    [
        (state(), [silence("s")], "suppressed", "silenced", ("silence:s",)),
        (state(), [Inhibitor("b", CRITICAL, True)], "suppressed", "inhibited", ("inhibition:b",)),
        (state("silence", "silence:s"), [], "unsuppressed", "silence_ended", ()),
        (state("inhibition", "inhibition:b"), [], "unsuppressed", "inhibition_ended", ()),
    ],
)
def test_its_beginning_and_its_end_are_told(
    before: RuleState, said: list[Silence | Inhibitor], change: str, reason: str, names: tuple[str, ...]
) -> None:
    """The state remembers the very event, and how often something was told of the alert."""
    after = suppress(before, in_force(*said), 70_000)
    assert after.event is not None
    assert (after.event.id, after.event.change) == (f"a60000-{change}-4", change)
    assert (after.event.at_ms, after.event.revision, after.event.suppressed_by) == (70_000, 4, names)
    assert (after.reason, after.event.reason, after.state.fired) == (reason, reason, after.event)
    assert (after.state.life.revision, after.state.life.muted is None) == (4, not names)


def test_an_event_of_its_life_says_what_keeps_it_quiet_by_then() -> None:
    """At the event's own time and by its labels; no alert keeps itself quiet; who had it before has it still."""
    taken = Acknowledgement("kim", "on it", 5)
    before = event(labels=LABELS, acknowledgement=taken)
    suppression = in_force(silence("s"), Inhibitor("a60000", CRITICAL, True), Inhibitor("b", CRITICAL, True))
    last = msgspec.structs.replace(before, at_ms=199_999, acknowledgement=None)
    said = quieted(last, before, suppression)
    assert (said.suppressed_by, said.acknowledgement) == (("silence:s", "inhibition:b"), taken)
    later = quieted(msgspec.structs.replace(last, at_ms=200_000, labels={}), None, suppression)
    assert (later.suppressed_by, later.acknowledgement) == ((), None)
