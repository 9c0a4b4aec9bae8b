import threading
from functools import partial

import pytest

from worker.adapters.kafka.bounded import BoundedCaller
from worker.errors import AbortedError, FatalError


def test_calls_are_made_in_order_and_their_errors_are_the_callers() -> None:
    """As if there were no other thread."""
    caller, made = BoundedCaller("test", 10), list[int]()

    def aborted() -> None:
        raise AbortedError("rolled back")

    for number in range(3):
        caller.call(partial(made.append, number))
    with pytest.raises(AbortedError, match="rolled back"):
        caller.call(aborted)
    caller.call(partial(made.append, 3))
    caller.close()
    assert made == [0, 1, 2, 3]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_that_nobody_foresaw_is_the_callers_too() -> None:
    """At once, not when the time is up; its thread is gone, so later calls fail at once as well."""
    caller = BoundedCaller("surprised", 60)

    (thread,) = (thread for thread in threading.enumerate() if thread.name == "surprised")

    def surprise() -> None:
        raise ZeroDivisionError("of all things")

    with pytest.raises(ZeroDivisionError, match="of all things"):
        caller.call(surprise)
    with pytest.raises(FatalError, match="as nobody foresaw"):
        caller.call(lambda: None)
    caller.close()
    thread.join(10)
    assert not thread.is_alive()


def test_a_call_that_never_returns_is_left() -> None:
    """The process can end: the error is fatal, later calls fail at once, and the thread holds nothing up."""
    caller, never = BoundedCaller("stuck", 0.01), threading.Event()

    def stuck_call() -> None:
        never.wait()

    with pytest.raises(FatalError, match="has not come back within"):
        caller.call(stuck_call)
    with pytest.raises(FatalError, match="never returned"):
        caller.call(lambda: None)
    (stuck,) = (thread for thread in threading.enumerate() if thread.name == "stuck")
    assert stuck.daemon
    never.set()
    caller.close()
    stuck.join(10)
    assert not stuck.is_alive()
