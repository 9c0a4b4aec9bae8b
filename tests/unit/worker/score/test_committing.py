from collections.abc import Callable, Mapping, Sequence
from threading import Event, Thread
from typing import Literal

import pytest

from tests.unit.worker.builders import body
from tests.unit.worker.score.role_builders import (
    GROUP,
    PREDICTIONS,
    Script,
    Worker,
    committed,
    fault_free,
    filled,
    only,
    started,
    together,
    view,
)
from worker.errors import AbortedError, FatalError
from worker.messages import OutRecord, TopicPartition
from worker.score.committing import Commits, Runner, at_once, beside
from worker.score.intake import InHand
from worker.testing.broker import InMemoryBroker, InMemorySink
from worker.testing.model import FakeModel


def test_what_comes_next_is_read_and_inferred_while_a_transaction_is_on_its_way() -> None:
    """The model is asked on; but nothing more is produced before the first transaction is settled."""
    broker = only(*(body(f"text {number}") for number in range(40)))
    sink = Script(broker)
    worker = Worker(broker, sink=sink, commit_messages=4, max_poll_records=4)
    worker.commits.held = True
    worker.role.start()
    worker.step(6)
    assert worker.role.counts.messages > 8
    assert worker.role.counts.predictions > 8
    assert (sink.attempts, broker.records(PREDICTIONS)) == (0, [])
    worker.commits.finish()
    assert 0 < len(broker.records(PREDICTIONS)) <= 8
    worker.work_off(broker)
    assert len(broker.records(PREDICTIONS)) == 40


def test_what_is_being_committed_is_still_in_hand() -> None:
    """It takes memory: with it the bound is never passed, and a worker with an open transaction is not idle."""
    broker = filled()
    worker = Worker(broker, max_pending=6, commit_messages=2)
    worker.commits.held = True
    worker.role.start()
    for _ in range(30):
        worker.step()
        assert worker.role.in_hand <= 6
    assert not worker.role.idle
    assert worker.role.counts.messages == 6
    worker.work_off(broker)
    assert view(broker) == view(fault_free())


@pytest.mark.parametrize("how", ["abort", "fatal"])
def test_what_was_done_behind_a_failed_transaction_is_not_committed(how: Literal["abort", "fatal"]) -> None:
    """Whether it is read again or the process ends: no offset passes what was rolled back, on the way out neither."""
    broker = only(*(body(f"text {number}", id=f"id-{number}") for number in range(20)))
    worker = Worker(broker, sink=Script(broker, {0: how}), commit_messages=4, max_poll_records=4)
    worker.commits.held = True
    worker.role.start()
    worker.step(4)
    worker.commits.finish()
    if how == "fatal":
        with pytest.raises(FatalError, match="fenced"):
            worker.step()
    else:
        worker.step()
    worker.source.close()
    assert committed(broker) == {}
    (second,) = started(broker, FakeModel())
    second.work_off(broker)
    assert view(broker) == view(fault_free([("news", body(f"text {n}", id=f"id-{n}"), 0) for n in range(20)]))


@pytest.mark.parametrize("lost", [False, True])
def test_partitions_do_not_go_before_their_transaction_is_settled(lost: bool) -> None:
    """What was on its way when they were taken is there, or fenced, before the next owner begins."""
    broker = filled()
    first, second = started(broker, FakeModel(), FakeModel())
    first.commits.held = True
    first.step(4)
    assert not first.role.idle
    broker.rebalance(GROUP, lost=lost)
    first.step()
    together(broker, first, second)
    assert view(broker) == view(fault_free())


class Gate(InMemorySink):
    """Commits when it is opened, and tells when it was asked to."""

    def __init__(self, broker: InMemoryBroker) -> None:
        super().__init__(broker)
        self.asked, self.open = Event(), Event()

    def commit(self, records: Sequence[OutRecord], offsets: Mapping[TopicPartition, int], group: object) -> None:
        """See `ports.Sink`."""
        self.asked.set()
        assert self.open.wait(30)
        super().commit(records, offsets, group)


def test_a_worker_drains_what_a_thread_is_committing() -> None:
    """On a thread of its own, as in production: the loop goes round meanwhile, and leaves when all in hand is committed."""
    broker = filled()
    gate, told = Gate(broker), Event()
    worker = Worker(broker, sink=gate, commit_messages=4, max_poll_records=4)
    worker.role._commits._run = beside

    def leave() -> None:
        assert gate.asked.wait(30)
        told.set()
        gate.open.set()

    other = Thread(target=leave)
    other.start()
    worker.role.run(told)
    other.join()
    assert worker.role.idle
    assert sum(committed(broker).values()) == worker.role.counts.messages > 0
    worker.source.close()
    (second,) = started(broker, FakeModel())
    second.work_off(broker)
    assert view(broker) == view(fault_free())


def failing(error: Exception) -> Callable[[], None]:
    """A commit that fails."""

    def commit() -> None:
        raise error

    return commit


@pytest.mark.parametrize("run", [at_once, beside])
def test_how_a_transaction_ended_is_told_once(run: Runner) -> None:
    """An abort is raised and counted, and is over then; the seconds are those of the commits; the loop is woken each time."""
    woken: list[int] = []
    moments = iter(range(100))
    commits = Commits(run, lambda: next(moments), lambda: woken.append(1))
    commits.begin(failing(AbortedError("rolled back")), InHand(3, 30))
    assert commits.is_open
    assert commits.leaving == InHand(3, 30)
    with pytest.raises(RuntimeError, match="is open"):
        commits.begin(failing(AbortedError("another")), InHand(1, 1))
    with pytest.raises(AbortedError, match="rolled back"):
        commits.settle(wait=True)
    assert (commits.is_open, commits.leaving, commits.aborted) == (False, InHand(0, 0), 1)
    commits.settle(wait=True)
    commits.begin(lambda: None, InHand(1, 1))
    commits.settle(wait=True)
    assert (commits.seconds, commits.aborted) == (2, 1)
    assert len(woken) == 2


def test_aborts_time_after_time_are_fatal() -> None:
    """Eight in a row; one that goes well in between begins the count anew."""
    commits = Commits(at_once, lambda: 0.0, lambda: None)
    for number in range(7 + 8):
        commits.begin(failing(AbortedError("rolled back")), InHand(1, 1))
        with pytest.raises(FatalError if number == 14 else AbortedError, match="rolled back"):
            commits.settle(wait=True)
        if number == 6:
            commits.begin(lambda: None, InHand(1, 1))
            commits.settle(wait=True)
