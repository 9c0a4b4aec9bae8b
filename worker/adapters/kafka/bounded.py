"""Calls that must come back: librdkafka's transaction calls can ignore their timeout for ever.

Seen here with librdkafka 2.16.0: after its broker was killed and restarted, `send_offsets_to_transaction` never returned
(confluentinc/librdkafka issues 5456 and 5511). A thread that waits in it can be neither interrupted nor joined, only left.
"""

import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future

from confluent_kafka import KafkaException

from worker.errors import FatalError, TidingsError

_RAISED = (TidingsError, KafkaException, RuntimeError, TypeError, ValueError)
"""What our code and librdkafka's binding raise; it is handed to the caller, and the thread goes on."""


class BoundedCaller:
    """Makes calls on one thread of its own, in order, and gives up on the thread when a call takes longer than `limit_s`.

    The thread is a daemon, so that a call that never returns does not keep the process alive.
    """

    def __init__(self, name: str, limit_s: float) -> None:
        self._limit_s = limit_s
        self._calls: queue.SimpleQueue[tuple[Callable[[], None], Future[None]] | None] = queue.SimpleQueue()
        self._given_up = False
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def call(self, function: Callable[[], None]) -> None:
        """Call `function` and wait for it; what it raises is raised here.

        Raises:
            FatalError: it did not return in time, or an earlier call did not, or ended the thread.
        """
        if self._given_up:
            raise FatalError("an earlier call to Kafka has never returned, or failed as nobody foresaw")
        done: Future[None] = Future()
        self._calls.put((function, done))
        try:
            done.result(self._limit_s)
        except TimeoutError as error:
            self._given_up = True
            raise FatalError(f"a Kafka transaction has not come back within {self._limit_s:.0f} s; start anew") from error

    def close(self) -> None:
        """Let the thread end."""
        self._calls.put(None)

    def _serve(self) -> None:
        while (entry := self._calls.get()) is not None:
            function, done = entry
            try:
                done.set_result(function())
            except _RAISED as error:
                done.set_exception(error)
            finally:
                if not done.done():  # what nobody foresaw ends this thread, and must not keep its caller waiting
                    self._given_up = True
                    done.set_exception(sys.exception())
