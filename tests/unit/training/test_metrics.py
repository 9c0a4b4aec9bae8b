import numpy as np
import pytest
import sklearn.metrics  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from training import metrics
from training.metrics import ClusterBootstrap

LABELS = st.integers(0, 2)
PAIRS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=60)


def arrays(pairs: list[tuple[int, int]]) -> tuple[metrics.Ints, metrics.Ints]:
    """True and predicted label indices."""
    true, predicted = np.array(pairs, dtype=np.int64).T
    return true, predicted


@given(PAIRS)
def test_macro_f1_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    """Ours goes over all three labels, present or not, and counts an absent one as zero."""
    true, predicted = arrays(pairs)
    expected = sklearn.metrics.f1_score(true, predicted, labels=[0, 1, 2], average="macro", zero_division=0)
    assert metrics.macro_f1(metrics.confusion(true, predicted)) == pytest.approx(expected)


@given(PAIRS)
def test_scores_by_label_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    """Precision, recall, F1, support and accuracy agree with the reference."""
    true, predicted = arrays(pairs)
    matrix = metrics.confusion(true, predicted)
    expected = sklearn.metrics.precision_recall_fscore_support(true, predicted, labels=[0, 1, 2], zero_division=0)
    scores = list(metrics.per_class(matrix).values())
    for index, field in enumerate(("precision", "recall", "f1", "support")):
        assert [getattr(score, field) for score in scores] == pytest.approx(list(expected[index]))
    assert metrics.accuracy(matrix) == pytest.approx(sklearn.metrics.accuracy_score(true, predicted))


def test_rows_are_true_and_columns_predicted() -> None:
    """One negative text called positive stands in the first row's last column."""
    assert metrics.confusion(np.array([0]), np.array([2])).tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_a_sure_and_right_predictor_is_calibrated() -> None:
    """No gap between a confidence of one and an accuracy of one."""
    assert metrics.expected_calibration_error(np.eye(3), np.array([0, 1, 2])) == 0.0


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    """Sure of 0.9 and right in half of the cases is off by 0.4."""
    probabilities = np.tile([0.9, 0.05, 0.05], (10, 1))
    true = np.array([0, 1] * 5)
    assert metrics.expected_calibration_error(probabilities, true) == pytest.approx(0.4)


def random_case(rows: int = 600, seed: int = 0) -> tuple[metrics.Ints, metrics.Ints]:
    """True labels, and predictions that are right in about four of five."""
    generator = np.random.default_rng(seed)
    true = generator.integers(0, 3, rows)
    wrong = generator.random(rows) < 0.3
    return true, np.where(wrong, generator.integers(0, 3, rows), true)


def test_the_bootstrap_is_seeded() -> None:
    """The same texts give the same interval every time."""
    true, predicted = random_case()
    groups = [str(i) for i in range(len(true))]
    first, second = (metrics.macro_f1(ClusterBootstrap(groups, 200, 5).matrices(true, predicted)) for _ in range(2))
    assert first.tolist() == second.tolist()


def test_the_interval_holds_the_estimate() -> None:
    """The 95 % interval lies around the figure itself, and is about as wide as the number of texts says."""
    true, predicted = random_case()
    estimate = float(metrics.macro_f1(metrics.confusion(true, predicted)))
    found = metrics.interval(metrics.macro_f1(ClusterBootstrap([str(i) for i in range(600)]).matrices(true, predicted)))
    assert found.low < estimate < found.high
    assert found.high - found.low == pytest.approx(4 * np.sqrt(estimate * (1 - estimate) / 600), rel=0.3)


def test_whole_groups_are_drawn() -> None:
    """Ten copies of each text in its group tell no more than the text itself: the interval stays as wide."""
    true, predicted = random_case(rows=100)
    single = metrics.macro_f1(ClusterBootstrap([str(i) for i in range(100)]).matrices(true, predicted))
    copies = [str(i) for i in range(100) for _ in range(10)]
    tenfold = metrics.macro_f1(ClusterBootstrap(copies).matrices(np.repeat(true, 10), np.repeat(predicted, 10)))
    assert np.std(tenfold) == pytest.approx(np.std(single), rel=0.1)


def test_each_resample_has_as_many_groups_as_the_data() -> None:
    """Resampling is with replacement to the same size."""
    true, predicted = random_case(rows=50)
    matrices = ClusterBootstrap([str(i) for i in range(50)], resamples=20).matrices(true, predicted)
    assert matrices.sum(axis=(1, 2)).tolist() == [50.0] * 20
