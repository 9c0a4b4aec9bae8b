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
    as it is at the end of the input. Ctrl-C is noted, and raised where a key is waited for, not in the middle of whatever was
    going on; the second is raised at once.
    """
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        with _noted() as is_noted:
            yield lambda meanwhile: _key(descriptor, meanwhile, is_noted)
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


def _key(descriptor: int, meanwhile: Callable[[], bool], is_noted: Callable[[], bool]) -> str:
    while not select.select([descriptor], [], [], _LOOK_S)[0]:
        if is_noted():
            raise KeyboardInterrupt
        if not meanwhile():
            return ""
    return os.read(descriptor, 1).decode("ascii", "replace")


@contextmanager
def _noted() -> Iterator[Callable[[], bool]]:
    """Note a first Ctrl-C; raise a second, for whoever does not want to wait."""
    noted: list[int] = []

    def note(number: int, _frame: object) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(noted)
    finally:
        signal.signal(signal.SIGINT, before)


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
