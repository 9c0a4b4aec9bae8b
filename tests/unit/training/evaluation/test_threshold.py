import numpy as np
import pytest

from training.errors import TrainingError
from training.evaluation.intervals import wilson
from training.evaluation.threshold import review_threshold


def answers(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of class 0 with this confidence, and true labels that make them right or wrong."""
    rest = (1 - confidence) / 2
    return np.stack([confidence, rest, rest], axis=1), np.where(right, 0, 1)


def test_the_line_holds_the_precision_and_is_the_lowest_that_does() -> None:
    """On the rows it was drawn on: above it the interval's lower end holds, with one more row it would not."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.4, 1.0, 4_000)
    probabilities, true = answers(confidence, rng.uniform(size=4_000) < confidence)
    found = review_threshold(probabilities, true, 0.9)
    above = confidence >= found.confidence
    hits = int((probabilities.argmax(axis=1) == true)[above].sum())
    assert found.precision == hits / above.sum()
    assert found.kept == above.mean()
    assert found.precision > found.precision_low >= 0.9
    lower = [c for c in np.sort(confidence) if c < found.confidence]
    held = [wilson(int((true == 0)[confidence >= c].sum()), int((confidence >= c).sum())).low for c in lower[::200]]
    assert max(held) < 0.9


def test_a_few_lucky_rows_draw_no_line() -> None:
    """Five right answers of five prove no precision of nine tenths."""
    probabilities, true = answers(np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.ones(5, dtype=bool))
    with pytest.raises(TrainingError, match=r"precision of 0\.9 on 5 rows"):
        review_threshold(probabilities, true, 0.9)


def test_equal_confidences_stay_together() -> None:
    """The line cannot run between two rows that are equally sure, the second of them wrong."""
    confidence = np.append(np.full(100, 0.9), np.full(100, 0.6))
    probabilities, true = answers(confidence, np.append(np.full(100, True), np.tile([True, False], 50)))
    found = review_threshold(probabilities, true, 0.9)
    assert (found.confidence, found.precision, found.kept) == (0.9, 1.0, 0.5)


def test_wilson_is_the_published_interval() -> None:
    """Known values; and nothing is known of what was never tried."""
    assert (wilson(8, 10).low, wilson(8, 10).high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert (wilson(0, 10).low, wilson(10, 10).high) == pytest.approx((0.0, 1.0))
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)
