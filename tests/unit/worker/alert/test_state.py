import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.alert.builders import event, rules, signal
from worker.alert.decide import decide
from worker.alert.detectors import Memory, ShareMemory, ShiftMemory
from worker.alert.detectors.baseline import CountBaseline
from worker.alert.lifecycle import Life
from worker.alert.state import SCHEMA, KeyState, RuleState, decode_state, encode_state
from worker.errors import FatalError


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
        (bytes([SCHEMA + 1]) + b"\x90", "has schema 3, this version reads 2"),
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
