"""One transaction at a time, beside the loop: while it is on its way, the next messages are read, tokenised and inferred.

A transaction is a handful of round trips to the brokers, one after the other. A loop that waits for them does nothing for half
of its time; so it goes on, and asks when it comes round again. What comes next is produced only after the one before is
settled: a transaction still holds all that was done without a gap, and offsets are committed in their order.
"""

import sys
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Thread
from typing import Protocol

from worker.errors import AbortedError, FatalError, TidingsError
from worker.score.intake import InHand

NOTHING = InHand(0, 0)
_MAX_ABORTS = 8


class Runner(Protocol):
    """Runs a call, here or on a thread of its own."""

    def __call__(self, call: Callable[[], None]) -> "Future[None]":
        """Return what becomes of the call."""
        ...


def at_once(call: Callable[[], None]) -> "Future[None]":
    """Run a call before returning: nothing goes on beside it."""
    done: Future[None] = Future()
    try:
        call()
        done.set_result(None)
    except TidingsError as error:
        done.set_exception(error)
    return done


def beside(call: Callable[[], None]) -> "Future[None]":
    """Run a call on a thread of its own, a daemon: a call that never returns does not keep the process alive."""
    done: Future[None] = Future()
    Thread(target=_run, args=(call, done), name="commit", daemon=True).start()
    return done


def _run(call: Callable[[], None], done: "Future[None]") -> None:
    try:
        call()
        done.set_result(None)
    except TidingsError as error:
        done.set_exception(error)
    finally:
        if not done.done():  # whatever it was is raised where it is waited for, and told as this thread ends
            done.set_exception(sys.exception())


class Commits:
    """The transaction that is open, if one is, and what has left the hands of the role with it."""

    def __init__(self, run: Runner, monotonic: Callable[[], float], ended: Callable[[], None]) -> None:
        """`ended` is called from any thread when there is something to settle."""
        self._run = run
        self._monotonic = monotonic
        self._ended = ended
        self._open: Future[None] | None = None
        self._aborts_in_a_row = 0
        self.leaving = NOTHING
        """The messages whose outcome is being committed, and their size in bytes: they still take memory."""
        self.seconds = 0.0
        """How long transactions took, all added up."""
        self.aborted = 0
        """How many were rolled back."""

    @property
    def is_open(self) -> bool:
        """Whether a transaction has begun that is not settled."""
        return self._open is not None

    def begin(self, commit: Callable[[], None], leaving: InHand) -> None:
        """Begin a transaction.

        Raises:
            RuntimeError: one is open, which is a fault of the caller.
        """
        if self._open is not None:
            raise RuntimeError("a transaction is open")
        self.leaving = leaving
        self._open = self._run(partial(self._timed, commit))
        self._open.add_done_callback(lambda _: self._ended())

    def settle(self, *, wait: bool) -> None:
        """See what became of the transaction that is open, if it has ended, or wait for that. It is not open any more then.

        Whatever it raises: what was done after what it held must not be committed either.

        Raises:
            AbortedError: it was rolled back.
            FatalError: as `ports.Sink.commit`; or transactions were aborted time after time, which will not mend by itself: a
                topic that takes no record of that size, say.
        """
        if self._open is None or not (wait or self._open.done()):
            return
        ended, self._open, self.leaving = self._open, None, NOTHING
        try:
            ended.result()
        except AbortedError as error:
            self.aborted += 1
            self._aborts_in_a_row += 1
            if self._aborts_in_a_row >= _MAX_ABORTS:
                raise FatalError(f"{_MAX_ABORTS} transactions in a row were aborted; the last: {error}") from error
            raise
        self._aborts_in_a_row = 0

    def _timed(self, commit: Callable[[], None]) -> None:
        began_s = self._monotonic()
        try:
            commit()
        finally:
            self.seconds += self._monotonic() - began_s
