from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.tune import search
from worker.tune.search import Cost, Shape


def places(lengths: list[int], buckets: tuple[int, ...]) -> int:
    """Return how many token places texts of these lengths take."""
    return sum(next(edge for edge in buckets if length <= edge) for length in lengths)


@given(st.lists(st.integers(2, 12), min_size=1, max_size=30))
def test_no_other_edges_waste_less(lengths: list[int]) -> None:
    """Of as many edges these waste least, every text fits, and the last is the model's maximum."""
    found = search.edges(lengths, 12)
    assert found[-1] == 12
    assert list(found) == sorted(set(found))
    others = (places(lengths, (*chosen, 12)) for chosen in combinations(range(2, 12), len(found) - 1))
    assert places(lengths, found) == min(others)


def test_edges_are_as_few_as_save_enough() -> None:
    """Texts of one length need one edge beside the maximum; a rare text between gets none of its own."""
    assert search.edges([8] * 1_000, 64) == (8, 64)
    assert search.edges([8] * 10_000 + [9], 64) == (8, 64)


def test_padding_is_the_share_of_places_without_a_token() -> None:
    """Two texts of 6 and 8 tokens in eights: 2 of 16 places."""
    assert search.padding([6, 8], (8, 16)) == pytest.approx(2 / 16)


def test_a_cost_is_found_again() -> None:
    """What was measured without noise is met exactly, and nothing is ever below zero."""
    cost = Cost(0.002, 1e-5, 3e-8)
    measured = {shape: cost.seconds(shape) for shape in (Shape(n, t) for n in (1, 8, 32) for t in (8, 32, 128))}
    assert search.fit(measured) == pytest.approx(cost)
    flat = search.fit({Shape(1, 8): 0.1, Shape(64, 8): 0.09})
    assert min(flat) >= 0


def test_the_least_budget_that_is_nearly_as_quick_is_taken() -> None:
    """Where a batch costs next to nothing by itself small ones do; where it costs much, large ones must."""
    lengths = np.random.default_rng(1).integers(8, 33, 500).tolist()
    cheap, _ = search.budget(lengths, (16, 32), Cost(1e-6, 1e-5, 0), 64)
    dear, pace = search.budget(lengths, (16, 32), Cost(0.05, 1e-5, 0), 64)
    assert cheap < dear
    assert pace > 0


def test_the_fewest_batches_in_flight_that_are_nearly_as_quick() -> None:
    """Two that bring 99 % of what four bring are enough."""
    assert search.in_flight({1: 80.0, 2: 99.0, 4: 100.0}) == 2


def test_the_cost_at_best_is_that_of_the_best_way() -> None:
    """Two batches at a time take four fifths of the time of one after the other, whatever their shape."""
    assert search.at_best(Cost(0.01, 1e-5, 1e-8), {1: 80.0, 2: 100.0, 3: 90.0}) == pytest.approx((0.008, 8e-6, 8e-9))
    assert search.at_best(Cost(0.01, 1e-5, 1e-8), {1: 80.0, 2: 70.0}) == pytest.approx((0.01, 1e-5, 1e-8))


@pytest.mark.parametrize(("target_ms", "deadline"), [(50.0, 2), (400.0, 70), (10_000.0, 500)])
def test_the_deadline_is_what_the_target_leaves(target_ms: float, deadline: int) -> None:
    """Half the target, less the full batches ahead and the commit; never nothing, never more than half a second."""
    assert search.deadline_ms(target_ms, 0.05, 2) == deadline
