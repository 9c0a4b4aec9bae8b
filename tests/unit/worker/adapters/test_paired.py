import numpy as np
import pytest

from tests.support.batches import batch_of, rows
from worker.adapters.paired import PairedModel
from worker.errors import ContractError, ModelError
from worker.testing.model import FakeModel, hashed_logits

WAIT_S = 20


def embedding(ids: object) -> list[float]:
    """A vector of two."""
    return [float(len(ids)), 1.0]  # type: ignore[arg-type]


def test_an_answer_has_the_columns_of_both() -> None:
    """The first model's, and behind them the second's, row by row."""
    texts = rows(5)
    answer = PairedModel(FakeModel(), FakeModel(embedding)).submit(batch_of(texts)).result(WAIT_S)
    np.testing.assert_allclose(answer, [[*hashed_logits(ids), *embedding(ids)] for ids in texts], rtol=1e-6)


@pytest.mark.parametrize("first_answers_first", [True, False])
def test_it_is_answered_when_both_have_answered(first_answers_first: bool) -> None:
    """In whatever order they come."""
    models = FakeModel(manual=True), FakeModel(embedding, manual=True)
    future = PairedModel(*models).submit(batch_of(rows(2)))
    for model in models if first_answers_first else reversed(models):
        assert not future.done()
        model.release()
    assert future.result(WAIT_S).shape == (2, 5)


@pytest.mark.parametrize("broken", [0, 1])
def test_it_fails_if_either_fails_and_only_when_both_have_ended(broken: int) -> None:
    """With that one's error; what is still on its way at the other is waited for, so that no more is in flight than known."""
    error = ModelError("refused", "too odd")
    failing, slow = FakeModel(failure=lambda *_: error), FakeModel(embedding, manual=True)
    models = (failing, slow) if broken == 0 else (slow, failing)
    future = PairedModel(*models).submit(batch_of(rows(2)))
    assert not future.done()
    slow.release()
    assert future.exception(WAIT_S) is error


def test_both_are_closed() -> None:
    """What is in flight fails, as with one."""
    models = FakeModel(manual=True), FakeModel(embedding, manual=True)
    paired = PairedModel(*models)
    future = paired.submit(batch_of(rows(2)))
    paired.close()
    assert isinstance(future.exception(WAIT_S), ModelError)
    assert isinstance(paired.submit(batch_of(rows(1))).exception(WAIT_S), ModelError)


def test_what_no_model_could_take_fails_clearly() -> None:
    """As with one."""
    batch = batch_of(rows(1))
    odd = type(batch)(batch.input_ids, batch.attention_mask[:, :-1])
    assert isinstance(PairedModel(FakeModel(), FakeModel()).submit(odd).exception(WAIT_S), ContractError)
