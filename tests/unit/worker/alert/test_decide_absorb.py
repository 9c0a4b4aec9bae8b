"""Signals that are counted all at once, as a backtest does it; `test_decide` has what becomes of them one by one."""

import pytest

from tests.unit.worker.alert.builders import RULE, rules, signal
from worker.alert.decide import absorb, decide
from worker.alert.flow import Flow
from worker.alert.state import KeyState, encode_state
from worker.messages import Signal

BLOG = RULE.replace("rules:", "").replace("bad-press", "a-blog").replace("bucket: 10s", "bucket: 5s")
TWO = f"{RULE}{BLOG}    scope: {{source: blog, entities: acme}}\n    count_duplicates: true\n"
WATERMARK_MS = 12_000


def known() -> KeyState:
    """A key with four messages, looked at up to 10 s, of which one rule has not heard yet."""
    state = KeyState("entity:acme")
    for at_s in (1, 2, 3, 12):
        state = decide(rules(TWO), state, signal(at_s, "positive"), at_s * 1_000).state
    return state


@pytest.mark.parametrize(
    "signals",
    [
        [],
        [signal(13), signal(14), signal(11, "positive"), signal(27), signal(10)],
        [signal(13, duplicate_of="x")],
        [signal(13, source="blog"), signal(14, source="blog", duplicate_of="x"), signal(15), signal(31, source="blog")],
    ],
)
def test_all_at_once_is_one_by_one(signals: list[Signal]) -> None:
    """The same windows, timers and rules, also of a rule that hears of the key for the first time."""
    state = known()
    for item in signals:
        state = decide(rules(TWO), state, item, WATERMARK_MS).state
    assert encode_state(absorb(rules(TWO), known(), signals, WATERMARK_MS)) == encode_state(state)


def test_a_flow_goes_on_from_what_was_counted_at_once() -> None:
    """With its state, and with the timer that it sets."""
    flow, told = Flow(rules(), 0), list[str]()
    flow.states["entity:acme"] = KeyState("entity:acme")
    flow.take(signal(1), lambda *_: None)
    flow.absorb("entity:acme", [signal(at_s) for at_s in (2, 3, 4)])
    flow.move(10_000, lambda _, decision, __: told.extend(event.state for event in decision.events))
    assert told == ["firing"]
