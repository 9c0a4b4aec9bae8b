"""A running role goes over to another version of its model between two batches."""

import msgspec
import numpy as np

from tests.unit.worker.builders import body
from tests.unit.worker.score.role_builders import LIMITS, Worker, filled, only, predictions, stream
from worker.messages import ModelRef, OutRecord, Sentiment
from worker.score.calibration import Calibration
from worker.score.release import Release
from worker.testing.broker import InMemoryBroker
from worker.testing.model import FakeModel

UP, DOWN = [0.0, 0.0, 3.0], [3.0, 0.0, 0.0]


def version(number: str, model: FakeModel, temperature: float = 1.0) -> Release:
    """A version of the model."""
    return Release(model, ModelRef("sentiment", number), Calibration(temperature))


def said(broker: InMemoryBroker) -> dict[str, set[tuple[str, str]]]:
    """Version and label of each prediction, by message."""
    told: dict[str, set[tuple[str, str]]] = {}
    for prediction in predictions(broker):
        told.setdefault(prediction.id, set()).add((prediction.model.version, prediction.label))
    return told


def test_each_prediction_names_the_version_that_answered() -> None:
    """What was at the old model when the new one came is awaited and carries the old number; nothing is lost or doubled."""
    broker = filled()
    worker = Worker(broker, FakeModel(lambda _ids: DOWN, manual=True))
    worker.role.start()
    worker.step(2)
    assert worker.model.waiting == 2
    sent, new = len(worker.model.shapes), FakeModel(lambda _ids: UP)
    worker.releases = [version("2", new)]
    worker.step(3)
    assert (new.shapes, len(worker.model.shapes)) == ([], sent)
    worker.work_off(broker)
    assert set().union(*said(broker).values()) == {("1", "negative"), ("2", "positive")}
    good = sum(1 for _, value, _ in stream() if value and b'"id"' in value)
    assert len(predictions(broker)) == len(said(broker)) == good
    assert (len(worker.model.shapes), worker.role.counts.releases) == (sent, 1)


def test_a_version_that_minds_its_padding_is_given_every_text_in_its_own_bucket() -> None:
    """The one before did not mind: a text of 5 tokens went in one batch with one of 6. Of the new one it is asked alone."""
    limits = msgspec.structs.replace(LIMITS, buckets=(5, 6, 64), fills_up=True)
    old, new = FakeModel(), FakeModel()
    broker = only(body("u v w x y z", id="six"), body("a b c d e", id="five"))
    worker = Worker(broker, old, limits=limits)
    worker.role.start()
    worker.work_off(broker)
    worker.releases = [version("2", new)]
    worker.step()
    for text in ("aa bb cc dd ee ff", "one two three four five"):
        broker.produce(OutRecord("news", None, body(text, id=text)), 0)
    worker.work_off(broker)
    assert max(texts for texts, _ in new.shapes) == 1
    assert [texts for texts, _ in old.shapes] == [2]


def test_a_repeat_is_asked_of_the_new_version_and_stays_a_repeat() -> None:
    """What the old version said of a text is not passed off as the new one's."""
    broker = only(body("the very same words", id="first"))
    worker = Worker(broker, FakeModel(lambda _ids: DOWN))
    worker.role.start()
    worker.work_off(broker)
    worker.releases = [version("2", FakeModel(lambda _ids: UP), temperature=3.0)]
    worker.step()
    broker.produce(OutRecord("news", None, body("the very same words", id="second")), 0)
    worker.work_off(broker)
    first, second = predictions(broker)
    assert (first.model.version, second.model.version) == ("1", "2")
    assert (second.label, second.duplicate_of) == ("positive", "first")
    assert second.probabilities == sentiment(UP, 3.0).probabilities


def test_a_worker_that_is_told_to_leave_meanwhile_finishes() -> None:
    """Waiting for the old version's answers does not hold up the draining."""
    broker = filled()
    worker = Worker(broker, FakeModel(lambda _ids: DOWN, manual=True))
    worker.role.start()
    worker.step(2)
    worker.releases = [version("2", FakeModel(lambda _ids: UP))]
    worker.step()
    worker.drain()
    assert worker.role.in_hand == 0
    assert len(predictions(broker)) == len(said(broker)) > 0


def test_two_versions_one_after_the_other() -> None:
    """There and back, as a rollback does; each closes the one before."""
    broker = only(*(body(f"words {number}", id=f"m{number}") for number in range(3)))
    first, second = FakeModel(lambda _ids: UP), FakeModel(lambda _ids: DOWN)
    worker = Worker(broker)
    worker.releases = [version("2", second), version("1", first)]
    worker.role.start()
    worker.work_off(broker)
    worker.step(3)
    assert second._closed
    assert {version for (version, _) in set().union(*said(broker).values())} <= {"1", "2"}
    broker.produce(OutRecord("news", None, body("more words", id="last")), 0)
    worker.work_off(broker)
    assert said(broker)["last"] == {("1", "positive")}


def sentiment(logits: list[float], temperature: float) -> Sentiment:
    """What these logits mean."""
    return Calibration(temperature).sentiments(np.array([logits], dtype=np.float32))[0]
