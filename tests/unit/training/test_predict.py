import numpy as np
import pytest
import torch

from tests.unit.training.builders import tiny_model
from training.predict import TorchModel, logits_of, probabilities, size_of, vader_labels
from training.tokens import pad

ROWS = [[2, 4, 3], [2, 4, 5, 6, 7, 3], [2, 3], [2, 5, 4, 3]]


def test_answers_come_in_the_order_of_the_texts(tmp_path) -> None:
    """Batches are by length; the caller does not see it."""
    model = TorchModel(tiny_model(tmp_path))
    one_by_one = np.concatenate([model.logits(*pad([row])) for row in ROWS])
    assert logits_of(model, ROWS, batch_size=2) == pytest.approx(one_by_one, abs=1e-5)


def test_no_texts_have_no_answers(tmp_path) -> None:
    """An empty set is not an error."""
    assert logits_of(TorchModel(tiny_model(tmp_path)), []).shape == (0, 3)


def test_probabilities_are_torchs_softmax() -> None:
    """The reference agrees, at any temperature and for large logits."""
    logits = np.array([[1.0, 2.0, 3.0], [500.0, -500.0, 0.0]], dtype=np.float32)
    expected = torch.softmax(torch.from_numpy(logits).double() / 1.7, dim=1).numpy()
    assert probabilities(logits, 1.7) == pytest.approx(expected)


def test_vader_labels_at_its_authors_thresholds() -> None:
    """Plain cases in the order negative, neutral, positive."""
    assert vader_labels(["This is horrible!", "The box is on the table.", "I love it!"]).tolist() == [0, 1, 2]


def test_a_model_says_how_large_it_is(tmp_path) -> None:
    """In bytes: four to a weight in float32; what cannot say is 0."""
    model = tiny_model(tmp_path)
    assert size_of(TorchModel(model)) == 4 * sum(weights.numel() for weights in model.parameters())

    class Bare:
        def logits(self, input_ids, attention_mask):
            return np.zeros((*(input_ids * attention_mask).shape[:1], 3), dtype=np.float32)

    assert size_of(Bare()) == 0
