import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.alert.builders import event, rules, signal
from worker.alert import windows
from worker.alert.decide import decide
from worker.alert.detectors import Memory, ShareMemory, ShiftMemory
from worker.alert.detectors.baseline import CountBaseline
from worker.alert.lifecycle import Life
from worker.alert.state import SCHEMA, KeyState, RuleState, decode_state, encode_state
from worker.errors import FatalError
from worker.messages import AlertEvent, Label, Signal

LABELS: tuple[Label, ...] = ("negative", "negative", "positive")


@given(st.lists(st.integers(0, 200), max_size=30), st.text(max_size=20))
def test_state_survives_its_encoding(times_s: list[int], excerpt: str) -> None:
    """What is decoded is what was encoded, whatever the texts."""
    state = KeyState("entity:acme")
    for at_s in sorted(times_s):
        state = decide(rules(), state, signal(at_s, excerpt=excerpt), at_s * 1_000).state
    assert decode_state(encode_state(state)) == state


@pytest.mark.parametrize("memory", [None, ShiftMemory(1.5, fall=2.0), ShareMemory(1.5, 0.5, 60_000), CountBaseline(5, 2)])
def test_a_firing_alert_survives_its_encoding(memory: Memory) -> None:
    """The event with which it fired is kept with it, and what its detector remembers."""
    life = Life("firing", 5, 7, (5, 6), 2)
    state = KeyState("k", {"r": RuleState("v", 10, life, (), 3, event(), 9, memory)}, 20)
    assert decode_state(encode_state(state)) == state


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (bytes([SCHEMA + 1]) + b"\x90", "has schema 4, this version reads 3"),
        (b"\x01\x90", "has schema 1, this version reads 3"),
        (b"", "has schema none"),
        (bytes([SCHEMA]) + b"\xc1", "is damaged"),
        (bytes([SCHEMA]) + msgspec.msgpack.encode(["key", 5, None]), "is damaged"),
        (encode_state(KeyState("key"))[:-1], "is damaged"),
    ],
)
def test_unreadable_state_is_refused(body: bytes, expected: str) -> None:
    """To guess at a state would lose or double alerts, so the worker stops and says what to do."""
    with pytest.raises(FatalError, match=expected):
        decode_state(body)


@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from(LABELS)), max_size=40).map(sorted), st.integers(0, 40))
def test_state_of_the_version_before_goes_on(moments: list[tuple[int, Label]], at: int) -> None:
    """Its closed buckets lie among the open ones; the events to come are the same as without a change of version."""
    signals = [signal(at_s, label, message_id=str(index)) for index, (at_s, label) in enumerate(moments)]
    state, _ = told(KeyState("entity:acme"), signals[:at])
    closed_ms = signals[:at][-1].event_time_ms // 10_000 * 10_000 if signals[:at] else 0
    within = [one for one in signals[:at] if one.event_time_ms >= closed_ms - 50_000]
    before = {name: old(kept, windows.add_all((), within, 10_000)) for name, kept in state.rules.items()}
    body = b"\x02" + msgspec.msgpack.encode(["entity:acme", before, state.due_ms])
    assert told(decode_state(body), signals[at:])[1] == told(state, signals[at:])[1]


def old(kept: RuleState, buckets: windows.Buckets) -> list[object]:
    """The same with schema 2."""
    return [kept.version, kept.evaluated_ms, kept.life, buckets, kept.late, kept.fired, kept.seen_ms, kept.memory, kept.basis]


def told(state: KeyState, signals: list[Signal]) -> tuple[KeyState, list[AlertEvent]]:
    """The events when the watermark goes with the signals, and on for ten minutes."""
    events = list[AlertEvent]()
    for item in signals:
        decision = decide(rules(), state, item, item.event_time_ms)
        state, events = decision.state, [*events, *decision.events]
    return state, [*events, *decide(rules(), state, None, 800_000).events]
