from math import log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.alert.builders import RULE, detector_of
from worker.alert.detectors import Reading, Verdict, View
from worker.alert.detectors.share import judge, wilson_lower_bound
from worker.alert.parameters import ShareDetector
from worker.alert.windows import Tally

Z95 = 1.959963984540054
PARAMETERS = detector_of(RULE, ShareDetector)


SCANNING = detector_of(
    """
rules:
  - name: scanning
    detector: {type: share, window: 60s, bucket: 5s, shortest_window: 10s, threshold: 0.5, min_messages: 4, confidence: 0.9}
""",
    ShareDetector,
)


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
def test_share_verdicts(messages: int, negatives: int, verdict: Verdict) -> None:
    """Too much by the bound (threshold 0.5), well by the share itself (below 0.4), silent below 4 messages."""
    found = reading(messages, negatives)
    span_ms = None if verdict == "no_data" else PARAMETERS.window
    assert found == Reading(verdict, wilson_lower_bound(negatives, messages, PARAMETERS.z), 0.5, None, span_ms)


def test_a_bound_at_the_threshold_is_too_much() -> None:
    """It reaches it."""
    bound = wilson_lower_bound(6, 9, PARAMETERS.z)
    assert judge(PARAMETERS.model_copy(update={"threshold": bound}), View(0, Tally(9, 6), Tally())).verdict == "breach"


def test_fewer_messages_of_the_same_kind_do_not_clear() -> None:
    """A high share in a thin window has a low bound; it must not pass for a recovery."""
    found = reading(4, 2)
    assert found.statistic < PARAMETERS.resolve_below
    assert found.verdict == "hold"


def scanned(*tallies: tuple[int, int]) -> Reading:
    """What is made of messages and negatives in the last 60, 30 and 15 s; a quarter is 15 s, an eighth would be 5 s."""
    spans = tuple(Tally(*tally) for tally in tallies)
    return judge(SCANNING, View(0, spans[0], Tally(), spans))


def test_shorter_windows_are_halves_in_whole_buckets_and_have_to_be_surer() -> None:
    """Each half pays for twice as many looks: 2 ln 2 more on the squared quantile."""
    assert SCANNING.spans_ms == (60_000, 30_000, 15_000)
    squares = [z * z for _, z in SCANNING.quantiles]
    assert squares == pytest.approx([SCANNING.z**2, SCANNING.z**2 + 2 * log(2), SCANNING.z**2 + 4 * log(2)])
    assert PARAMETERS.spans_ms == (PARAMETERS.window,)


@pytest.mark.parametrize(
    ("tallies", "verdict", "span_ms"),
    [
        (((40, 10), (20, 10), (10, 10)), "breach", 15_000),  # a short fall that the window as a whole does not show
        (((40, 30), (20, 15), (3, 3)), "breach", 60_000),  # a long one, of which the last seconds say too little
        (((40, 22), (20, 10), (10, 5)), "hold", 60_000),  # sure of 0.4, and not of 0.5
        (((40, 16), (20, 8), (10, 5)), "clear", 60_000),  # nowhere sure of 0.4: the last ten may be chance
        (((40, 4), (3, 3), (3, 3)), "clear", 60_000),  # the only one with messages enough is the window
        (((3, 3), (3, 3), (3, 3)), "no_data", None),
    ],
)
def test_the_loudest_span_decides(tallies: tuple[tuple[int, int], ...], verdict: Verdict, span_ms: int | None) -> None:
    """The statistic is the largest bound, and the reading says of which span."""
    found = scanned(*tallies)
    bounds = [wilson_lower_bound(bad, n, z) for (n, bad), (_, z) in zip(tallies, SCANNING.quantiles, strict=True) if n >= 4]
    assert (found.verdict, found.span_ms) == (verdict, span_ms)
    assert found.statistic == max(bounds, default=wilson_lower_bound(3, 3, SCANNING.z))


def test_with_one_shorter_window_it_is_the_bound_that_resolves() -> None:
    """As with more of them: half of ten is a share of 0.5 and a bound below 0.4, which is well again."""
    two = detector_of(
        """
rules:
  - name: halves
    detector: {type: share, window: 60s, bucket: 5s, shortest_window: 30s, threshold: 0.5, min_messages: 4, confidence: 0.9}
""",
        ShareDetector,
    )
    assert two.spans_ms == (60_000, 30_000)
    half = Tally(10, 5)
    assert judge(two, View(0, half, Tally(), (half, half))).verdict == "clear"
    assert reading(10, 5).verdict == "hold"
