"""Python's search for garbage, within a running worker and outside."""

import gc

import pytest

from worker.ops.garbage import collecting_seldom


def test_the_search_is_seldom_within_and_as_before_afterwards() -> None:
    """Also where what runs within fails."""
    before = gc.get_threshold()

    def fail() -> None:
        with collecting_seldom():
            within.append(gc.get_threshold())
            raise LookupError

    within = list[tuple[int, int, int]]()
    with pytest.raises(LookupError):
        fail()
    assert gc.get_threshold() == before
    assert within[0][0] >= 10 * before[0]
    assert within[0][1:] == before[1:]


def test_garbage_is_found_all_the_same() -> None:
    """What refers to itself is gone after some ten thousand objects, not kept for ever."""
    gone = list[int]()

    class Knot:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            gone.append(1)

    with collecting_seldom():
        for _ in range(50_000):
            Knot()
    assert len(gone) >= 20_000
