import pytest

from tests.unit.worker.score.role_builders import REVIEW, Script, Worker, filled, predictions
from worker.codec import decode_review
from worker.messages import Review
from worker.score.outputs import ReviewPolicy
from worker.testing.broker import InMemoryBroker
from worker.testing.model import FakeModel

BELOW = 0.6


def reviews(broker: InMemoryBroker) -> list[Review]:
    """What a person is asked."""
    return [decode_review(record.value) for record in broker.records(REVIEW)]


def worked_off(aborts: set[int], share: float = 1) -> tuple[InMemoryBroker, Worker]:
    """A broker whose input was scored, with so many transactions rolled back on the way."""
    broker = filled()
    sink = Script(broker, dict.fromkeys(aborts, "abort"))
    worker = Worker(broker, FakeModel(), sink, commit_messages=4, review=ReviewPolicy(REVIEW, share, BELOW))
    worker.role.start()
    worker.work_off(broker)
    return broker, worker


@pytest.mark.parametrize("aborts", [set(), {0}, {1, 2}, {0, 3, 4, 5}], ids=str)
def test_each_unsure_message_is_asked_about_once_whatever_is_rolled_back(aborts: set[int]) -> None:
    """Questions are part of the transaction that has the prediction and the offset."""
    broker, worker = worked_off(aborts)
    scored = predictions(broker)
    unsure = {one.id for one in scored if getattr(one.probabilities, one.label) < BELOW and one.duplicate_of is None}
    asked = [one.id for one in reviews(broker)]
    assert 0 < len(unsure) < len(scored)
    assert sorted(asked) == sorted(unsure)
    assert worker.role.counts.aborted == len(aborts)


def test_nobody_is_asked_unless_told() -> None:
    """By default there is no topic of reviews to write to."""
    broker = filled()
    worker = Worker(broker)
    worker.role.start()
    worker.work_off(broker)
    assert (reviews(broker), worker.role.counts.reviews) == ([], 0)
    assert predictions(broker)
