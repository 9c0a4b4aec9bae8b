import time

import numpy as np
from numpy.typing import NDArray

from tests.unit.training.compress.builders import rated, word_pieces
from training.compress import chart
from training.compress.sweep import Candidate, Timing, sweep, take_turns
from training.data import Split
from training.examples import from_snippets
from training.tokens import Ids

EXAMPLES = from_snippets(rated(Split.TEST))
QUICK = Timing(texts=16, batch=8, rounds=2)


class Made:
    """A model that answers by the first token's number, wrongly for some, or by its neighbours; it can be slow."""

    def __init__(self, turned: int = 0, *, by_batch: bool = False, seconds: float = 0.0) -> None:
        self._turned, self._by_batch, self._seconds = turned, by_batch, seconds

    def logits(self, input_ids: Ids, attention_mask: Ids) -> NDArray[np.float32]:
        """Return logits that follow from the ids alone, unless the batch has a say."""
        until = time.perf_counter() + self._seconds
        while time.perf_counter() < until:
            pass
        label = (input_ids * attention_mask).sum(axis=1) % 3
        if self._turned:
            label = np.where(input_ids.sum(axis=1) % self._turned == 0, (label + 1) % 3, label)
        if self._by_batch:
            label = (label + len(input_ids)) % 3
        return np.asarray(np.eye(3, dtype=np.float32)[label] * 4)


def candidate(model: Made, name: str = "one", allowed: float | None = 0.005) -> Candidate:
    """A candidate of two million bytes."""
    return Candidate(name, model, word_pieces(), 1.0, 2_000_000, allowed)


def test_the_first_is_what_the_others_are_compared_with() -> None:
    """It differs from itself in nothing; one that turns labels is found out by their number."""
    first, other = sweep([candidate(Made()), candidate(Made(turned=5), "two")], EXAMPLES, QUICK)
    assert (first.label_flips, first.max_probability_difference, first.speedup, first.passes) == (0, 0.0, 1.0, True)
    assert other.label_flips > 0
    assert other.passes is False
    assert first.size_mb == 2.0


def test_what_depends_on_its_neighbours_does_not_pass() -> None:
    """Even one that gives the same labels where it is compared."""
    [_, found] = sweep([candidate(Made()), candidate(Made(by_batch=True), "two", allowed=1.0)], EXAMPLES, QUICK)
    assert found.batch_dependence > 0
    assert found.passes is False


def test_a_model_in_its_own_right_is_not_held_to_the_first() -> None:
    """A student is judged by its accuracy."""
    [_, student] = sweep([candidate(Made()), candidate(Made(turned=2), "student", allowed=None)], EXAMPLES, QUICK)
    assert student.passes is None


def test_latency_is_taken_by_turns() -> None:
    """A candidate that takes longer has the smaller speed-up; the first round does not count."""
    models = [candidate(Made(seconds=0.004)), candidate(Made(seconds=0.001), "quick")]
    rows = [[[2, 5, 3]] * 16, [[2, 5, 3]] * 16]
    heard: list[str] = []
    seconds = take_turns(models, rows, QUICK, heard.append)
    assert seconds.shape == (2, 2)
    assert (seconds[:, 0] > seconds[:, 1]).all()
    assert heard == ["round 0", "round 1", "round 2"]


def test_points_become_a_table_and_a_plot(tmp_path) -> None:
    """One row a variant; the picture is a picture."""
    points = sweep([candidate(Made()), candidate(Made(turned=2), "student", allowed=None)], EXAMPLES, QUICK)
    assert chart.table(points, len(EXAMPLES)).row_count == 2
    chart.plot(points, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
