import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.worker.builders import body
from tests.unit.worker.score.role_builders import PREDICTIONS, Worker, filled, only, predictions, view
from worker.errors import ContractError, ModelError
from worker.messages import ModelRef, OutRecord
from worker.ops.shadowed import ShadowWatch
from worker.ops.watch import ModelWatch
from worker.score.calibration import Calibration
from worker.score.release import Release
from worker.score.role import ScoreRole
from worker.score.shadow import Shadow, ShadowLimits
from worker.testing.broker import InMemoryBroker
from worker.testing.model import FakeModel, hashed_logits

NEGATIVE = [4.0, 0.0, 0.0]
SECOND = ModelRef("sentiment", "2")


class Shadowed:
    """A worker with a second model."""

    def __init__(self, broker: InMemoryBroker, second: FakeModel | None, share: float = 1.0, ref: ModelRef = SECOND) -> None:
        self.worker, self.published = Worker(broker), list[OutRecord]()
        self.opened, self.room = 0, 10_000
        self._second, self._ref = second, ref
        limits = ShadowLimits("sentiment.shadow", share, 0)
        self.shadow = Shadow(self._open, self._publish, limits, lambda: self.worker.now_s)
        role: ScoreRole = self.worker.role
        role._shadow = self.shadow
        role.start()

    def _open(self) -> Release:
        self.opened += 1
        if self._second is None:
            raise ContractError("contract.json cannot be read")
        return Release(self._second, self._ref, Calibration(1.0))

    def _publish(self, record: OutRecord) -> bool:
        if len(self.published) >= self.room:
            return False
        self.published.append(record)
        return True

    @property
    def told(self) -> dict[str, Any]:
        """What was published, by message."""
        bodies = [json.loads(record.value or b"") for record in self.published]
        return {one["id"]: one for one in bodies}


def unshadowed() -> InMemoryBroker:
    """What a worker without a second model makes of the stream."""
    broker = filled()
    worker = Worker(broker)
    worker.role.start()
    worker.work_off(broker)
    return broker


def test_each_answer_is_put_beside_the_prediction() -> None:
    """Labels, probabilities, alert keys; the counts add up; the predictions are those of a worker without a second model."""
    broker = filled()
    bench = Shadowed(broker, FakeModel(lambda _ids: NEGATIVE))
    bench.worker.work_off(broker)
    bench.worker.step(2)
    assert view(broker) == view(unshadowed())
    said = {prediction.id: prediction for prediction in predictions(broker)}
    assert bench.told.keys() == said.keys()
    for name, told in bench.told.items():
        assert told["serving"]["label"] == said[name].label
        assert told["serving"]["model"] == {"name": "sentiment", "version": "1"}
        assert (told["shadow"]["label"], told["shadow"]["model"]["version"]) == ("negative", "2")
    counts, differing = bench.shadow.counts, [one for one in said.values() if one.label != "negative"]
    assert (counts.compared, counts.disagreed, counts.skipped, counts.failed) == (len(said), len(differing), 0, 0)
    assert counts.shadow_negative == sum(len(one.entities) for one in said.values()) > counts.serving_negative
    assert counts.gap == pytest.approx(sum(told["gap"] for told in bench.told.values()))


def test_a_share_is_asked_and_the_same_one_each_time() -> None:
    """By the ids."""
    values = [body(f"words {number}", id=f"m{number}") for number in range(400)]
    asked = []
    for _ in range(2):
        broker = only(*values)
        bench = Shadowed(broker, FakeModel(), share=0.25)
        bench.worker.work_off(broker)
        bench.worker.step(2)
        asked.append(set(bench.told))
    assert asked[0] == asked[1]
    assert 70 < len(asked[0]) + bench.shadow.counts.skipped < 130


def test_one_that_never_answers_holds_up_nothing() -> None:
    """Two batches wait for it, all others are passed over and counted; every message is finished."""
    broker, second = filled(), FakeModel(manual=True)
    bench = Shadowed(broker, second)
    bench.worker.work_off(broker)
    assert view(broker) == view(unshadowed())
    waiting = sum(texts for texts, _ in second.shapes)
    assert second.waiting == len(second.shapes) == 2
    assert bench.shadow.counts.skipped == len(broker.records(PREDICTIONS)) - waiting
    second.release()
    second.release()
    bench.worker.step()
    assert len(bench.published) == waiting


def test_one_that_fails_is_counted_told_once_and_left_alone() -> None:
    """And asked again after the pause; the model's breaker knows nothing of it."""
    broker = filled()
    second = FakeModel(failure=lambda _call, _batch: ModelError("unavailable", "the second model is away"))
    bench = Shadowed(broker, second)
    with capture_logs() as lines:
        bench.worker.work_off(broker)
    assert view(broker) == view(unshadowed())
    assert (len(bench.published), bench.worker.role.breaker.phase) == (0, "closed")
    assert bench.shadow.counts.failed > 0
    assert [line["why"] for line in lines if "second model" in line["event"]] == ["the second model is away"]
    asked = len(second.shapes)
    bench.worker.now_s += 11
    broker.produce(OutRecord("news", None, body("one more", id="more")), 0)
    bench.worker.work_off(broker)
    assert len(second.shapes) == asked + 1


@pytest.mark.parametrize("logits", [[float("nan")] * 3, [1.0, 2.0]])
def test_answers_that_are_none_are_failures(logits: list[float]) -> None:
    """Of another shape, or no numbers."""
    broker = filled()
    bench = Shadowed(broker, FakeModel(lambda _ids: logits))
    bench.worker.work_off(broker)
    bench.worker.step(2)
    assert (bench.shadow.counts.compared, bench.published) == (0, [])
    assert bench.shadow.counts.failed > 0


def test_one_that_is_not_there_is_looked_for_now_and_then() -> None:
    """Its contract is missing, say: messages go on."""
    broker = filled()
    bench = Shadowed(broker, None)
    bench.worker.work_off(broker)
    assert view(broker) == view(unshadowed())
    assert bench.opened == 1


def test_nothing_is_compared_with_itself() -> None:
    """After its promotion the second model is the first."""
    broker, second = filled(), FakeModel()
    bench = Shadowed(broker, second, ref=ModelRef("sentiment", "1"))
    bench.worker.work_off(broker)
    assert (second.shapes, bench.published) == ([], [])


def test_what_the_producer_has_no_room_for_is_counted() -> None:
    """And waits for nobody."""
    broker = filled()
    bench = Shadowed(broker, FakeModel(hashed_logits))
    bench.room = 3
    bench.worker.work_off(broker)
    bench.worker.step(2)
    counts = bench.shadow.counts
    assert (len(bench.published), counts.unpublished, counts.disagreed) == (3, counts.compared - 3, 0)


def test_metrics_show_every_count() -> None:
    """By name, and by model where there are two."""
    broker = filled()
    bench = Shadowed(broker, FakeModel(lambda _ids: NEGATIVE))
    bench.worker.work_off(broker)
    bench.worker.step(2)
    model = ModelWatch()
    model.seconds.observe(0.1)
    families = ShadowWatch(bench.shadow.counts, model).families()
    samples = {(s.name, s.labels.get("model")): s.value for family in families for s in family.samples if "le" not in s.labels}
    assert samples["tidings_shadow_compared_total", None] == len(bench.published)
    assert samples["tidings_shadow_negative_signals_total", "shadow"] == bench.shadow.counts.shadow_negative
    assert samples["tidings_shadow_confidence_total", "serving"] == bench.shadow.counts.serving_confidence
    assert samples["tidings_shadow_request_seconds_count", None] == 1
