import numpy as np
import pytest

from training.evaluate import OVERALL, Evaluation, Predictions, compare, label_indices
from training.examples import Example


def case() -> tuple[list[Example], Predictions]:
    """Two sources; the model is right everywhere, VADER everywhere but on one source's negatives."""
    examples = [
        Example(f"text {n}", label, source, f"{source}-{n}")
        for source in ("news", "chat")
        for n, label in enumerate(("negative", "neutral", "positive") * 5)
    ]
    true = label_indices(examples)
    vader = np.where((true == 0) & (np.array([e.source for e in examples]) == "chat"), 2, true)
    return examples, Predictions(true, np.eye(3)[true], vader)


def test_the_breakdown_is_overall_then_sources_by_name() -> None:
    """Every text counts overall and in its source."""
    parts = compare(*case())
    assert list(parts) == [OVERALL, "chat", "news"]
    assert [part.rows for part in parts.values()] == [30, 15, 15]


def test_a_perfect_model_scores_one() -> None:
    """In all figures, with an interval of no width and no calibration error."""
    model = compare(*case())[OVERALL].model
    assert (model.macro_f1, model.accuracy, model.ece) == (1.0, 1.0, 0.0)
    assert model.confusion == [[10, 0, 0], [0, 10, 0], [0, 0, 10]]


def test_the_lead_over_vader_is_per_source() -> None:
    """It is nothing where VADER is right, and large with a positive interval where it is not."""
    parts = compare(*case())
    assert parts["news"].lead == 0.0
    assert parts["chat"].lead == pytest.approx(1 - (0 + 1 + 2 / 3) / 3)
    assert parts["chat"].lead_ci95.low > 0


def test_vader_has_no_calibration_error() -> None:
    """It gives a score, not probabilities."""
    assert compare(*case())[OVERALL].vader.ece is None


def test_an_evaluation_names_its_sources() -> None:
    """The overall figures are no source."""
    evaluation = Evaluation("onnx", "test", 1.0, compare(*case()))
    assert set(evaluation.sources) == {"chat", "news"}
    assert evaluation.overall.rows == 30
