"""How often Python looks for garbage that only a search finds, which is objects that refer to each other."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_ALLOCATIONS = 20_000
"""Objects that have come and not gone, by which it looks among them. By default 700, which is every thirty messages."""


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Let Python look thirty times as seldom within; it is as before afterwards.

    A worker makes nearly no garbage of that kind, and what it remembers, such as stories and alert states, is what a search
    goes through in vain: a twelfth of the time that reading a message takes (ARCHITECTURE.md).
    """
    before = gc.get_threshold()
    gc.set_threshold(_ALLOCATIONS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
