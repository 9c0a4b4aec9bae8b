from collections.abc import Iterator

import numpy as np
import pytest

from tests.unit.training.evaluation.stand_ins import WordPredictor, by_word
from training.evaluation.stability import Subject, speed, stability

TEXTS = ["good day", "bad day", "day", "a film"]


class Neighbourly(WordPredictor):
    """Takes its answers from the first text of a batch, as a scale over a whole batch might."""

    def probabilities(self, texts):
        """Return the first text's row for all."""
        return np.repeat(super().probabilities(texts)[:1], len(texts), axis=0)


def seconds(*steps: float) -> Iterator[float]:
    """A clock's readings, so many seconds apart, before and after each round."""
    now = 0.0
    for step in steps:
        yield now
        now += step
        yield now


def test_a_variant_is_compared_with_the_model_it_was_made_of() -> None:
    """Labels that flipped, as a share, and the largest gap between two probabilities."""
    reference, flipped = WordPredictor(by_word), WordPredictor(lambda text: by_word(text.replace("film", "good")))
    found = stability(Subject(flipped, 2_500_000, reference), TEXTS)
    assert (found.size_mb, found.label_flips) == (2.5, 0.25)
    assert found.max_probability_difference == pytest.approx(0.7)
    assert found.batch_dependence.labels_changed == 0
    assert found.texts_per_s > 0


def test_without_a_reference_nothing_is_said_of_flips() -> None:
    """A word list was made of no model."""
    found = stability(Subject(WordPredictor(by_word)), TEXTS)
    assert found.label_flips is None
    assert found.max_probability_difference is None


def test_dependence_on_neighbours_is_seen() -> None:
    """A text alone against the same text among the others."""
    found = stability(Subject(Neighbourly(by_word)), TEXTS).batch_dependence
    assert (found.answers, found.labels_changed) == (4, 3)


def test_speed_is_the_best_round_after_one_that_does_not_count() -> None:
    """Four texts in half a second; the slow rounds were somebody else's."""
    readings = seconds(2.0, 0.5, 1.0)
    predictor = WordPredictor(by_word)
    assert speed(predictor, TEXTS, lambda: next(readings)) == 8.0
    assert predictor.asked == 16
