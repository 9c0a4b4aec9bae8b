"""The life of a worker process: its roles, a thread each, and how they leave.

```
            first signal, or a role ends      second signal, or 4/5 of the time     the time is over
   working ─────────────────────────────▶ leaving ──────────────────────▶ hastened ────────────────▶ exit at once
```

Leaving: nothing new is read, what is in hand is finished and committed, the group is left. Hastened: what is done is committed,
the rest is dropped; its offsets were never committed, so that another worker reads it again. The main thread does nothing but
wait for signals and for roles that end, so that a neighbour that hangs can hold up a role's thread and never the exit.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from queue import Empty, SimpleQueue
from typing import NamedTuple, NoReturn, Protocol

import structlog

from worker.errors import FatalError, StoppedError, UnfinishedError
from worker.ops.garbage import collecting_seldom
from worker.ops.health import Health

log = structlog.get_logger(__name__)
_DRAINING_SHARE = 0.8
"""The part of the time that roles have to finish what is in hand; the rest is for the last commit and for leaving the group."""
_HASTE_S = 5.0
_WAIT_S = 0.25
_STARTING_S = 1.0
"""What a role gets to leave that is not built yet: it has nothing in hand, and may be in the middle of a long call."""


class Role(Protocol):
    """A loop that works until it is told to stop, and then finishes what it has in hand."""

    @property
    def in_hand(self) -> int:
        """How many records it has taken and not finished."""
        ...

    def run(self, stop: threading.Event) -> None:
        """Work; raises StoppedError if it was hastened in the middle of something."""
        ...

    def hasten(self) -> None:
        """Have it drop what is in hand, from another thread."""
        ...


Build = Callable[[ExitStack, threading.Event], Role]
"""Builds a role on its own thread; what it puts on the stack is closed there when the role has ended."""


class _Ended(NamedTuple):
    name: str
    error: Exception | None


class Lifetime:
    """Runs roles until the end; used once, from the main thread, which alone hears signals.

    Args:
        health: is told of the roles' threads.
        timeout_s: how long leaving may take.
        exit_process: ends the process without waiting for any thread.
        on_hangup: is called, on the main thread, for each SIGHUP, which ends nothing.
    """

    def __init__(
        self,
        health: Health,
        timeout_s: float,
        exit_process: Callable[[int], NoReturn] | None = None,
        on_hangup: Callable[[], None] = lambda: None,
    ) -> None:
        self._health = health
        self._timeout_s = timeout_s
        self._exit_process = exit_process or _exit_process
        self._on_hangup = on_hangup
        # Its put() may interrupt its own get(), which a signal handler must be able to do; an Event's set() may deadlock there.
        self._events: SimpleQueue[_Ended | signal.Signals] = SimpleQueue()
        self._stop = threading.Event()
        self._alive: set[str] = set()
        self._running: dict[str, Role] = {}
        self._hastened = False
        self._began_s = 0.0
        self._deadline_s = float("inf")
        self._failures: list[Exception] = []
        self._unfinished: list[str] = []

    def run(self, builds: Mapping[str, Build]) -> None:
        """Build the roles, run them, take them down.

        Raises:
            UnfinishedError: work was left in hand; nothing is lost.
            Exception: what stopped a role; the other roles have finished what they had in hand.
        """
        with collecting_seldom(), self._hearing_signals():
            for name, build in builds.items():
                self._begin(name, build)
            while self._alive:
                self._handle(self._next_event())
        if self._failures:
            raise self._failures[0]
        if self._unfinished:
            raise UnfinishedError(_left(self._unfinished))
        log.info("stopped")

    def _begin(self, name: str, build: Build) -> None:
        self._alive.add(name)
        self._health.report(name, name, False, "starting")  # before another role can say that all is well with it
        thread = threading.Thread(target=self._live, args=(name, build), name=name, daemon=True)
        thread.start()
        self._health.follow(name, thread)

    def _live(self, name: str, build: Build) -> None:
        error: Exception | None = FatalError(f"the role {name} ended without a word")
        try:
            with ExitStack() as stack:
                self._work(name, build(stack, self._stop))
            error = None
        except StoppedError as stopped:
            error = None
            if name in self._running:
                self._unfinished.append(f"{name}: {stopped}")
        except Exception as other:  # noqa: BLE001 - the top of the loop: one role's end must end the process, whatever it was
            error = other
        finally:  # a panic in a Rust extension is no Exception
            self._events.put(_Ended(name, error))

    def _work(self, name: str, role: Role) -> None:
        self._running[name] = role
        log.info("working", role=name)
        if self._hastened:
            role.hasten()
        role.run(self._stop)
        if left := role.in_hand:
            self._unfinished.append(f"{name}: {left} records in hand")

    def _next_event(self) -> "_Ended | signal.Signals | None":
        """Wait for what happens next; None when it is time to hurry.

        In short waits: a signal that comes just before a wait does not interrupt it, and Python's handler runs only after it.
        """
        until_s = self._until_s()
        while True:
            left_s = until_s - time.monotonic()
            try:
                return self._events.get(timeout=min(_WAIT_S, max(0.0, left_s)))
            except Empty:
                if left_s <= 0:
                    return None

    def _until_s(self) -> float:
        if not self._stop.is_set():
            return float("inf")
        if not self._alive & self._running.keys():
            return min(self._deadline_s, self._began_s + _STARTING_S)
        return self._deadline_s if self._hastened else self._began_s + _DRAINING_SHARE * self._timeout_s

    def _handle(self, event: "_Ended | signal.Signals | None") -> None:
        if isinstance(event, _Ended):
            self._ended(event)
        elif event is signal.SIGHUP:
            self._on_hangup()
        elif event is not None and self._stop.is_set():
            self._deadline_s = min(self._deadline_s, time.monotonic() + _HASTE_S)
            self._hasten(f"a second signal, {event.name}")
        elif event is not None:
            self._leave(event.name)
        elif self._hastened or not self._alive & self._running.keys():
            self._give_up()
        else:
            self._hasten("it takes long")

    def _ended(self, event: _Ended) -> None:
        self._alive.discard(event.name)
        self._health.release(event.name)
        if event.error is not None:
            self._failures.append(event.error)
        if not self._stop.is_set():
            self._leave(f"the {event.name} role ended")

    def _leave(self, why: str) -> None:
        """Ask every role to finish. It is no longer held to its rounds: the deadline is what counts from here."""
        log.info("leaving", why=why, limit_s=self._timeout_s)
        self._began_s = time.monotonic()
        self._deadline_s = self._began_s + self._timeout_s
        for name in self._alive:
            self._health.release(name)
            self._health.report(name, name, False, f"leaving: {why}")
        self._stop.set()

    def _hasten(self, why: str) -> None:
        if self._hastened:
            return
        self._hastened = True
        log.warning("hastening: what is not done is dropped, and will be read again", why=why, **self._in_hand())
        for role in list(self._running.values()):
            role.hasten()

    def _give_up(self) -> None:
        """Leave with threads that do not come back: the process ends here."""
        running = [
            f"{name}: {self._running[name].in_hand} records in hand" for name in sorted(self._alive & self._running.keys())
        ]
        left = [*self._unfinished, *running]
        if self._failures:
            log.error("a role failed, and the others did not end in time", error=str(self._failures[0]), left=left)
        elif left:
            log.error(_left(left), after_s=round(time.monotonic() - self._began_s, 1))
        else:
            log.info("stopped", while_starting=sorted(self._alive))
        self._exit_process(1 if self._failures else UnfinishedError.exit_code if left else 0)

    def _in_hand(self) -> dict[str, int]:
        return {f"{name}_in_hand": self._running[name].in_hand for name in sorted(self._alive & self._running.keys())}

    @contextmanager
    def _hearing_signals(self) -> Iterator[None]:
        """Let SIGTERM, SIGINT and SIGHUP come in as events, and do nothing else."""
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        previous = {
            number: signal.signal(number, lambda number, _: self._events.put(signal.Signals(number))) for number in numbers
        }
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _left(unfinished: list[str]) -> str:
    return f"left before the work in hand was finished; it is not lost, another worker will do it ({'; '.join(unfinished)})"


def _exit_process(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
