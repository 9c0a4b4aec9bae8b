"""One key from the terminal, with a chance to do something else while nobody presses any."""

import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOOK_S = 0.5


@contextmanager
def raw_keys() -> Iterator[Callable[[Callable[[], bool]], str]]:
    """Yield a function that waits for a key; keys come without Enter and are not echoed. The terminal is put right after.

    What the function is given is called about twice a second while it waits; where that says False, "" is returned at once,
    as it is at the end of the input.
    """
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield lambda meanwhile: _key(descriptor, meanwhile)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _key(descriptor: int, meanwhile: Callable[[], bool]) -> str:
    while not select.select([descriptor], [], [], _LOOK_S)[0]:
        if not meanwhile():
            return ""
    return os.read(descriptor, 1).decode("ascii", "replace")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until what is within is done: a transaction is not left open halfway."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt
