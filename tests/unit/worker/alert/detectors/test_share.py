from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.alert.builders import RULE, detector_of
from worker.alert.detectors import Reading, View
from worker.alert.detectors.share import judge, wilson_lower_bound
from worker.alert.parameters import ShareDetector
from worker.alert.windows import Tally

Z95 = 1.959963984540054
PARAMETERS = detector_of(RULE, ShareDetector)


def reading(messages: int, negatives: int) -> Reading:
    """What is made of a window with so many messages."""
    return judge(PARAMETERS, View(0, Tally(messages, negatives), Tally()))


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [
        (0, 10, 0.0),
        (5, 10, 0.2365931),
        (10, 10, 0.7224672),
        (1, 1, 0.2065493),
        (81, 263, 0.2552891),
        (15, 148, 0.0624),
    ],
)
def test_wilson_matches_published_figures(successes: int, trials: int, expected: float) -> None:
    """The last two are the worked examples of Newcombe (1998), Statistics in Medicine 17, table I (0.2553 and 0.0624)."""
    assert wilson_lower_bound(successes, trials, Z95) == pytest.approx(expected, abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.1, 4))
def test_wilson_solves_its_own_equation(counts: tuple[int, int], z: float) -> None:
    """The bound p is where the observed share lies z standard errors above it: share - p = z * sqrt(p (1 - p) / n)."""
    successes, trials = counts
    bound = wilson_lower_bound(successes, trials, z)
    assert 0 <= bound <= successes / trials + 1e-12
    assert successes / trials - bound == pytest.approx(z * sqrt(bound * (1 - bound) / trials), abs=1e-7)


def test_no_trials_say_nothing() -> None:
    """An empty window has the lowest bound there is, not a division by zero."""
    assert wilson_lower_bound(0, 0, Z95) == 0.0


@pytest.mark.parametrize(
    ("messages", "negatives", "verdict"),
    [
        (3, 3, "no_data"),
        (4, 4, "breach"),
        (4, 3, "breach"),
        (4, 2, "hold"),
        (4, 1, "clear"),
        (10, 4, "hold"),
        (10, 3, "clear"),
        (100, 60, "breach"),
        (100, 50, "hold"),
        (100, 39, "clear"),
        (0, 0, "no_data"),
    ],
)
def test_share_verdicts(messages: int, negatives: int, verdict: str) -> None:
    """Too much by the bound (threshold 0.5), well by the share itself (below 0.4), silent below 4 messages."""
    found = reading(messages, negatives)
    assert found == (verdict, wilson_lower_bound(negatives, messages, PARAMETERS.z), 0.5, None)


def test_fewer_messages_of_the_same_kind_do_not_clear() -> None:
    """A high share in a thin window has a low bound; it must not pass for a recovery."""
    found = reading(4, 2)
    assert found.statistic < PARAMETERS.resolve_below
    assert found.verdict == "hold"
