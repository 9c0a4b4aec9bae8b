import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.alert.timers import Timers


def drain(timers: Timers, watermark_ms: int) -> list[str]:
    """All keys that fall due, in order."""
    keys = []
    while (key := timers.pop(watermark_ms)) is not None:
        keys.append(key)
    return keys


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 100)),
    st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 100)), max_size=60),
    st.integers(0, 100),
)
def test_timers_are_a_sorted_dictionary(start: dict[str, int], sets: list[tuple[str, int | None]], watermark_ms: int) -> None:
    """However they are set, removed and set anew, those due come out once, in order of time and key."""
    timers, model = Timers(start), dict(start)
    for key, at_ms in sets:
        timers.set(key, at_ms)
        model.pop(key, None)
        if at_ms is not None:
            model[key] = at_ms
    due = [key for at_ms, key in sorted((at_ms, key) for key, at_ms in model.items()) if at_ms <= watermark_ms]
    assert sorted(timers.until(watermark_ms)) == sorted(due)
    assert drain(timers, watermark_ms) == due
    assert drain(timers, watermark_ms) == []
    assert len(drain(timers, 100)) == len(model) - len(due)


@pytest.mark.parametrize("keys", [1, 2_000])
def test_memory_is_bounded_by_the_keys(keys: int) -> None:
    """However often they are set: never more than two entries for each and a thousand, which are seldom sorted anew."""
    timers, sets, heaps, most = Timers({}), keys + 10_000, list[object](), 0
    for at_ms in range(sets):
        timers.set(f"{at_ms % keys:04}", at_ms)
        most = max(most, len(timers._heap))
        if not heaps or timers._heap is not heaps[-1]:
            heaps.append(timers._heap)
    assert most <= 2 * keys + 1_000
    assert len(heaps) - 1 <= sets // (keys + 1_000)
    assert drain(timers, sets) == [f"{at_ms % keys:04}" for at_ms in range(sets - keys, sets)]


def test_a_timer_that_is_set_as_it_was_costs_nothing() -> None:
    """As nearly every signal sets it."""
    timers = Timers({"a": 5})
    for _ in range(10):
        timers.set("a", 5)
    assert len(timers._heap) == 1
