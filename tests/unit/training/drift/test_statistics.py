import math

import numpy as np
import pytest

from training.drift.statistics import Limits, of_names, of_numbers, psi

RANDOM = np.random.default_rng(1)
PLAIN = RANDOM.normal(0, 1, 4_000).tolist()


def test_psi_by_hand() -> None:
    """(0.3 - 0.5) ln(0.3/0.5) + (0.7 - 0.5) ln(0.7/0.5), the same from either side, and 0 for the same."""
    was, now = np.array([0.5, 0.5]), np.array([0.3, 0.7])
    expected = -0.2 * math.log(0.6) + 0.2 * math.log(1.4)
    assert psi(was, now) == pytest.approx(expected)
    assert psi(now, was) == pytest.approx(expected)
    assert psi(was, was) == 0


@pytest.mark.parametrize(
    ("mean", "spread", "drifted"), [(0.0, 1.0, False), (0.1, 1.0, False), (0.8, 1.0, True), (0.0, 3.0, True)]
)
def test_a_number_that_moved_or_spread_has_drifted(mean: float, spread: float, drifted: bool) -> None:
    """And one drawn as before, or moved by a trifle, has not, though a test on 4,000 rows would find the trifle."""
    found = of_numbers("words", PLAIN, RANDOM.normal(mean, spread, 4_000).tolist(), Limits())
    assert found.drifted is drifted
    assert (found.reference, found.live) == (4_000, 4_000)
    assert found.ks is not None
    assert 0 <= found.ks <= 1


def test_a_number_that_is_always_the_same_can_be_compared() -> None:
    """The tenths of a constant are one bin."""
    assert not of_numbers("capitals", [0.0] * 100, [0.0] * 50, Limits()).drifted
    assert of_numbers("capitals", [0.0] * 100, [0.3] * 50, Limits()).drifted


def test_few_rows_are_no_drift_by_themselves() -> None:
    """Of 40 rows drawn as before the distance is large by chance, and its p says so."""
    draws = [of_numbers("words", PLAIN, RANDOM.normal(0, 1, 40).tolist(), Limits(psi=9)) for _ in range(30)]
    assert not any(one.drifted for one in draws)
    assert any((one.ks or 0) > 0.15 for one in draws)


def test_names_that_shift_are_told_with_their_shares() -> None:
    """The most moved first; a name that was never seen counts too, rare ones go together."""
    was = ["positive"] * 500 + ["negative"] * 300 + ["neutral"] * 200 + ["odd"]
    now = ["positive"] * 100 + ["negative"] * 600 + ["neutral"] * 100 + ["new"] * 100
    found = of_names("label", was, now, Limits())
    assert found.drifted
    assert found.ks is None
    assert found.told.startswith("positive 50% → 11%, negative 30% → 67%, ")
    assert not of_names("label", was, was[::2], Limits()).drifted
