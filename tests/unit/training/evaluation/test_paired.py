import numpy as np
import pytest
from scipy.stats import binom  # type: ignore[import-untyped]

from training.evaluation.paired import mcnemar, paired

TRUE = np.tile([0, 1, 2], 60)
GROUPS = [f"g{n}" for n in range(len(TRUE))]


def wrong(every: int) -> np.ndarray:
    """The true labels but for each so-manieth, which is the next label."""
    return np.where(np.arange(len(TRUE)) % every == 0, (TRUE + 1) % 3, TRUE)


def test_a_predictor_does_not_lead_itself() -> None:
    """No lead, an interval of no width, no row that only one got right, and no doubt that it is chance."""
    same = paired(TRUE, wrong(5), wrong(5), GROUPS)
    assert (same.lead, same.lead_ci95.low, same.lead_ci95.high) == (0.0, 0.0, 0.0)
    assert (same.only_one, same.only_other, same.p_value) == (0, 0, 1.0)
    assert same.not_worse()


def test_a_better_one_leads() -> None:
    """Both tests see it; turned round, the other is worse."""
    better, worse = paired(TRUE, wrong(20), wrong(4), GROUPS), paired(TRUE, wrong(4), wrong(20), GROUPS)
    assert better.lead == pytest.approx(-worse.lead)
    assert better.lead_ci95.low > 0
    assert better.p_value == worse.p_value < 0.001
    assert (better.not_worse(), worse.not_worse(), worse.not_worse(margin=0.4)) == (True, False, True)


def test_a_small_lead_is_narrower_paired_than_it_looks() -> None:
    """Two rows of 180 differ: the interval of the difference is narrow though each score's own is wide."""
    lead = paired(TRUE, wrong(10), np.where(np.arange(len(TRUE)) < 2, 0, wrong(10)), GROUPS)
    assert lead.lead_ci95.high - lead.lead_ci95.low < 0.05


def test_mcnemar_is_the_binomial() -> None:
    """Of 12 rows that one alone got right, 2 went to the weaker: both tails."""
    assert mcnemar(10, 2) == mcnemar(2, 10) == pytest.approx(2 * binom.cdf(2, 12, 0.5))
    assert mcnemar(0, 0) == 1.0
