import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.messages import LABELS
from worker.score.calibration import Calibration, LogitsError
from worker.score.contract import Temperature
from worker.testing.model import contract

Row = tuple[float, float, float]
logit = st.floats(width=32, allow_nan=False, allow_infinity=False)
temperature = st.floats(min_value=1e-6, max_value=1e6)


def logits(*rows: Row) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return one row per text, as the model gives them."""
    return np.array(rows, dtype=np.float32).reshape(len(rows), 3)


def by_hand(row: Row, temperature: float) -> list[float]:
    """Softmax as the paper writes it, one exponential at a time."""
    weights = [math.exp(value / temperature) for value in row]
    return [weight / math.fsum(weights) for weight in weights]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_probabilities_are_the_softmax_of_the_scaled_logits(temperature: float) -> None:
    """The batch gives what the formula gives row by row; label and score follow from it."""
    rows: list[Row] = [(2.0, 0.5, -1.0), (0.0, 3.0, 0.0), (-2.0, -1.0, 4.0)]
    sentiments = Calibration(temperature).sentiments(logits(*rows))
    for row, sentiment, label in zip(rows, sentiments, LABELS, strict=True):
        negative, neutral, positive = by_hand(row, temperature)
        assert sentiment.label == label
        assert msgspec.structs.astuple(sentiment.probabilities) == pytest.approx((negative, neutral, positive), abs=1e-12)
        assert sentiment.score == pytest.approx(positive - negative, abs=1e-12)


def test_the_temperature_comes_from_the_contract() -> None:
    """What was exported is what is used."""
    exported = msgspec.structs.replace(contract(), calibration=Temperature("temperature", 2.5))
    assert Calibration.from_contract(exported) == Calibration(2.5)


@given(st.lists(st.tuples(logit, logit, logit), min_size=1, max_size=8), temperature)
def test_any_finite_logits_give_a_distribution(rows: list[Row], temperature: float) -> None:
    """Probabilities lie in [0, 1] and add up to 1, the label is the largest logit's, the score lies in [-1, 1]."""
    batch = logits(*rows)
    for row, sentiment in zip(batch, Calibration(temperature).sentiments(batch), strict=True):
        probabilities = msgspec.structs.astuple(sentiment.probabilities)
        assert all(0 <= probability <= 1 for probability in probabilities)
        assert math.fsum(probabilities) == pytest.approx(1, abs=1e-12)
        assert probabilities[LABELS.index(sentiment.label)] == max(probabilities)
        assert row[LABELS.index(sentiment.label)] == row.max()
        assert sentiment.score == probabilities[2] - probabilities[0]
        assert -1 <= sentiment.score <= 1


@given(st.tuples(logit, logit, logit), temperature, st.lists(st.tuples(logit, logit, logit), max_size=5))
def test_neighbours_change_nothing(row: Row, temperature: float, others: list[Row]) -> None:
    """A row gives the same sentiment, bit for bit, alone and in any batch."""
    calibration = Calibration(temperature)
    assert calibration.sentiments(logits(*others, row))[-1] == calibration.sentiments(logits(row))[0]


def test_a_higher_temperature_is_less_sure() -> None:
    """The label stays, its probability falls (Guo et al. 2017)."""
    batch = logits((3.0, 1.0, 0.0))
    sure, unsure = (Calibration(temperature).sentiments(batch)[0] for temperature in (1.0, 3.0))
    assert sure.label == unsure.label == "negative"
    assert sure.probabilities.negative > unsure.probabilities.negative > 1 / 3


def test_of_equals_the_first_label_wins() -> None:
    """A tie is settled the same way every time."""
    [sentiment] = Calibration(1.0).sentiments(logits((1.0, 1.0, 1.0)))
    assert sentiment.label == "negative"
    assert sentiment.score == 0


def test_no_texts_give_no_sentiments() -> None:
    """An empty batch is no special case, though nobody sends one."""
    assert Calibration(1.0).sentiments(logits()) == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_no_numbers_are_refused_with_their_rows(bad: float) -> None:
    """The error names the reason and the texts concerned, so that the others can be scored."""
    with pytest.raises(LogitsError, match="no numbers for 2 of 3 texts") as caught:
        Calibration(1.0).sentiments(logits((bad, 0, 0), (1, 2, 3), (0, 0, bad)))
    assert caught.value.reason == "not_finite"
    assert caught.value.rows == (0, 2)


@pytest.mark.parametrize("shape", [(3,), (2, 2), (2, 4), (1, 2, 3)])
def test_logits_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """Never read a column as a label that it does not stand for."""
    with pytest.raises(LogitsError, match="expected logits of shape") as caught:
        Calibration(1.0).sentiments(np.zeros(shape, np.float32))
    assert caught.value.reason == "wrong_shape"
