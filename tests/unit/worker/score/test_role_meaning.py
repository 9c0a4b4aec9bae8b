from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pytest

from tests.unit.worker.builders import body
from tests.unit.worker.score.role_builders import (
    DEAD,
    SIGNALS,
    Script,
    Words,
    Worker,
    committed,
    ends,
    filled,
    only,
    predictions,
    stream,
    together,
    view,
)
from worker.adapters.paired import PairedModel
from worker.codec import decode_signal
from worker.errors import ModelError
from worker.messages import OutRecord
from worker.ports import TokenBatch
from worker.score.matching import WatchedTopic
from worker.score.meaning import calibrated
from worker.testing.broker import InMemoryBroker
from worker.testing.model import FakeModel, hashed_logits

((WET,), (POISON,)) = Words().encode(["wet", "poison"])
FLOODS = WatchedTopic(name="floods", description="wet", threshold=0.5)
AXES = np.eye(3, dtype=np.float32)
MEANING = calibrated((FLOODS,), [AXES[:1]], np.concatenate([AXES[1:], -AXES[1:]]), 0.02)


def vector(ids: Sequence[int]) -> list[float]:
    """Water, if a text has the word for it; else something that has nothing to do with that."""
    return [1.0, 0.0, 0.0] if WET in ids else [0.0, 1.0, 0.0]


def both(ids: Sequence[int]) -> list[float]:
    """What a model says that gives sentiment and meaning in one pass."""
    return [*hashed_logits(ids), *vector(ids)]


def wet_stream() -> list[tuple[str, bytes | None, int]]:
    """The stream, every other text of it about water."""
    entries = stream()
    return [
        (topic, value.replace(b'"text ', b'"wet text ') if value and number % 2 else value, partition)
        for number, (topic, value, partition) in enumerate(entries)
    ]


def worked_off(broker: InMemoryBroker, model: FakeModel, **more: Any) -> InMemoryBroker:
    """Let one worker do all of it."""
    worker = Worker(broker, model, meaning=MEANING, **more)
    worker.role.start()
    worker.work_off(broker)
    return broker


def paired(failure: Any = lambda *_: None) -> Any:
    """Two models that are asked the same, the second of which may fail."""
    model = PairedModel(FakeModel(), FakeModel(vector, failure=failure))
    model.waiting, model.expire = 0, lambda: None  # type: ignore[attr-defined]
    return model


def test_topics_are_found_by_meaning_beside_names() -> None:
    """In the prediction with the similarity, and as signals of their own beside those of the names."""
    broker = worked_off(only(body("it is wet at Acme", id="a"), body("all dry at Acme", id="b")), FakeModel(both))
    found = {p.id: (p.entities, p.topics, p.similarities) for p in predictions(broker)}
    assert found == {"a": (("Acme",), ("floods",), {"floods": 1.0}), "b": (("Acme",), (), {})}
    signals = [decode_signal(record.value) for record in broker.records(SIGNALS)]
    assert sorted((s.message_id, s.alert_key, s.similarity) for s in signals) == [
        ("a", "entity:Acme", None),
        ("a", "topic:floods", 1.0),
        ("b", "entity:Acme", None),
    ]


def test_a_repeat_takes_its_topics_from_memory() -> None:
    """The model is not asked again, and the repeat is about the same."""
    broker, model = only(body("all is wet", id="a")), FakeModel(both)
    worker = Worker(broker, model, meaning=MEANING)
    worker.role.start()
    worker.work_off(broker)
    asked = len(model.shapes)
    broker.produce(OutRecord("news", None, body("all  is wet", id="b")), 0)
    worker.work_off(broker)
    assert len(model.shapes) == asked
    assert [(p.id, p.topics, p.similarities, p.duplicate_of) for p in predictions(broker)] == [
        ("a", ("floods",), {"floods": 1.0}, None),
        ("b", ("floods",), {"floods": 1.0}, "a"),
    ]


def test_one_model_or_two_come_to_the_same() -> None:
    """Whether both answers come in one pass or from two models."""
    one = worked_off(filled(wet_stream()), FakeModel(both))
    assert view(worked_off(filled(wet_stream()), paired())) == view(one)
    assert any(p.topics for p in predictions(one))


@pytest.mark.parametrize("faults", [{0: "abort"}, {1: "abort", 3: "abort"}])
def test_an_abort_changes_nothing(faults: dict[int, Literal["abort", "fatal"]]) -> None:
    """What was rolled back is read again and comes to the same topics."""
    broker = filled(wet_stream())
    worked_off(broker, FakeModel(both), sink=Script(broker, faults), commit_messages=5)
    assert view(broker) == view(worked_off(filled(wet_stream()), FakeModel(both)))


def test_partitions_that_move_take_their_messages_with_them() -> None:
    """A second worker joins in the middle; each message still ends once, in the same topics."""
    broker = filled(wet_stream())
    first, second = (Worker(broker, FakeModel(both, manual=True), meaning=MEANING) for _ in range(2))
    first.role.start()
    first.step(3)
    second.role.start()
    together(broker, first, second)
    assert view(broker) == view(worked_off(filled(wet_stream()), FakeModel(both)))
    assert committed(broker) == ends(broker)


def test_a_second_model_that_is_away_is_waited_for() -> None:
    """No message ends without its topics, and none is given up."""

    def away(call: int, _batch: TokenBatch) -> ModelError | None:
        return ModelError("unavailable", "nobody there") if call < 3 else None

    broker = worked_off(filled(wet_stream()), paired(away))
    assert view(broker) == view(worked_off(filled(wet_stream()), FakeModel(both)))


def test_what_the_second_model_cannot_take_goes_to_dead_letters() -> None:
    """That message alone, once, though the first model answered it."""

    def poisoned(_call: int, batch: TokenBatch) -> ModelError | None:
        return ModelError("refused", "no such word") if POISON in batch.input_ids else None

    values = [body(f"text {number} wet", id=f"id-{number}") for number in range(6)]
    broker = worked_off(only(*values, body("some poison here", id="bad")), paired(poisoned), max_attempts=2)
    assert sorted(p.id for p in predictions(broker)) == [f"id-{number}" for number in range(6)]
    (letter,) = broker.records(DEAD)
    assert dict(letter.headers)["tidings.reason"] == b"model_refused"


def test_embeddings_that_are_no_numbers_are_refused() -> None:
    """Like logits that are none."""
    model = FakeModel(lambda ids: [*hashed_logits(ids), *(np.full(3, np.nan) if POISON in ids else vector(ids))])
    broker = worked_off(only(body("wet", id="good"), body("poison", id="bad")), model, max_attempts=2)
    assert [p.id for p in predictions(broker)] == ["good"]
    assert dict(broker.records(DEAD)[0].headers)["tidings.reason"] == b"model_output_invalid"


def test_an_answer_without_embeddings_is_not_believed() -> None:
    """It comes from another model than was promised: nothing is predicted, nothing is given up."""
    broker = only(body("wet"))
    worker = Worker(broker, FakeModel(hashed_logits), meaning=MEANING)
    worker.role.start()
    worker.step(20)
    assert (predictions(broker), broker.records(DEAD)) == ([], [])
    assert (worker.role.breaker.phase, worker.role.breaker.reason) == ("open", "contract_broken")
